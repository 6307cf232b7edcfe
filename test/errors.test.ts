/** Every error that the program can print stands in the README, with its cause and its cure. */

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const SRC = new URL('../src/', import.meta.url)
const LITERAL = String.raw`'(?:[^'\\\n]|\\.)*'|\x60(?:[^\x60\\]|\\.)*\x60`

/** Where errors are made: rules that are broken, faults, what is logged above info, and why a sweep was no success. */
const MADE = [
  new RegExp(`(${LITERAL})`, 'g'),
  new RegExp(String.raw`new Fault\(\s*(?:[\w.]+|'\w+'),\s*(${LITERAL})`, 'g'),
  new RegExp(String.raw`log\.(?:warn|error|fatal)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*?(${LITERAL}),?\s*\)`, 'g'),
  new RegExp(String.raw`\b(?:message|why): (${LITERAL})`, 'g'),
  new RegExp(`\\bBUG = (${LITERAL})`, 'g'),
  new RegExp(String.raw`\blimited\(\s*(${LITERAL})`, 'g'),
]

/** A literal is a broken rule by how it begins, wherever it stands. */
const RULE = /^(?:… )?(?:must |is no |holds a )/

/** The errors in a source, what differs from case to case as `…`. */
function errorsIn(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return MADE.flatMap((pattern, i) =>
    [...code.matchAll(pattern)]
      .map(([, literal = '']) => plain(literal))
      .filter((text) => (i > 0 || RULE.test(text)) && /[a-z]{3}/.test(text)),
  )
}

function plain(literal: string): string {
  let text = literal.slice(1, -1)
  // From the inside out: what is filled in may hold literals of its own.
  for (let before = ''; before !== text; ) {
    before = text
    text = text.replace(/\$\{[^{}]*\}/g, '…')
  }
  return text.replaceAll("\\'", "'")
}

function errorsOfProgram(): string[] {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  return [...new Set(files.flatMap((path) => errorsIn(readFileSync(new URL(path, SRC), 'utf8'))))].sort()
}

/** The rows under the heading, of which each begins with the error in backticks. */
function errorsTold(readme: string): { error: string; cause: string; cure: string }[] {
  const section = readme.split(/^## Errors$/m)[1]?.split(/^## /m)[0] ?? ''
  return [...section.matchAll(/^\| `(.*?)` \| (.*?) \| (.*?) \|$/gm)].map(([, error = '', cause = '', cure = '']) => ({
    error: error.replaceAll('\\|', '|'),
    cause,
    cure,
  }))
}

test('every error in the source is in the README with cause and cure, and no other', () => {
  const told = errorsTold(readFileSync(new URL('../README.md', import.meta.url), 'utf8'))
  assert.deepEqual(told.map(({ error }) => error).sort(), errorsOfProgram())
  for (const { error, cause, cure } of told) assert.ok(cause.length > 3 && cure.length > 3, error)
})

test('the control: an error that is added anywhere would be noticed', () => {
  const none = errorsOfProgram().length
  assert.ok(none > 60, `${none}`)
  for (const [source, error] of [
    ["throw new BrokenRule('must be blue')", 'must be blue'],
    ["reader.problem('--x', `must go with #{y('z')}, or not`)", 'must go with …, or not'],
    ["throw new Fault('connect', `#{a}: it's gone`)", "…: it's gone"],
    ["log.warn({ a: f(b), c }, 'something odd')", 'something odd'],
    ["return { kind: 'open', why: 'nobody knows' }", 'nobody knows'],
  ] as const) {
    assert.deepEqual(errorsIn(source.replace(/#(?=\{)/g, '$$')), [error], source)
  }
})

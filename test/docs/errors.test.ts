/** docs/errors.md lists every error that the program can print, with cause and cure. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { sweepHere } from '../harness/sweep_here.ts'
import { isTold, OF_THE_SYSTEM, type ToldError, toldErrors } from '../harness/told_errors.ts'

const SRC = new URL('../../src/', import.meta.url)
const LITERAL = String.raw`'(?:[^'\\\n]|\\.)*'|\x60(?:[^\x60\\]|\\.)*\x60`

/**
 * Where the source makes errors: broken rules, faults, log lines above info, reasons of sweeps that did not succeed, and
 * reasons of failing probes.
 */
const MADE = [
  new RegExp(`(${LITERAL})`, 'g'),
  new RegExp(String.raw`new (?:Archive)?Fault\(\s*(?:[\w.]+|'\w+'),\s*(${LITERAL})`, 'g'),
  new RegExp(String.raw`new RestoreRefused\(\s*(${LITERAL})`, 'g'),
  new RegExp(String.raw`log\.(?:warn|error|fatal)\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*?(${LITERAL}),?\s*\)`, 'g'),
  new RegExp(String.raw`\b(?:message|why): (${LITERAL})`, 'g'),
  /(`could not (?:store|list|read) [^`]*`)/g,
  new RegExp(`\\bBUG = (${LITERAL})`, 'g'),
  new RegExp(String.raw`\blimited\(\s*(${LITERAL})`, 'g'),
  new RegExp(String.raw`\bfunction (?:denied|unknown)Told\([^)]*\): string \{\s*return (${LITERAL})`, 'g'),
  new RegExp(String.raw`\bplain\(503, (${LITERAL})`, 'g'),
  /\? (\x60[^\x60]*\x60)\s*: null$/gm,
]

/** A literal that starts like this is a rule, wherever it is in the source. */
const RULE =
  /^(?:must |needs Node|unknown (?:flag|command|variable|limit)|unexpected argument|(?:…|name) at character )/

/** The errors in a source file, with `…` for the parts that vary. */
function errorsIn(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return MADE.flatMap((pattern, i) =>
    [...code.matchAll(pattern)].map(([, literal = '']) => plain(literal)).filter((text) => i > 0 || RULE.test(text)),
  )
}

function plain(literal: string): string {
  let text = literal.slice(1, -1)
  // From the inside out, since a placeholder may hold another literal.
  for (let before = ''; before !== text; ) {
    before = text
    text = text.replace(/\$\{[^{}]*\}/g, '…')
  }
  return text.replace(/(?:… ?)+…/g, '…').replaceAll("\\'", "'")
}

function errorsOfProgram(): string[] {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
  return [...new Set(files.flatMap((path) => errorsIn(readFileSync(new URL(path, SRC), 'utf8'))))].sort()
}

test('docs/errors.md lists every error in the source with cause and cure, and otherwise only examples of system errors', () => {
  const told = toldErrors()
  const isExample = ({ error }: ToldError): boolean => error !== OF_THE_SYSTEM && error.startsWith('…: ')
  const inSource = errorsOfProgram()
  const examples = told.filter((row) => isExample(row) && !inSource.includes(row.error))
  assert.ok(examples.length > 5)
  assert.deepEqual(
    told
      .filter((row) => !examples.includes(row))
      .map(({ error }) => error)
      .sort(),
    inSource,
  )
  for (const { error, cause, cure } of told) assert.ok(cause.length > 3 && cure.length > 3, error)
})

test('docs/errors.md lists the system errors for an unreachable Redis as the system words them', async (t) => {
  const silent = createServer((socket) => socket.destroy())
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.after(() => silent.close())
  const { port } = silent.address() as { port: number }
  for (const at of ['127.0.0.1:1', `127.0.0.1:${port}`, 'nowhere.invalid']) {
    const { result, message } = await sweepHere(`redis://${at}`, [])
    assert.equal(result, 'failed')
    assert.ok(isTold(message ?? ''), message ?? '')
  }
  // The control: other words are not listed.
  assert.equal(isTold('127.0.0.1:1: connect EODD 127.0.0.1:1'), false)
})

test('the control: an error that is added anywhere is noticed', () => {
  const none = errorsOfProgram().length
  assert.ok(none > 60, `${none}`)
  for (const [source, error] of [
    ["throw new BrokenRule('must be blue')", 'must be blue'],
    ["reader.problem('--x', `must go with #{y('z')}, or not`)", 'must go with …, or not'],
    ['const rule = `unknown flag #{name}#{meant}`', 'unknown flag …'],
    ['throw new BrokenRule(`#{key} at character #{at} #{rule}`)', '… at character …'],
    ["throw new Fault('connect', `#{a}: it's gone`)", "…: it's gone"],
    ["log.warn({ a: f(b), c }, 'something odd')", 'something odd'],
    ["return { kind: 'open', why: 'nobody knows' }", 'nobody knows'],
    ["return plain(503, 'asleep')", 'asleep'],
    ['return late > 5 ? `late by #{late} s` : null', 'late by … s'],
    ["return new Fault('connect', `#{a}: #{b}`)", '…: …'],
  ] as const) {
    assert.deepEqual(errorsIn(source.replace(/#(?=\{)/g, '$$')), [error], source)
  }
})

/** The architecture of the source: which folder may import which, and which file imports each dependency. */

import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { test } from 'node:test'
import { readPage, sectionOf } from '../harness/documents.ts'

/** A file imports only from its own folder and from folders before it. `main.ts` comes last, and loads the program. */
const READING_ORDER = [
  ...[
    'text',
    'remembered',
    'entries',
    'retention',
    'schedule',
    'redis',
    'shared_keys',
    'store',
    'archive',
    'flags',
    'config',
  ],
  ...['walk', 'look', 'groups', 'judge', 'forecast', 'spill', 'trim', 'reap', 'tally', 'sweep'],
  ...['plan', 'explain', 'top', 'retrieve', 'watch', 'telemetry', 'phrases', 'report', 'http', 'status_page'],
  ...['between_sweeps', 'leadership', 'daemon', 'commands', 'program.ts', 'main.ts'],
]

interface Source {
  /** The path below src, such as `redis/address.ts`. */
  readonly path: string
  readonly text: string
}

/** Every breach of the reading order, as a sentence: imports of later folders, and cycles within a folder. */
function orderBreaches(sources: readonly Source[], order: readonly string[]): string[] {
  const found: string[] = []
  const imports = new Map(sources.map((source) => [source.path, ownImports(source)]))
  for (const [path, imported] of imports) {
    const place = order.indexOf(roomOf(path))
    if (place < 0) found.push(`${path} is in a folder outside the reading order`)
    for (const target of imported) {
      if (!imports.has(target)) found.push(`${path} imports ${target}, which does not exist`)
      else if (order.indexOf(roomOf(target)) > place) found.push(`${path} imports ${target}, which comes after it`)
    }
  }
  for (const path of imports.keys()) {
    const cycle = pathBack(path, imports)
    // Report a cycle once, for its first file.
    if (cycle !== null && [...cycle].sort()[0] === path) found.push(`${[...cycle, path].join(' imports ')}`)
  }
  return found
}

/** A sentence for each dependency that is not imported by exactly one file. */
function doorBreaches(sources: readonly Source[], dependencies: readonly string[]): string[] {
  return dependencies.flatMap((name) => {
    const doors = sources.filter(({ text }) => importsIn(text).some((specifier) => packageOf(specifier) === name))
    const paths = doors.map(({ path }) => path)
    return paths.length === 1 ? [] : [`${name} is imported in ${paths.join(' and ') || 'no file'}`]
  })
}

/** Files other than the last two that use the process: its arguments, environment, streams or signals. */
function processUsers(sources: readonly Source[]): string[] {
  return sources
    .filter(({ path, text }) => path !== 'main.ts' && path !== 'program.ts' && /\bprocess\b/.test(codeOf(text)))
    .map(({ path }) => path)
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? ''
}

/** The files of src that a source imports, including types, as paths below src. */
function ownImports({ path, text }: Source): string[] {
  return importsIn(text)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(path), specifier))
}

/** The specifiers after `from`, `import` and `import(`. */
function importsIn(text: string): string[] {
  const code = withoutComments(text)
  return [...code.matchAll(/\b(?:from|import)\s*\(?\s*(['"])([^'"\n]+)\1/g)].map(([, , specifier = '']) => specifier)
}

/** `@redis/client/dist/x` belongs to `@redis/client`, and `process` is another name for `node:process`. */
function packageOf(specifier: string): string {
  if (specifier === 'process' || specifier === 'http') return `node:${specifier}`
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** The shortest import path from a file back to itself within its folder, without the last step; null if there is none. */
function pathBack(start: string, imports: ReadonlyMap<string, readonly string[]>): string[] | null {
  const ways = [[start]]
  const seen = new Set<string>()
  for (let way = ways.shift(); way !== undefined; way = ways.shift()) {
    for (const next of imports.get(way.at(-1) ?? '') ?? []) {
      if (next === start) return way
      if (seen.has(next) || roomOf(next) !== roomOf(start)) continue
      seen.add(next)
      ways.push([...way, next])
    }
  }
  return null
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|(^|[^:'"`])\/\/.*$/gm, '$1')
}

/** The text without comments and strings. The expressions in templates count as code. */
function codeOf(text: string): string {
  return withoutComments(text)
    .replace(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")
    .replace(/`(?:[^`\\]|\\.)*`/g, (template) => (template.match(/\$\{[^}]*\}/g) ?? []).join(' '))
}

const SRC = new URL('../../src/', import.meta.url)
const TEST = new URL('../', import.meta.url)

const sources: readonly Source[] = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: readFileSync(new URL(path, SRC), 'utf8') }))

const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  dependencies: Record<string, string>
}

/** Names on the page that are not defined in the source. */
const REDIS_WORDS = ['XTRIM']

/** Names in backticks that do not exist: neither as a file or folder nor as a definition in our code. */
function missingOf(section: string, root: URL, texts: readonly string[]): string[] {
  const prose = section.replace(/^```[\s\S]*?^```$/gm, '')
  const names = new Set([...prose.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
  return [...names].filter((name) => {
    if (/[/.*]/.test(name)) return !isThere(name, root)
    const definition = new RegExp(
      `(?:function\\*?|const|class|interface|type) ${name}\\b|^ +(?:async |\\*)?#?${name}[(:]`,
      'm',
    )
    return /^[A-Za-z]\w+$/.test(name) && !REDIS_WORDS.includes(name) && !texts.some((text) => definition.test(text))
  })
}

/** Whether a path exists in the project, below `src`, or anywhere below `test`. */
function isThere(path: string, root: URL): boolean {
  if (['src/', ''].some((folder) => existsSync(new URL(folder + path, root)))) return true
  const tests = readdirSync(new URL('test/', root), { recursive: true, encoding: 'utf8' })
  return tests.some((file) => file === path || file.endsWith(`/${path}`))
}

const TOLD = sectionOf(readPage('docs/architecture.md'), 'How it is built')

test('docs/architecture.md lists the folders in their reading order, and every file, function and type that it names exists', () => {
  const rows = [...TOLD.matchAll(/^\| `src\/([\w.]+)` \|/gm)].map(([, folder]) => folder)
  assert.deepEqual(rows, READING_ORDER)
  const tests = readdirSync(TEST, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => readFileSync(new URL(path, TEST), 'utf8'))
  const root = new URL('../../', import.meta.url)
  const texts = [...sources.map(({ text }) => text), ...tests]
  assert.deepEqual(missingOf(TOLD, root, texts), [])
  // The control: wrong names are noticed.
  const wrong = 'in `isDew` of `sweep/dew.ts`, and in `isDue` of `judge/due.ts`'
  assert.deepEqual(missingOf(wrong, root, texts), ['isDew', 'sweep/dew.ts'])
})

test('README has a paragraph for each folder, in their reading order', () => {
  const section = sectionOf(readPage('README.md'), 'How it is built')
  const rooms = Array.from(section.matchAll(/^\*\*`([\w.]+)`\*\* /gm), ([, room]) => room)
  assert.deepEqual(rooms, READING_ORDER)
})

test('a file imports only from its own folder and from folders before it, without cycles', () => {
  assert.ok(sources.length > 25)
  assert.deepEqual(orderBreaches(sources, READING_ORDER), [])
})

test('each dependency is imported by exactly one file, and so are HTTP and the process', () => {
  assert.deepEqual(doorBreaches(sources, [...Object.keys(dependencies), 'node:http', 'node:process']), [])
})

test('only the program and its entry use the process', () => {
  assert.deepEqual(processUsers(sources), [])
})

test('control: an import of a later folder is found, whatever its form', () => {
  for (const line of [
    "import { connect } from '../redis/connection.ts'",
    "import type { Reach } from '../redis/connection.ts'",
    "import '../redis/connection.ts'",
    "import {\n  connect,\n  type Reach,\n} from '../redis/connection.ts'",
    "export * from '../redis/connection.ts'",
    "const { connect } = await import('../redis/connection.ts')",
    "import { connect } from './../redis/connection.ts'",
  ]) {
    const tree = [
      { path: 'retention/glob.ts', text: `/** A glob. */\n${line}\n` },
      { path: 'redis/connection.ts', text: "import { glob } from '../retention/glob.ts'" },
    ]
    assert.deepEqual(orderBreaches(tree, READING_ORDER), [
      'retention/glob.ts imports redis/connection.ts, which comes after it',
    ])
  }
  const comment = "// import '../redis/connection.ts'\n/* import '../redis/connection.ts' */"
  const quiet = [
    { path: 'retention/glob.ts', text: comment },
    { path: 'redis/connection.ts', text: '' },
  ]
  assert.deepEqual(orderBreaches(quiet, READING_ORDER), [])
})

test('control: one such import added to the real source is found', () => {
  const glob = sources.find(({ path }) => path === 'retention/glob.ts')
  assert.ok(glob)
  const changed = { ...glob, text: `${glob.text}\nimport { connect } from '../redis/connection.ts'` }
  const tree = sources.map((source) => (source === glob ? changed : source))
  assert.deepEqual(orderBreaches(tree, READING_ORDER), [
    'retention/glob.ts imports redis/connection.ts, which comes after it',
  ])
})

test('control: a cycle within a folder, a missing file and an unknown folder are found', () => {
  const tree = [
    { path: 'sweep/a.ts', text: "import './b.ts'" },
    { path: 'sweep/b.ts', text: "import type { C } from './c.ts'" },
    { path: 'sweep/c.ts', text: "import './a.ts'" },
    { path: 'sweep/d.ts', text: "import './a.ts'" },
    { path: 'util/e.ts', text: '' },
    { path: 'main.ts', text: "import './sweep/f.ts'" },
  ]
  assert.deepEqual(orderBreaches(tree, READING_ORDER), [
    'util/e.ts is in a folder outside the reading order',
    'main.ts imports sweep/f.ts, which does not exist',
    'sweep/a.ts imports sweep/b.ts imports sweep/c.ts imports sweep/a.ts',
  ])
})

test('control: a second import of a dependency, a missing one, and the process outside program.ts are found', () => {
  const tree = [
    { path: 'telemetry/log.ts', text: "import { pino } from 'pino'" },
    { path: 'daemon/daemon.ts', text: "import type { Logger } from 'pino/file'\nconst { env } = globalThis.process" },
    { path: 'text/shown.ts', text: `// the process\nconst a = \`of \${process.pid}\`` },
    { path: 'text/words.ts', text: "const a = 'process'; const b = `process`; /* process.env */" },
    { path: 'program.ts', text: "import process from 'node:process'\nprocess.exit()" },
  ]
  assert.deepEqual(doorBreaches(tree, ['pino', 'croner', 'node:process']), [
    'pino is imported in telemetry/log.ts and daemon/daemon.ts',
    'croner is imported in no file',
  ])
  assert.deepEqual(processUsers(tree), ['daemon/daemon.ts', 'text/shown.ts'])
})

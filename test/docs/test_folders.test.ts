/** The folders of tests mirror the folders of the source. */

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'

/** Folders of `test` for what belongs to no single folder of `src`. */
const OTHERS = {
  harness: 'servers, processes and data for tests',
  faults: 'faults of Redis, the network and the machine, against a running daemon',
  deploy: 'manifests, alerts, dashboard, image, package and rights',
  docs: 'README, docs and the architecture',
  scripts: 'the demo, the pictures and the benchmarks',
}

/** Paths below a folder of the project. */
function filesIn(folder: string): string[] {
  const root = new URL(`../../${folder}/`, import.meta.url)
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
}

/** The folder that a file belongs to; `main.ts` belongs to `main`, `program.ts` to `program`. */
function folderOf(path: string): string {
  return (path.split('/')[0] ?? '').replace(/\.ts$/, '')
}

/** Every folder of the source without a test, every unknown folder of tests and every test outside a folder, as sentences. */
function mismatches(sources: readonly string[], tests: readonly string[]): string[] {
  const rooms = new Set(sources.map(folderOf))
  const tested = new Set(tests.filter((path) => path.endsWith('.test.ts')).map(folderOf))
  const loose = tests.filter((path) => !path.includes('/'))
  const folders = new Set(tests.filter((path) => path.includes('/')).map(folderOf))
  return [
    ...[...rooms].filter((room) => !tested.has(room)).map((room) => `test/${room} has no test`),
    ...[...folders]
      .filter((folder) => !rooms.has(folder) && !(folder in OTHERS))
      .map((folder) => `test/${folder} mirrors no folder of src`),
    ...loose.map((path) => `test/${path} belongs in a folder`),
  ]
}

test('test has a folder with tests for every folder of src, and only a few others', () => {
  assert.deepEqual(mismatches(filesIn('src'), filesIn('test')), [])
})

test('control: a missing folder, an unknown one and a loose file are found', () => {
  const sources = [...filesIn('src'), 'attic/attic.ts']
  const tests = [...filesIn('test'), 'util/strings.ts', 'lease.test.ts', 'attic/harness.ts']
  assert.deepEqual(mismatches(sources, tests), [
    'test/attic has no test',
    'test/util mirrors no folder of src',
    'test/lease.test.ts belongs in a folder',
  ])
})

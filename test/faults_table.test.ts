/** What docs/faults.md says is what the tests show. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertToldAs, FAULTS, faultTable, OTHER_FAULTS, otherFaultTable } from './faults.ts'
import { readPage, testFile } from './harness/documents.ts'

/** Ends that are none of a sweep, or several. */
const MANIFOLD = [
  'partial or failed until then',
  'partial, `MOVED`, or failed as if the primary were down',
  'skipped',
  'delayed',
  'the process ends at once',
]

const PAGE = readPage('docs/faults.md')

test('docs/faults.md shows exactly these two lists of faults', () => {
  for (const table of [faultTable(), otherFaultTable()]) {
    assert.ok(PAGE.includes(`\n${table}\n`), `it is to have:\n${table}`)
  }
  const rows = PAGE.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| what happens'))
  assert.equal(rows.length, FAULTS.length + OTHER_FAULTS.length, 'and no other row')
})

test('the comparison notices a row that tells something else, and one that is missing', () => {
  const [first, ...rest] = FAULTS
  assert.ok(first)
  assert.equal(PAGE.includes(faultTable([{ ...first, cause: 'other' }, ...rest])), false)
  assert.equal(PAGE.includes(`\n${faultTable(rest)}\n`), false)
})

test('no fault stands there twice', () => {
  const names = [...FAULTS, ...OTHER_FAULTS].map(({ name }) => name)
  assert.deepEqual(names, [...new Set(names)])
})

test('each of the other faults is shown by a test that is there, and that takes from the list how it ends', () => {
  const stands = (file: string, text: string) => readPage(testFile(file)).includes(text)
  for (const { name, outcome, shownBy } of OTHER_FAULTS) {
    const { file, title } = shownBy
    assert.ok(stands(file, title), `${name}: ${testFile(file)} has no test '${title}'`)
    // The control: a test that is not there is missed.
    assert.equal(stands(file, `${title}?`), false)
    const isTaken = ["'", '"'].some((quote) => stands(file, `assertToldAs(${quote}${name}${quote}`))
    assert.equal(isTaken, !MANIFOLD.includes(outcome), `${name}: ${testFile(file)} says of itself how it ends`)
  }
})

test('how a fault ends is compared: another result, another cause or none is noticed', () => {
  const timeout = 'a sweep exceeds `--sweep-timeout`'
  assertToldAs(timeout, { result: 'stopped', cause: 'sweep-timeout' })
  for (const other of [
    { result: 'failed', cause: 'sweep-timeout' },
    { result: 'stopped', cause: 'stop' },
    { result: 'stopped' },
  ])
    assert.throws(() => assertToldAs(timeout, other), assert.AssertionError)
  assert.throws(() => assertToldAs('a stream has custom IDs', { result: 'success', cause: 'ERR' }))
  assert.throws(() => assertToldAs('no such fault', { result: 'success' }))
})

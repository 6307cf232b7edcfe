/** Compares docs/faults.md with the lists of faults that the tests cause. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPage, testFile } from '../harness/documents.ts'
import { assertToldAs, FAULTS, faultTable, OTHER_FAULTS, otherFaultTable } from '../harness/faults.ts'

/** Outcomes that differ from run to run, or that are not results of a sweep. */
const VARYING = [
  'partial or failed until then',
  'partial, `MOVED`, or failed as if the primary were down',
  'skipped',
  'delayed',
  'the process ends at once',
]

const PAGE = readPage('docs/faults.md')

test('docs/faults.md shows exactly the two lists of faults', () => {
  for (const table of [faultTable(), otherFaultTable()]) {
    assert.ok(PAGE.includes(`\n${table}\n`), `the page must contain:\n${table}`)
  }
  const rows = PAGE.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| what happens'))
  assert.equal(rows.length, FAULTS.length + OTHER_FAULTS.length, 'and no other row')
})

test('control: the comparison notices a wrong row and a missing one', () => {
  const [first, ...rest] = FAULTS
  assert.ok(first)
  assert.equal(PAGE.includes(faultTable([{ ...first, cause: 'other' }, ...rest])), false)
  assert.equal(PAGE.includes(`\n${faultTable(rest)}\n`), false)
})

test('every fault is listed once', () => {
  const names = [...FAULTS, ...OTHER_FAULTS].map(({ name }) => name)
  assert.deepEqual(names, [...new Set(names)])
})

test('a test shows each of the other faults and compares how it ends with the list', () => {
  const contains = (file: string, text: string) => readPage(testFile(file)).includes(text)
  for (const { name, outcome, shownBy } of OTHER_FAULTS) {
    const { file, title } = shownBy
    assert.ok(contains(file, title), `${name}: ${testFile(file)} has no test '${title}'`)
    // The control: a missing test is noticed.
    assert.equal(contains(file, `${title}?`), false)
    const isTaken = ["'", '"'].some((quote) => contains(file, `assertToldAs(${quote}${name}${quote}`))
    assert.equal(isTaken, !VARYING.includes(outcome), `${name}: ${testFile(file)} takes the outcome from the list`)
  }
})

test('control: another result, another cause and a missing cause are noticed', () => {
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

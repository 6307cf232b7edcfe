/** What the README says under "When X happens" is what the tests show. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FAULTS, faultTable, OTHER_FAULTS, otherFaultTable } from './faults.ts'

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
const [, BEHIND = ''] = README.split(/^## When X happens$/m)
const SECTION = BEHIND.split(/^## /m)[0] ?? ''

test('the README shows exactly these two lists of faults', () => {
  for (const table of [faultTable(), otherFaultTable()]) {
    assert.ok(SECTION.includes(`\n\n${table}\n\n`), `it is to have:\n${table}`)
  }
  const rows = SECTION.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| what happens'))
  assert.equal(rows.length, FAULTS.length + OTHER_FAULTS.length, 'and no other row')
})

test('the comparison notices a row that tells something else, and one that is missing', () => {
  const [first, ...rest] = FAULTS
  assert.ok(first)
  assert.equal(SECTION.includes(faultTable([{ ...first, cause: 'other' }, ...rest])), false)
  assert.equal(SECTION.includes(`\n\n${faultTable(rest)}\n\n`), false)
})

test('no fault stands there twice', () => {
  const names = [...FAULTS, ...OTHER_FAULTS].map(({ name }) => name)
  assert.deepEqual(names, [...new Set(names)])
})

test('each of the other faults is shown by a test that is there', () => {
  const isThere = ({ file, title }: { file: string; title: string }) =>
    readFileSync(new URL(`${file}.test.ts`, import.meta.url), 'utf8').includes(title)
  for (const { name, shownBy } of OTHER_FAULTS) {
    assert.ok(isThere(shownBy), `${name}: test/${shownBy.file}.test.ts has no test '${shownBy.title}'`)
    // The control: a test that is not there is missed.
    assert.equal(isThere({ ...shownBy, title: `${shownBy.title}?` }), false)
  }
})

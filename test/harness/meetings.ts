/** Faults of a list: each is met by a test of its own, and none is left out. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { FaultRow } from './faults.ts'

export interface Meetings<Row extends FaultRow> {
  /** A test of the fault of that name. */
  meeting(name: Row['name'], work: (t: TestContext, row: FaultRow) => Promise<void>): void
  /** A test that every fault of the list has one. */
  allMet(): void
}

/** `shows` completes the title of each test; `skip` says why none of them can be made here. */
export function meetingsOf<const Row extends FaultRow>(
  rows: readonly Row[],
  shows: (row: FaultRow) => string = isToldAndOver,
  skip: string | false = false,
): Meetings<Row> {
  const met: string[] = []
  return {
    meeting(name, work) {
      const row = rows.find((one) => one.name === name) as Row
      met.push(name)
      test(`${name}: ${shows(row)}`, { skip }, (t) => work(t, row))
    },
    allMet() {
      test('every fault of the list was met', () => {
        assert.deepEqual(met.toSorted(), rows.map(({ name }) => name).toSorted())
      })
    },
  }
}

function isToldAndOver({ result, cause }: FaultRow): string {
  return `the sweep is told as ${cause === null ? result : `${result}, ${cause}`}, and the next one is a success`
}

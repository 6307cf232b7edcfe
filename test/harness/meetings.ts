/** One test for each fault in a list, and a test that none is left out. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { FaultRow } from './faults.ts'

export interface Meetings<Row extends FaultRow> {
  /** Defines the test for the fault with that name. */
  meeting(name: Row['name'], work: (t: TestContext, row: FaultRow) => Promise<void>): void
  /** Defines a test that every fault in the list has a test. */
  allMet(): void
}

/** `shows` completes the title of each test; `skip` gives the reason to skip them all. */
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
      test('every fault in the list has a test', () => {
        assert.deepEqual(met.toSorted(), rows.map(({ name }) => name).toSorted())
      })
    },
  }
}

function isToldAndOver({ result, cause }: FaultRow): string {
  return `the sweep ends as ${cause === null ? result : `${result}, ${cause}`}, and the next one succeeds`
}

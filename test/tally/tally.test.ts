/** Sums of tallies and of plans: no field is left out of them. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptyPlan, sumOfPlans } from '../../src/plan/policy_plan.ts'
import { emptyTally, sumOf } from '../../src/tally/tally.ts'

/** The same with another number wherever one stands, and one for a word of Redis. */
function filled<T>(value: T, next = { n: 1 }): T {
  if (typeof value === 'number') return next.n++ as T
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, part]) => [name, filled(part, next)] as const)
  return Object.fromEntries(entries.length > 0 ? entries : [['NOPERM', next.n++]]) as T
}

test('the sum of one tally is that tally, whatever it counts, and so is the sum of one plan', () => {
  const tally = filled(emptyTally('a'))
  assert.deepEqual(sumOf([tally]), { ...tally, policy: 'all' })
  const plan = { ...filled(emptyPlan('a')), isExact: false }
  assert.deepEqual(sumOfPlans([plan]), { ...plan, policy: 'all' })
})

test('sums are of all tallies and of all plans, but for the longest stream', () => {
  const tally = filled(emptyTally('a'))
  const { longestStream, streams, removed, errors } = sumOf([tally, tally])
  assert.equal(longestStream, tally.longestStream)
  assert.equal(streams, 2 * tally.streams)
  assert.equal(removed.bytes, 2 * tally.removed.bytes)
  assert.deepEqual(errors, { NOPERM: 2 * (tally.errors.NOPERM ?? 0) })
  const plan = filled(emptyPlan('a'))
  assert.equal(sumOfPlans([plan, plan]).entries, 2 * plan.entries)
  assert.equal(sumOfPlans([plan, { ...plan, bytes: null }]).bytes, null)
})

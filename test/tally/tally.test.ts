/** Sums of tallies and of plans include every field. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { emptyPlan, sumOfPlans } from '../../src/plan/policy_plan.ts'
import { emptyTally, sumOf } from '../../src/tally/tally.ts'

/** A copy with a different number in every field, and an entry for one error word of Redis. */
function filled<T>(value: T, next = { n: 1 }): T {
  if (typeof value === 'number') return next.n++ as T
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, part]) => [name, filled(part, next)] as const)
  return Object.fromEntries(entries.length > 0 ? entries : [['NOPERM', next.n++]]) as T
}

test('the sum of a single tally is that tally, and the sum of a single plan is that plan', () => {
  const tally = filled(emptyTally('a'))
  assert.deepEqual(sumOf([tally]), { ...tally, policy: 'all' })
  const plan = { ...filled(emptyPlan('a')), isExact: false }
  assert.deepEqual(sumOfPlans([plan]), { ...plan, policy: 'all' })
})

test('a sum adds every figure, except the longest stream, which is the maximum', () => {
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

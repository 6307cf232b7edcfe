/** Entries written between two sweeps, counted from what the sweeps found. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Policy } from '../../src/retention/policy.ts'
import { Growth } from '../../src/tally/growth.ts'
import { emptyTally, type PolicyTally } from '../../src/tally/tally.ts'
import { configOf } from '../harness/configured.ts'

function policiesOf(...specs: readonly string[]): readonly Policy[] {
  return configOf(specs.flatMap((spec) => ['--policy', spec])).policies
}

/** A sweep that found `before` entries and removed some. */
function swept(policy: string, before: number, removed = 0): PolicyTally {
  const tally = emptyTally(policy)
  tally.entries = { before, after: before - removed }
  tally.removed.length = removed
  return tally
}

test('the first sweep counts none, and each later one what it found more than the one before left', () => {
  const growth = new Growth()
  growth.setPolicies(policiesOf('a:*,name=a', 'b:*,name=b'))
  const added = (...tallies: PolicyTally[]) => [...growth.recordWholeSweep(tallies).values()]
  assert.deepEqual(added(swept('a', 500, 100), swept('b', 0)), [0, 0])
  assert.deepEqual(added(swept('a', 450, 50), swept('b', 7)), [50, 7])
  assert.deepEqual(added(swept('a', 400), swept('b', 7)), [0, 0])
  assert.deepEqual(added(swept('a', 390), swept('b', 8)), [0, 1], 'somebody else removed some: never negative')
})

test('entries that were removed between two whole sweeps hide no new ones', () => {
  const growth = new Growth()
  growth.setPolicies(policiesOf('a:*,name=a'))
  growth.recordWholeSweep([swept('a', 100)])
  growth.recordRemoval([swept('a', 30, 30)])
  growth.recordRemoval([swept('a', 30, 20)])
  assert.deepEqual([...growth.recordWholeSweep([swept('a', 100)])], [['a', 50]])
})

test('after a change of policies only those are compared that still cover the same streams', () => {
  const growth = new Growth()
  growth.setPolicies(policiesOf('a:*,name=a', 'b:*,name=b', 'c:*,name=c'))
  growth.recordWholeSweep(['a', 'b', 'c'].map((name) => swept(name, 100)))
  // Another limit for a, a new pattern before b and c.
  growth.setPolicies(policiesOf('a:*,name=a,max-length=5', 'b:new:*,name=new', 'b:*,name=b', 'c:*,name=c'))
  const added = growth.recordWholeSweep(['a', 'new', 'b', 'c'].map((name) => swept(name, 110)))
  assert.deepEqual(Object.fromEntries(added), { a: 10, new: 0, b: 0, c: 0 })
  // The control: without another change all are compared again.
  const next = growth.recordWholeSweep(['a', 'new', 'b', 'c'].map((name) => swept(name, 111)))
  assert.deepEqual([...next.values()], [1, 1, 1, 1])
})

test('after another copy has swept, the next sweep counts none', () => {
  const growth = new Growth()
  growth.setPolicies(policiesOf('a:*,name=a'))
  growth.recordWholeSweep([swept('a', 100)])
  growth.forget()
  assert.deepEqual([...growth.recordWholeSweep([swept('a', 200)])], [['a', 0]])
  assert.deepEqual([...growth.recordWholeSweep([swept('a', 201)])], [['a', 1]])
})

/** The sums over groups, and the most lagging ones. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Group } from '../../src/retention/groups.ts'
import { GroupTally } from '../../src/tally/group_tally.ts'
import { configOf } from '../harness/configured.ts'

function groupOf(name: string, lag: number | null): Group {
  return {
    ...{ name, rawName: Buffer.from(name), lastDelivered: { ms: 0n, seq: 0n }, lag, consumers: 2, pending: 3 },
    ...{ entriesRead: null, oldestPending: null, idleMs: null, firstUndelivered: null },
  }
}

test('the most lagging groups are kept whatever their order, and a group without a known lag counts otherwise', () => {
  const { policies } = configOf(['--policy', 'a:*,name=a'])
  const lags = Array.from({ length: 500 }, (_, i) => (i * 7919) % 500)
  const tally = new GroupTally(policies, 5)
  for (const lag of lags) tally.add(0, Buffer.from('a:1'), groupOf(`g${lag}`, lag))
  tally.add(1, Buffer.from('other'), groupOf('unknown', null))
  const report = tally.report()
  assert.deepEqual(
    report?.lagging.map(({ group, lag }) => [group, lag]),
    [499, 498, 497, 496, 495].map((lag) => [`g${lag}`, lag]),
  )
  assert.deepEqual(report?.policies, [
    { policy: 'a', groups: 500, consumers: 1_000, pending: 1_500, lagMax: 499 },
    { policy: 'stream:conversation:*', groups: 1, consumers: 2, pending: 3, lagMax: 0 },
  ])
  tally.isWhole = false
  assert.equal(tally.report(), null)
})

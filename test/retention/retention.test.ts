/** Decisions about groups and policies, without Redis. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatStreamId, parseStreamId } from '../../src/entries/stream_id.ts'
import { deliveryOf, type Group, holdOf, isStale, lastAlive, unreadAmong } from '../../src/retention/groups.ts'
import { type Limits, makePolicy, policyFor } from '../../src/retention/policy.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = Date.UTC(2026, 5, 1)
const LAST = 2n ** 64n - 1n

const id = parseStreamId

const LIMITS: Limits = {
  ...{ maxAgeMs: DAY, maxLength: 1000, maxBytes: Number.POSITIVE_INFINITY, trim: 'approx', protect: 'unacked' },
  ...{ hardMaxAgeMs: Number.POSITIVE_INFINITY, hardMaxLength: Number.POSITIVE_INFINITY },
  ...{
    staleGroupAfterMs: 7 * DAY,
    ackedAfterMs: Number.POSITIVE_INFINITY,
    deleteIdleMs: Number.POSITIVE_INFINITY,
    reapConsumersAfterMs: Number.POSITIVE_INFINITY,
    reapGroups: null,
    reapPending: false,
    deleteEmpty: false,
  },
}

function group(name: string, lastDelivered: string, more: Partial<Group> = {}): Group {
  return {
    ...{
      name,
      rawName: Buffer.from(name),
      lastDelivered: id(lastDelivered),
      lag: null,
      consumers: 1,
      pending: 0,
      entriesRead: null,
    },
    ...{ oldestPending: null, idleMs: 0, firstUndelivered: null, ...more },
  }
}

test('a group was last alive when its most recently active consumer was', () => {
  assert.equal(lastAlive(group('a', '5-0', { idleMs: HOUR }), NOW), NOW - HOUR)
})

test('a group without consumers was last alive when its first undelivered entry was written, or is alive if there is none', () => {
  const alone = { consumers: 0, idleMs: null }
  const waiting = { ...alone, firstUndelivered: id(`${NOW - 3 * DAY}-0`) }
  assert.equal(lastAlive(group('a', '5-0', waiting), NOW), NOW - 3 * DAY)
  assert.equal(lastAlive(group('a', '5-0', alone), NOW), NOW)
  // A custom ID says nothing, and a group that cannot be judged counts as alive.
  const timeless = group('a', '5-0', { ...alone, firstUndelivered: id('6-0') })
  assert.equal(lastAlive(timeless, NOW), null)
  assert.equal(isStale(timeless, 1, NOW), false)
})

test('a group is stale after --stale-group-after, and never if that is off', () => {
  const dead = group('a', '5-0', { idleMs: 7 * DAY })
  assert.equal(isStale(dead, 7 * DAY, NOW), true)
  assert.equal(isStale(dead, 7 * DAY + 1, NOW), false)
  assert.equal(isStale(dead, Number.POSITIVE_INFINITY, NOW), false)
})

test('the hold is the lowest ID that a living group still needs, with the name of the group', () => {
  const pending = group('pending', '50-0', { oldestPending: id('20-3') })
  const slow = group('slow', '30-0', { idleMs: HOUR })
  const dead = group('dead', '1-0', { idleMs: 8 * DAY })
  const all = [group('done', '90-0'), slow, pending, dead]
  const hold = (groups: readonly Group[], protect: Limits['protect']) => {
    const found = holdOf(groups, { ...LIMITS, protect }, NOW)
    return found && [formatStreamId(found.floor), found.group, found.lastAliveMs]
  }
  assert.deepEqual(hold(all, 'unacked'), ['20-3', 'pending', NOW])
  assert.deepEqual(hold(all, 'unread'), ['30-1', 'slow', NOW - HOUR])
  assert.deepEqual(hold(all, 'none'), null)
  assert.deepEqual(hold([dead], 'unacked'), null)
  assert.deepEqual(hold([], 'unacked'), null)
  // XGROUP SETID may have set a group back before its pending entries: the earlier of the two counts.
  assert.deepEqual(hold([group('back', '10-0', { oldestPending: id('40-0') })], 'unacked'), ['10-1', 'back', NOW])
  // After the last ID of a millisecond comes the next millisecond.
  assert.deepEqual(hold([group('edge', `5-${LAST}`)], 'unread'), ['6-0', 'edge', NOW])
})

test('unread among the removed entries is what the group furthest behind had not read', () => {
  for (const [removed, length, lags, unread] of [
    [0, 100, [100], 0],
    [60, 100, [], 0],
    [60, 100, [0], 0],
    [60, 100, [100], 60],
    [60, 100, [50], 10],
    [60, 100, [40], 0],
    [60, 100, [50, 70, 0], 30],
    [60, 100, [null], 0],
    [60, 100, [null, 50], 10],
    // More lag than entries: XDEL or an earlier trim removed some of what it waits for.
    [60, 100, [500], 60],
    [100, 100, [100], 100],
  ] as const) {
    const groups = lags.map((lag, i) => group(String(i), '1-0', { lag }))
    assert.equal(unreadAmong(removed, length, groups, [], null), unread, `${removed} of ${length}, lags ${lags}`)
  }
})

test('the oldest entries show what was unread if the first undelivered entry is among them', () => {
  const head = ['3-0', '9-0', '10-0', '10-1'].map(id)
  for (const [removed, lastDelivered, lag, unread] of [
    // Redis 7.0 keeps counting entries that were removed before the group could read them.
    [4, '9-0', 500, 2],
    [60, '2-0', 500, 60],
    [60, '10-0', 500, 57],
    [1, '9-0', 500, 0],
    [4, '10-1', 500, 0],
    // Beyond these entries only the lag tells.
    [60, '10-1', 50, 10],
    [4, '2-0', null, 0],
  ] as const) {
    const groups = [group('a', lastDelivered, { lag })]
    assert.equal(
      unreadAmong(removed, 100, groups, head, null),
      unread,
      `${removed} removed, read up to ${lastDelivered}`,
    )
  }
})

test('a group that has read the oldest remaining entry has read everything that was removed, whatever its lag', () => {
  const groups = [group('a', '50-0', { lag: 500 })]
  assert.equal(unreadAmong(250, 583, groups, [id('3-0')], id('50-0')), 0)
  // The control: for a group that has not, the lag counts, but not for entries seen to be read.
  assert.equal(unreadAmong(250, 583, groups, [id('3-0')], id('50-1')), 167)
  assert.equal(unreadAmong(250, 400, groups, [id('3-0')], id('50-1')), 249)
})

test('a bite covers entries that groups have read, have not read, or both', () => {
  const reach = (most: number, ...groups: readonly Group[]) => deliveryOf(most, 100, id('10-0'), groups)
  const behind = group('behind', '5-0', { lag: 100 })
  const halfway = group('halfway', '50-0', { lag: 50 })
  assert.equal(reach(100), 'delivered')
  assert.equal(reach(100, group('unknown', '5-0')), 'delivered')
  assert.equal(reach(50, halfway), 'delivered')
  assert.equal(reach(51, halfway), 'partly')
  assert.equal(reach(1, behind), 'undelivered')
  assert.equal(reach(50, behind, halfway), 'undelivered')
  assert.equal(reach(51, behind, halfway), 'partly')
})

test('the first matching policy applies to a key, and none applies to a key that none matches', () => {
  const policies = [makePolicy('vip', 'a:vip:*', LIMITS), makePolicy('a', 'a:*', LIMITS)]
  assert.equal(policyFor(policies, Buffer.from('a:vip:1')), 0)
  assert.equal(policyFor(policies, Buffer.from('a:1')), 1)
  assert.equal(policyFor(policies, Buffer.from('b:1')), -1)
})

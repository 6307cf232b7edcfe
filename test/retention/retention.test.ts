/** Decisions about what to trim, without Redis: IDs, bites, groups, policies. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { biteOf, bitesAtOnce, costOfBite, largerBite } from '../../src/retention/bites.ts'
import { deliveryOf, type Group, holdOf, isStale, lastAlive, unreadAmong } from '../../src/retention/groups.ts'
import { type Limits, makePolicy, policyFor } from '../../src/retention/policy.ts'
import {
  EARLIEST_TIME_MS,
  earlierOf,
  formatStreamId,
  isBefore,
  isTime,
  millisecondsOf,
  nextStreamId,
  parseStreamId,
  timeId,
} from '../../src/retention/stream_id.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = Date.UTC(2026, 5, 1)
const LAST = 2n ** 64n - 1n

const id = parseStreamId

test('an ID is two 64-bit integers, parsed and written like Redis does', () => {
  for (const text of ['0-0', '1-1', '1700000000000-12', '18446744073709551615-18446744073709551615']) {
    assert.equal(formatStreamId(id(text)), text)
  }
  assert.equal(formatStreamId(id('5')), '5-0')
})

test('IDs compare as integers, not as text', () => {
  const ascending = [
    '0-1',
    '2-0',
    '9-10',
    '9-11',
    '10-1',
    '9007199254740993-0',
    '9007199254740993-1',
    `${LAST}-${LAST}`,
  ]
  ascending.forEach((a, i) => {
    ascending.forEach((b, k) => {
      assert.equal(isBefore(id(a), id(b)), i < k, `${a} before ${b}`)
      assert.deepEqual(earlierOf(id(a), id(b)), id(i < k ? a : b))
    })
  })
})

test('the ID after the last of a millisecond is the first of the next', () => {
  assert.equal(formatStreamId(nextStreamId(id('5-7'))), '5-8')
  assert.equal(formatStreamId(nextStreamId(id(`5-${LAST}`))), '6-0')
  assert.equal(formatStreamId(nextStreamId(id(`${LAST}-${LAST}`))), `${LAST}-${LAST}`)
})

test('the first ID of a time before 1970, or of -Infinity, is 0-0', () => {
  assert.equal(formatStreamId(timeId(NOW)), `${NOW}-0`)
  assert.equal(formatStreamId(timeId(-5)), '0-0')
  assert.equal(formatStreamId(timeId(Number.NEGATIVE_INFINITY)), '0-0')
})

test('the time of an ID is its first part, exact for every real time', () => {
  for (const [text, ms] of [
    ['1700000000000-12', 1_700_000_000_000],
    ['9007199254740991-0', 2 ** 53 - 1],
    ['0-1', 0],
    ['', 0],
  ] as const) {
    assert.equal(millisecondsOf(Buffer.from(text)), ms)
  }
  assert.ok(millisecondsOf(Buffer.from(`${LAST}-0`)) > 2 ** 63)
})

test('a first part counts as a time from 2000 to tomorrow; counters, seconds and microseconds do not', () => {
  for (const [ms, is] of [
    [NOW, true],
    [NOW - 20 * 365 * DAY, true],
    [NOW + DAY, true],
    [NOW + DAY + 1, false],
    [EARLIEST_TIME_MS, true],
    [EARLIEST_TIME_MS - 1, false],
    [0, false],
    [500_000, false],
    [Math.floor(NOW / 1000), false],
    [NOW * 1000, false],
    [NOW * 1_000_000, false],
  ] as const) {
    assert.equal(isTime(ms, NOW), is, String(ms))
  }
})

test('the larger the entries, the smaller the bite, down to ten entries', () => {
  for (const [entryBytes, limit] of [
    [0, 10_000],
    [1, 10_000],
    [400, 10_000],
    [500, 8_388],
    [4096, 1_024],
    [1024 ** 2, 10],
    [1024 ** 3, 10],
  ] as const) {
    assert.equal(biteOf(entryBytes), limit, `${entryBytes} bytes`)
  }
})

test('a bite that removed nothing grows until it covers the first node, whatever its size, or nothing is left', () => {
  for (const nodeEntries of [1, 9, 10, 11, 100, 4096, 10_000, 123_456, 1_000_000]) {
    for (const candidates of [nodeEntries - 1, nodeEntries, nodeEntries + 1, nodeEntries * 50]) {
      for (const entryBytes of [10, 10_000_000]) {
        let limit: number | null = biteOf(entryBytes)
        let tries = 0
        // Redis removes the node if both the LIMIT and the candidates cover it.
        while (limit !== null && limit < nodeEntries) {
          limit = largerBite(limit, candidates)
          assert.ok(++tries < 10)
        }
        assert.equal(limit !== null, candidates >= nodeEntries || biteOf(entryBytes) >= nodeEntries)
        // A bite takes at most ten nodes at once, or what the first bite asked for.
        if (limit !== null) assert.ok(limit <= Math.max(biteOf(entryBytes), nodeEntries * 10))
      }
    }
  }
})

test('bites sent together remove only what is due, and for large entries there are at most two', () => {
  for (const [limit, entryBytes, candidates, times] of [
    [10_000, 10, 1_000_000, 5],
    [10_000, 10, 35_000, 3],
    [10_000, 10, 9_999, 1],
    [10_000, 100, 1_000_000, 5],
    [10_000, 400, 1_000_000, 2],
    [4_194, 1_000, 1_000_000, 2],
    [10, 1_000_000, 1_000_000, 1],
    // A bite that grew because the nodes are larger.
    [100_000, 10, 1_000_000, 1],
  ] as const) {
    assert.equal(bitesAtOnce(limit, entryBytes, candidates), times, `${limit} of ${entryBytes} bytes`)
  }
})

test('bites of many streams go together up to one large bite, by entries, by bytes or by number', () => {
  for (const [entries, entryBytes, most] of [
    [20, 100, 227],
    [10_000, 10, 4],
    [100, 10_000, 8],
    [1, 1, 248],
  ] as const) {
    assert.equal(Math.floor(1 / costOfBite(entries, entryBytes)), most, `${entries} of ${entryBytes} bytes`)
  }
})

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

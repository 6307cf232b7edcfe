/** What consumer groups keep, what they lose, and how both are reported. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { pendingOf, publish, readNext, startReader } from '../harness/conversation.ts'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { planWell } from '../harness/plan_once.ts'
import { EVERY_SECOND, runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fieldsOf } from '../harness/replies.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { sweepWhole } from '../harness/sweep_here.ts'
import { sweepOnce } from '../harness/sweep_once.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

const KEY = 'stream:conversation:1'

/** How many messages the slow group stays behind while new ones arrive. */
const BEHIND = 200
/** The fast group is never farther behind, so a hard limit of 150 costs it nothing, even on a busy machine. */
const FAST_BEHIND = 100

test('with --protect unacked, a fast and a slow group read and acknowledge every message, as without the daemon', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await makeThreeGroups(redis)
  const daemon = await startDaemon(t, [
    ...['--redis-url', redis.url, ...EVERY_SECOND, '--log-level', 'debug'],
    ...['--max-age', 'off', '--max-length', '50', '--trim', 'exact', '--protect', 'unacked'],
  ])

  const { published, fast, slow } = await converse(redis, async () => {
    const sweeps = daemon.logs.filter(
      ({ msg, removed }) => msg === 'sweep' && (removed as { length: number }).length > 0,
    )
    return sweeps.length >= 3
  })

  const all = Array.from({ length: published }, (_, number) => number)
  assert.deepEqual(fast, all)
  assert.deepEqual(slow, all)
  for (const group of ['fast', 'slow']) assert.equal(await pendingOf(redis, KEY, group), 0)
  await daemon.waitForMetric('xtrimd_entries', {}, (entries) => entries === 50)
  // The third group has been dead for over a week: it protects nothing, but its losses are counted.
  assert.equal((await groupState(redis, 'abandoned')).pending, 5)
  assert.equal(await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' }), published - 50)
})

test('control: without --protect the slow group misses messages', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await makeThreeGroups(redis)
  const args = ['--max-age', 'off', '--max-length', '50', '--trim', 'exact']
  let trimmed = 0

  const { published, fast, slow } = await converse(redis, async () => {
    trimmed += (await sweepWhole(redis.url, args)).removed.length
    return trimmed > 3 * BEHIND
  })

  assert.ok(slow.length < published, `${slow.length} of ${published}`)
  assert.deepEqual([...new Set(fast)], fast)
})

for (const { who, abandoned } of [
  { who: 'the slow group', abandoned: false },
  { who: 'the abandoned group', abandoned: true },
]) {
  test(`--hard-max-length bounds the stream despite its groups, and the count of what ${who} lost is exact`, async (t) => {
    const redis = await startRedis(t)
    const args = ['--max-age', 'off', '--max-length', '20', '--hard-max-length', '150']
    const modes = ['--trim', 'exact', '--protect', 'unacked', '--stale-group-after', 'off']
    for (const group of ['fast', 'slow', ...(abandoned ? ['abandoned'] : [])]) {
      await redis.command('XGROUP', 'CREATE', KEY, group, '0', 'MKSTREAM')
    }
    for (let number = 0; number < 10; number++) await publish(redis, KEY, number)
    let sweeps = 0
    let unread = 0

    const { published, fast, slow } = await converse(
      redis,
      async () => {
        const total = await sweepWhole(redis.url, [...args, ...modes])
        assert.ok(total.longestStream <= 150, `${total.longestStream} entries after a sweep`)
        unread += total.unread
        return ++sweeps >= 40 && unread > 500
      },
      10,
    )

    const left = abandoned ? await readNext(redis, KEY, 'abandoned', published) : []
    const behind = abandoned ? left.map(({ number }) => number) : slow
    assert.equal(unread, published - behind.length)
    assert.deepEqual([...new Set(behind)], behind)
    assert.equal(fast.length, published)

    // The control: without a hard limit, a group that nobody reads from holds everything.
    const before = await streamIds(redis, KEY)
    await redis.command('XGROUP', 'CREATE', KEY, 'another', '0')
    for (let number = 0; number < 500; number++) await publish(redis, KEY, number)
    await sweepWhole(redis.url, ['--max-age', 'off', '--max-length', '20', ...modes])
    assert.equal((await streamIds(redis, KEY)).length, before.length + 500)
  })
}

test("the daemon's counter of unread entries equals what the slow group never got", async (t) => {
  const redis = await startRedis(t)
  await redis.command('XGROUP', 'CREATE', KEY, 'slow', '0', 'MKSTREAM')
  const daemon = await startDaemon(t, [
    ...['--redis-url', redis.url, ...EVERY_SECOND, '--protect', 'unread'],
    ...['--max-age', 'off', '--max-length', '50', '--hard-max-length', '300'],
  ])
  const got: number[] = []
  let published = 0
  // Twice, because after its first loss a group continues after a gap.
  for (let round = 1; round <= 2; round++) {
    for (let i = 0; i < 1_000; i++) await publish(redis, KEY, published++)
    const least = 500 * round
    await daemon.waitForMetric('xtrimd_entries_trimmed_unread_total', {}, (unread) => unread >= least)
    got.push(...(await readNext(redis, KEY, 'slow', 100)).map(({ number }) => number))
  }
  await daemon.waitForMetric('xtrimd_entries', {}, (entries) => entries <= 400)
  got.push(...(await readNext(redis, KEY, 'slow', 5_000)).map(({ number }) => number))

  // A sweep that was running is counted by the time another one has begun and ended.
  await daemon.waitForSuccesses(2)
  assert.equal(await daemon.metric('xtrimd_entries_trimmed_unread_total'), published - got.length)
})

test('if Redis does not know the lag, nothing is counted as unread', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  const ids = await streamIds(redis, KEY)
  await redis.command('XGROUP', 'CREATE', KEY, 'slow', '0')
  await readNext(redis, KEY, 'slow', 100)
  await redis.command('XDEL', KEY, ids[2_500] ?? '')
  assert.equal((await groupState(redis, 'slow')).lag, null)

  const report = await sweepWhole(redis.url, [])

  assert.equal(report.removed.length, 1_900)
  assert.equal(report.unread, 0)
})

test('a group protects nothing once all its consumers have been idle for --stale-group-after', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fillStream(redis, KEY, { count: 500, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  await readNext(redis, KEY, 'group', 5)
  const sweep = async (staleAfter: string): Promise<number> => {
    const args = ['--max-length', '20', '--trim', 'exact', '--protect', 'unacked', '--stale-group-after', staleAfter]
    return (await sweepWhole(redis.url, args)).removed.length
  }

  assert.equal(await sweep('7d'), 0)
  // One active consumer is enough.
  await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'group', 'lively')
  await makeIdle(redis, KEY, { 'group-consumer': 8 * DAY })
  assert.equal(await sweep('7d'), 0)
  await makeIdle(redis, KEY, { lively: 7 * DAY - HOUR })
  assert.equal(await sweep('7d'), 0)
  await makeIdle(redis, KEY, { lively: 2 * HOUR })
  assert.equal(await sweep('7d'), 480)
})

test('a group without consumers protects as long as its first undelivered entry is young', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 100, from: now - 2 * DAY, stepMs: 1, bytes: 10 })
  await fillStream(redis, KEY, { count: 100, from: now - HOUR, stepMs: 1, bytes: 10 })
  const ids = await streamIds(redis, KEY)
  const args = ['--max-length', '10', '--max-age', 'off', '--trim', 'exact', '--protect', 'unread']
  await redis.command('XGROUP', 'CREATE', KEY, 'old', ids[49] ?? '')
  assert.equal((await sweepWhole(redis.url, [...args, '--stale-group-after', '3d'])).removed.length, 50)
  assert.equal((await streamIds(redis, KEY))[0], ids[50])
  await redis.command('XGROUP', 'CREATE', KEY, 'new', ids[149] ?? '')
  assert.equal((await sweepWhole(redis.url, [...args, '--stale-group-after', '1d'])).removed.length, 100)
  assert.equal((await sweepWhole(redis.url, [...args, '--stale-group-after', '1s'])).removed.length, 40)
})

test("a consumer that falls silent protects until --stale-group-after has passed by Redis's clock", async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 500, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  await readNext(redis, KEY, 'group', 5)
  await waitUntil(async () => (await groupState(redis, 'group')).idleMs >= 1_000, {
    timeoutMs: 60_000,
    what: 'the consumer to be idle for a second',
  })
  const args = ['--max-length', '20', '--trim', 'exact', '--protect', 'unacked', '--stale-group-after', '1s']
  assert.equal((await sweepWhole(redis.url, args)).removed.length, 480)
})

test('a pending entry that was trimmed does not hold the stream back forever', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 1_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  const [, ...rest] = await readNext(redis, KEY, 'group', 900)
  await redis.command('XACK', KEY, 'group', ...rest.map(({ id }) => id))
  const args = ['--max-length', '10', '--trim', 'exact', '--protect', 'unacked']

  // The first entry was never acknowledged, and the hard limit removed it.
  assert.equal((await sweepWhole(redis.url, [...args, '--hard-max-length', '600'])).removed.length, 400)
  assert.equal(await pendingOf(redis, KEY, 'group'), 1)
  assert.equal((await sweepWhole(redis.url, args)).removed.length, 500)
  assert.equal((await streamIds(redis, KEY)).length, 100)
})

test('the IDs of groups compare as numbers, so that 9 comes before 10', async (t) => {
  const redis = await startRedis(t)
  for (const { entries, delivered, keeps } of [
    { entries: ['8-1', '9-1', '9-5', '10-1', '10-2'], delivered: ['9-5', '10-1'], keeps: ['10-1', '10-2'] },
    { entries: ['8-1', '9-1', '9-5', '10-1', '10-2'], delivered: ['10-1', '9-1'], keeps: ['9-5', '10-1', '10-2'] },
    { entries: ['5-8', '5-9', '5-10', '5-11'], delivered: ['5-9'], keeps: ['5-10', '5-11'] },
    { entries: ['5-8', '5-9', '5-10', '5-11'], delivered: ['5-10', '5-9'], keeps: ['5-10', '5-11'] },
    { entries: ['99-1', '100-1', '1000-1'], delivered: ['100-1', '99-1'], keeps: ['100-1', '1000-1'] },
  ]) {
    await redis.command('FLUSHALL')
    for (const id of entries) await redis.command('XADD', KEY, id, 'a', 'b')
    for (const [i, id] of delivered.entries()) await redis.command('XGROUP', 'CREATE', KEY, `group ${i}`, id)
    await sweepWhole(redis.url, ['--max-length', '1', '--trim', 'exact', '--protect', 'unread'])
    assert.deepEqual(await streamIds(redis, KEY), keeps)
  }
})

test('a group at the highest possible ID protects nothing, and sweeps succeed', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 300, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  const last = 2n ** 64n - 1n
  await redis.command('XGROUP', 'CREATE', KEY, 'never', `${last}-${last}`)
  for (const protect of ['unread', 'unacked']) {
    const length = protect === 'unread' ? 200 : 100
    const args = ['--max-length', String(length), '--trim', 'exact', '--protect', protect]
    assert.equal((await sweepWhole(redis.url, args)).removed.length, 100)
  }
})

test('a group that waits for an ID in nanoseconds protects, and the time of its last activity is unknown', async (t) => {
  const redis = await startRedis(t)
  const nowNs = BigInt(await redisNow(redis)) * 1_000_000n
  const ids = Array.from({ length: 10 }, (_, i) => `${nowNs + BigInt(i)}-0`)
  for (const id of ids) await redis.command('XADD', KEY, id, 'a', 'b')
  await redis.command('XGROUP', 'CREATE', KEY, 'waits', ids[2] ?? '')
  const args = ['--max-length', '1', '--trim', 'exact', '--protect', 'unread']

  const plan = await planWell(redis.url, args)
  const { report, code, stderr } = await sweepOnce(redis.url, args)

  assert.deepEqual([code, stderr], [0, ''])
  assert.deepEqual(await streamIds(redis, KEY), ids.slice(3))
  for (const { held } of [plan, report]) {
    assert.deepEqual(
      held.map(({ group, lastAlive }) => [group, lastAlive]),
      [['waits', null]],
    )
  }
})

test('the debug log, the JSON and the plan name the group that holds a stream back, and the time of its last activity', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const now = await redisNow(redis)
  for (const key of [KEY, 'stream:conversation:2']) {
    await fillStream(redis, key, { count: 500, from: now - HOUR, stepMs: 1, bytes: 10 })
  }
  for (const group of ['reads', 'sleeps']) await redis.command('XGROUP', 'CREATE', KEY, group, '0')
  await readNext(redis, KEY, 'reads', 400)
  await readNext(redis, KEY, 'sleeps', 10)
  await makeIdle(redis, KEY, { 'sleeps-consumer': 3 * DAY })
  const args = ['--max-length', '20', '--protect', 'unread', '--log-level', 'debug', '--log-format', 'json']
  const sinceDays = ({ lastAlive }: { lastAlive: string | null }): number =>
    Math.round(((now - Date.parse(String(lastAlive))) / DAY) * 10) / 10

  const plan = await runXtrimd(['plan', '--output', 'json', '--redis-url', redis.url, ...args])
  const { report, stderr } = await sweepOnce(redis.url, args)

  const planned = JSON.parse(plan.stdout) as typeof report
  for (const { held } of [planned, report]) {
    assert.deepEqual(
      held.map(({ stream, group, ...rest }) => ({ stream, group, days: sinceDays(rest) })),
      [{ stream: KEY, group: 'sleeps', days: 3 }],
    )
  }
  assert.equal(report.protectedStreams, 1)
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const held = lines.filter((line) => line.held) as { stream: string; held: { group: string; lastAlive: string } }[]
  assert.deepEqual(
    held.map(({ stream, held: { group, ...rest } }) => ({ stream, group, days: sinceDays(rest) })),
    [{ stream: KEY, group: 'sleeps', days: 3 }],
  )
})

/** Creates groups that start at the first message: one abandoned eight days ago, and two that are about to read. */
async function makeThreeGroups(redis: RedisServer): Promise<void> {
  for (const group of ['fast', 'slow', 'abandoned'])
    await redis.command('XGROUP', 'CREATE', KEY, group, '0', 'MKSTREAM')
  for (let number = 0; number < 10; number++) await publish(redis, KEY, number)
  await readNext(redis, KEY, 'abandoned', 5)
  await makeIdle(redis, KEY, { 'abandoned-consumer': 8 * DAY })
}

/**
 * Publishes messages from number 10 on, while both groups read, until `enough` returns true. Then the groups read the rest.
 * The slow one stays behind while new messages arrive.
 */
async function converse(redis: RedisServer, enough: () => Promise<boolean>, batch = 5) {
  let published = 10
  let over = false
  const publisher = async (): Promise<void> => {
    while (!over) {
      const isBehind = published + batch - (fast.delivered.at(-1) ?? 0) > FAST_BEHIND
      if (isBehind) {
        await pause(1)
        continue
      }
      const numbers = Array.from({ length: batch }, () => published++)
      await Promise.all(numbers.map((number) => publish(redis, KEY, number)))
      await pause(1)
    }
  }
  const fast = startReader(redis, KEY, 'fast', 100)
  const slow = startReader(redis, KEY, 'slow', 7, (delivered) => published - delivered > BEHIND)
  const publishing = publisher()
  await waitUntil(enough, { timeoutMs: 60_000, what: 'enough sweeps', everyMs: 5 }).finally(() => {
    over = true
  })
  await publishing
  await Promise.all([fast.finish(), slow.finish()])
  return { published, fast: fast.delivered, slow: slow.delivered }
}

async function groupState(redis: RedisServer, name: string) {
  const groups = (await redis.command('XINFO', 'GROUPS', KEY)) as unknown[][]
  const told = fieldsOf(groups.find((fields) => fieldsOf(fields).get('name') === name) ?? [])
  const consumers = (await redis.command('XINFO', 'CONSUMERS', KEY, name)) as unknown[][]
  return {
    pending: Number(told.get('pending')),
    lag: told.get('lag'),
    idleMs: Math.min(...consumers.map((fields) => Number(fieldsOf(fields).get('idle')))),
  }
}

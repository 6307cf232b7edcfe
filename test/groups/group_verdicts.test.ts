/** `XINFO CONSUMERS` is sent only where a verdict depends on it, and not again before that verdict can change. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LivingGroups } from '../../src/groups/living_groups.ts'
import { sweep } from '../../src/sweep/sweep.ts'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { HARDLY_EVER, startDaemon } from '../harness/program.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import { testOnEach } from '../harness/servers.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'

const KEY = 'stream:conversation:1'
const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Entries of two days ago. */
async function fillOld(redis: RedisServer, count = 2_000): Promise<void> {
  await fillStream(redis, KEY, { count, from: (await redisNow(redis)) - 2 * DAY, stepMs: 1, bytes: 10 })
}

const MAKE_CONSUMERS = `
for i = 1, tonumber(ARGV[2]) do redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], 'consumer-' .. i) end`

async function makeGroup(redis: RedisServer, group: string, start: string, consumers: number): Promise<void> {
  await redis.command('XGROUP', 'CREATE', KEY, group, start)
  await redis.command('EVAL', MAKE_CONSUMERS, '1', KEY, group, String(consumers))
}

const asked = (redis: RedisServer): Promise<number> => redis.callsOf('xinfo|consumers')

/** Sweeps again and again with one memory, as the daemon does. @returns the questions that each sweep asked */
function sweeper(redis: RedisServer, ...args: string[]) {
  const task = taskOf(redis.url, args)
  return async (): Promise<{ questions: number; removed: number }> => {
    const before = await asked(redis)
    const { result, total } = await sweep(task, new AbortController().signal)
    assert.equal(result, 'success')
    return { questions: (await asked(redis)) - before, removed: total.removed.age + total.removed.length }
  }
}

testOnEach(
  'groups of 20,000 consumers that hold a stream back are asked once each, in all sweeps',
  async (t, redis) => {
    await fillOld(redis)
    for (const group of ['a', 'b', 'c', 'd', 'e']) await makeGroup(redis, group, '0', 20_000)
    const args = ['--redis-url', redis.url, '--protect', 'unacked', '--cron', '* * * * * *', '--lease=false']
    const daemon = await startDaemon(t, args)
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (sweeps) => sweeps >= 5)
    assert.equal(await asked(redis), 5)
    assert.equal(await redis.command('XLEN', KEY), 2_000)
    await daemon.stop()
  },
)

testOnEach('a group is asked only if it may keep what the limits would remove', async (_, redis) => {
  await fillOld(redis)
  const fresh = `${(await redisNow(redis)) - HOUR}-0`
  await makeGroup(redis, 'ahead', fresh, 10)
  const again = sweeper(redis, '--protect', 'unread', '--max-length', 'off', '--trim', 'exact')
  assert.deepEqual(await again(), { questions: 0, removed: 2_000 })
  // Nothing is due: nobody is asked.
  await redis.command('XADD', KEY, '*', 'a', 'b')
  await makeGroup(redis, 'behind', '0', 10)
  assert.deepEqual(await again(), { questions: 0, removed: 0 })
})

testOnEach('a group within the newest entries that the length limit keeps is not asked', async (_, redis) => {
  await fillStream(redis, KEY, { count: 2_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', KEY, 'near', '0')
  await redis.command('XREADGROUP', 'GROUP', 'near', 'me', 'COUNT', '1500', 'NOACK', 'STREAMS', KEY, '>')
  assert.deepEqual(await sweeper(redis, '--protect', 'unacked', '--trim', 'exact')(), { questions: 0, removed: 1_000 })
  // The control: with more than the limit unread, it is asked, and keeps it.
  await fillStream(redis, KEY, { count: 1_000, from: await redisNow(redis), stepMs: 0, bytes: 10 })
  const { questions, removed } = await sweeper(redis, '--protect', 'unacked', '--trim', 'exact')()
  assert.deepEqual([questions, removed], [1, 500])
})

testOnEach(
  'a group that is dead by now is asked again, and no longer holds anything back',
  async (_, redis) => {
    await fillOld(redis)
    await makeGroup(redis, 'g', '0', 2)
    await makeIdle(redis, KEY, { 'consumer-1': 10 * DAY, 'consumer-2': HOUR - 1_500 })
    const again = sweeper(redis, '--protect', 'unread', '--stale-group-after', '1h', '--trim', 'exact')
    assert.deepEqual(await again(), { questions: 1, removed: 0 })
    assert.deepEqual(await again(), { questions: 0, removed: 0 })
    await new Promise((resolve) => setTimeout(resolve, 1_600))
    assert.deepEqual(await again(), { questions: 1, removed: 2_000 })
  },
  IDLE_CONFIG,
)

testOnEach(
  'a group whose living consumer was deleted is asked again; one that gains consumers is not',
  async (_, redis) => {
    await fillOld(redis)
    await makeGroup(redis, 'g', '0', 2)
    await makeIdle(redis, KEY, { 'consumer-1': 10 * DAY })
    const again = sweeper(redis, '--protect', 'unread', '--trim', 'exact')
    assert.deepEqual(await again(), { questions: 1, removed: 0 })
    await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'g', 'another')
    assert.deepEqual(await again(), { questions: 0, removed: 0 })
    await redis.command('XGROUP', 'DELCONSUMER', KEY, 'g', 'another')
    await redis.command('XGROUP', 'DELCONSUMER', KEY, 'g', 'consumer-2')
    assert.deepEqual(await again(), { questions: 1, removed: 2_000 })
  },
  IDLE_CONFIG,
)

testOnEach(
  'a dead group that comes back holds from then on, though nothing but its consumers shows it',
  async (_, redis) => {
    await fillOld(redis)
    await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
    await redis.command('XREADGROUP', 'GROUP', 'g', 'worker', 'COUNT', '1500', 'STREAMS', KEY, '>')
    await makeIdle(redis, KEY, { worker: 10 * DAY })
    const again = sweeper(redis, '--protect', 'unacked', '--max-age', 'off', '--max-length', '1500', '--trim', 'exact')
    assert.deepEqual(await again(), { questions: 1, removed: 500 })
    // It takes up what it had been delivered: no position and no count changes.
    await redis.command('XREADGROUP', 'GROUP', 'g', 'worker', 'COUNT', '1', 'STREAMS', KEY, '0')
    await fillStream(redis, KEY, { count: 200, from: await redisNow(redis), stepMs: 0, bytes: 10 })
    assert.deepEqual(await again(), { questions: 1, removed: 0 })
  },
  IDLE_CONFIG,
)

testOnEach('--watch shares what the sweeps remember', async (t, redis) => {
  await redis.command('CONFIG', 'SET', 'notify-keyspace-events', 'Et')
  await fillStream(redis, KEY, { count: 2_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  await makeGroup(redis, 'g', '0', 100)
  const args = ['--redis-url', redis.url, ...HARDLY_EVER, '--protect', 'unread', '--watch', '--watch-every', '10']
  const daemon = await startDaemon(t, args)
  await daemon.waitForLog('watching')
  for (let i = 0; i < 100; i++) await redis.command('XADD', KEY, '*', 'a', 'b')
  await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes >= 100)
  await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (sweeps) => sweeps >= 1)
  await daemon.stop()
  // A sweep and the watch may both look before either remembers.
  assert.ok((await asked(redis)) <= 2, `${await asked(redis)}`)
})

test('what is remembered of groups is bounded', () => {
  const living = new LivingGroups()
  const group = (name: string) => ({
    ...{ name, rawName: Buffer.from(name), lastDelivered: { ms: 0n, seq: 0n }, lag: 0, consumers: 1, pending: 0 },
    ...{ entriesRead: 0, oldestPending: null, idleMs: 10, firstUndelivered: null },
  })
  const key = Buffer.from(KEY)
  const names = Array.from({ length: 21_000 }, (_, i) => `g${i}`)
  for (const name of names) living.set(key, group(name), DAY, DAY)
  const known = names.filter((name) => living.idleMs(key, group(name), DAY, DAY) === 10)
  assert.equal(known.length, 20_000)
  const long = group('x'.repeat(600))
  living.set(key, long, DAY, DAY)
  assert.equal(living.idleMs(key, long, DAY, DAY), null, 'long names are not remembered')
})

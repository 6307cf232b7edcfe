/**
 * Between sweeps: what writers add faster than sweeps come is held in bounds. TEST_WATCH_WRITES is how much the bursts
 * write (600,000).
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { burstKeys, longestOf, startBurst, totalOf } from './harness/burst.ts'
import { type Daemon, startDaemon } from './harness/program.ts'
import { startCluster } from './harness/redis_cluster.ts'
import { type RedisServer, startRedis } from './harness/redis_server.ts'
import { streamIds } from './harness/streams.ts'
import { waitUntil } from './harness/waiting.ts'

const WRITES = Number(process.env.TEST_WATCH_WRITES || 600_000)
const STREAMS = 1_000
const KEYS = burstKeys(STREAMS)

const MAX_LENGTH = 20
const EVERY = 10
const NODE = 10
/** The bound, but for what is on its way between a write and its trim. */
const BOUND = MAX_LENGTH + EVERY + NODE
/**
 * How many writes to a stream may be on their way: as a rule, and at worst on a machine with other things to do. Not how long
 * they may be: on a slow machine that is longer, and the writers write less in it. The control has more than both.
 */
const IN_FLIGHT = { asARule: 60, atWorst: 300 }

const NOTIFYING = { 'notify-keyspace-events': 'Et' }
const SMALL_NODES = { ...NOTIFYING, 'stream-node-max-entries': String(NODE) }
/** Nothing sweeps: what is bounded, the watch has bounded. */
const NO_SWEEPS = ['--cron', '0 0 1 1 *', '--run-on-start=false']
const CAPPED = ['--max-length', String(MAX_LENGTH), '--watch-every', String(EVERY)]

/** Writes a burst while looking every 100 ms. @returns the longest stream of each look, and how many were written to one in a second */
async function lookAtBurst(
  t: TestContext,
  redis: RedisServer,
  meanwhile: () => Promise<unknown> = async () => {},
): Promise<{ looks: number[]; perSecond: number }> {
  let isWriting = true
  const written = startBurst(t, redis, { streams: STREAMS, writes: WRITES }).done.finally(() => {
    isWriting = false
  })
  const looks: number[] = []
  while (isWriting) {
    looks.push(await longestOf(redis, KEYS))
    await meanwhile()
    await pause(100)
  }
  return { looks: looks.sort((a, b) => a - b), perSecond: WRITES / STREAMS / ((await written) / 1_000) }
}

function assertBounded(t: TestContext, { looks, perSecond }: { looks: number[]; perSecond: number }): void {
  const [middle, most] = [looks[looks.length >> 1] ?? 0, looks.at(-1) ?? 0]
  t.diagnostic(
    `${middle} entries in the middle and ${most} at most, of ${BOUND}; ${Math.round(perSecond)} written a second`,
  )
  assert.ok(middle <= BOUND + IN_FLIGHT.asARule, `${middle}`)
  assert.ok(most <= BOUND + IN_FLIGHT.atWorst, `${most}`)
}

async function startWatching(t: TestContext, redis: RedisServer, more: readonly string[] = []): Promise<Daemon> {
  const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--watch', ...more]
  const daemon = await startDaemon(t, args)
  await daemon.waitForLog('watching')
  return daemon
}

test('a burst of 20 writers into 1,000 streams is bounded between sweeps', async (t) => {
  const redis = await startRedis(t, { config: SMALL_NODES })
  const daemon = await startWatching(t, redis)
  assertBounded(t, await lookAtBurst(t, redis))
  await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === WRITES)
  await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
  // The last page may still be in hand.
  await waitUntil(async () => (await longestOf(redis, KEYS)) <= BOUND, { timeoutMs: 60_000, what: 'the last trim' })
  const trimmed = () => daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })
  await waitUntil(async () => (await trimmed()) === WRITES - (await totalOf(redis, KEYS)), {
    timeoutMs: 60_000,
    what: 'what is counted to be what is gone',
  })
  assert.equal(await daemon.metric('xtrimd_watch_up'), 1)
  assert.equal(await daemon.metric('xtrimd_sweeps_total'), 0)
  assert.equal((await daemon.stop()).code, 0)
  const { removed } = await daemon.waitForLog('watched')
  assert.deepEqual(removed, { age: 0, length: WRITES - (await totalOf(redis, KEYS)), bytes: 0 })
})

test('the control: without --watch the same burst goes beyond ten times the bound', async (t) => {
  const redis = await startRedis(t, { config: SMALL_NODES })
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED])
  const { looks } = await lookAtBurst(t, redis)
  assert.ok((looks.at(-1) ?? 0) > 10 * BOUND, `${looks.at(-1)}`)
  assert.equal(await daemon.metric('xtrimd_watch_up'), 0)
})

test('a subscription that is killed every second is taken up again, and the burst is bounded all the same', async (t) => {
  const redis = await startRedis(t, { config: SMALL_NODES })
  const daemon = await startWatching(t, redis)
  let killed = 0
  let killedAt = performance.now()
  const burst = await lookAtBurst(t, redis, async () => {
    if (performance.now() - killedAt < 1_000) return
    killedAt = performance.now()
    killed += Number(await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub'))
  })
  assert.ok(killed > 1, `${killed}`)
  assertBounded(t, burst)
  // The last one was killed a moment ago.
  await daemon.waitForMetric('xtrimd_watch_lost_total', {}, (lost) => lost >= killed)
  assert.equal(await daemon.metric('xtrimd_watch_lost_total'), killed)
  assert.ok((await daemon.metric('xtrimd_watch_writes_total')) < WRITES, 'the control: some writes went unheard')
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  assert.equal((await daemon.stop()).code, 0)
})

test('what is in hand when a subscription is killed is counted as well', async (t) => {
  const redis = await startRedis(t, { config: SMALL_NODES })
  const daemon = await startWatching(t, redis, ['--pace', '100'])
  const writes = WRITES / 4
  const { done } = startBurst(t, redis, { streams: STREAMS, writes })
  let isWriting = true
  const written = done.finally(() => {
    isWriting = false
  })
  while (isWriting) {
    await pause(200)
    await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  }
  await written
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
  // The last page may still be in hand.
  const isCounted = async (): Promise<boolean> =>
    (await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })) ===
    writes - (await totalOf(redis, KEYS))
  await waitUntil(isCounted, { timeoutMs: 10_000, what: 'what is gone to be what is counted' })
})

test('as long as Redis is away that is said once, however often it is tried', async (t) => {
  const redis = await startRedis(t, { config: NOTIFYING })
  const daemon = await startWatching(t, redis)
  await redis.kill()
  await daemon.waitForMetric('xtrimd_watch_lost_total', {}, (lost) => lost >= 6)
  const reasons = daemon.logs.filter(({ msg }) => msg === 'watch lost').map(({ reason }) => String(reason))
  assert.ok(reasons.length > 0)
  assert.deepEqual(reasons, [...new Set(reasons)])
})

/** Writes one by one, as a producer of one stream. */
async function write(redis: RedisServer, key: string, count: number, bytes = 10): Promise<void> {
  for (let i = 0; i < count; i++) await redis.command('XADD', key, '*', 'body', 'x'.repeat(bytes))
}

async function lengthBecomes(redis: RedisServer, key: string, length: number): Promise<void> {
  await waitUntil(async () => Number(await redis.command('XLEN', key)) === length, {
    timeoutMs: 60_000,
    what: `${key} to have ${length} entries`,
  })
}

test('Redis that does not tell of writes: what to set is said, and is waited for', async (t) => {
  const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Kx' } })
  const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--trim', 'exact', '--watch']
  const daemon = await startDaemon(t, args)
  const { cause, reason } = await daemon.waitForLog('watch lost')
  assert.equal(cause, 'other')
  const [, command = ''] =
    /tell of writes to streams: (CONFIG SET notify-keyspace-events \w+)/.exec(String(reason)) ?? []
  assert.equal(await daemon.metric('xtrimd_watch_up'), 0)
  await redis.command(...command.split(' '))
  await daemon.waitForLog('watching')
  await write(redis, 'stream:conversation:a', 100)
  await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
  assert.match(String(await redis.command('CONFIG', 'GET', 'notify-keyspace-events')), /^(?=.*K)(?=.*x)(?=.*E)(?=.*t)/)
})

test('with --watch-configure it is set, and what Redis told before it tells still; a dry run sets nothing', async (t) => {
  const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Kx' } })
  const flags = async (): Promise<string> =>
    ((await redis.command('CONFIG', 'GET', 'notify-keyspace-events')) as string[])[1] ?? ''
  const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--watch', '--watch-configure']
  const dry = await startDaemon(t, [...args, '--dry-run'])
  assert.match(
    String((await dry.waitForLog('watch lost')).reason),
    /notify-keyspace-events \w+; a dry run sets nothing$/,
  )
  assert.equal([...(await flags())].sort().join(''), 'Kx')
  const daemon = await startDaemon(t, args)
  await daemon.waitForLog('watching')
  assert.equal([...(await flags())].sort().join(''), 'EKtx')
  // Set by now, so that the dry run hears too, and writes nothing.
  await dry.waitForLog('watching')
  assert.equal((await daemon.stop()).code, 0)
  await write(redis, 'stream:conversation:a', 300)
  await dry.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === 300)
  assert.equal(await redis.command('XLEN', 'stream:conversation:a'), 300)
})

test('what a group has not read stays, bytes are held, and what no policy matches is left alone', async (t) => {
  const redis = await startRedis(t, { config: NOTIFYING })
  const policies = [
    ...['--policy', 'stream:read:*,protect=unread,trim=exact'],
    ...['--policy', 'stream:big:*,max-length=off,max-bytes=64kb'],
  ]
  const daemon = await startWatching(t, redis, policies)
  await write(redis, 'stream:read:a', 1)
  await redis.command('XGROUP', 'CREATE', 'stream:read:a', 'slow', '0')
  await write(redis, 'stream:read:a', 99)
  await write(redis, 'stream:big:a', 200, 1_000)
  await write(redis, 'other', 200)
  await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === 300)
  await waitUntil(async () => Number(await redis.command('MEMORY', 'USAGE', 'stream:big:a')) <= (64 + 4) * 1024, {
    timeoutMs: 60_000,
    what: 'the stream to be inside its bytes',
  })
  await daemon.waitForMetric('xtrimd_entries_trimmed_total', { reason: 'bytes' }, (trimmed) => trimmed > 100)
  assert.equal((await streamIds(redis, 'stream:read:a')).length, 100, 'all of it is unread')
  assert.equal(await redis.command('XLEN', 'other'), 200)
  // The control: once it is read, it goes.
  await redis.command('XREADGROUP', 'GROUP', 'slow', 'me', 'COUNT', '1000', 'STREAMS', 'stream:read:a', '>')
  await write(redis, 'stream:read:a', EVERY)
  await lengthBecomes(redis, 'stream:read:a', MAX_LENGTH)
})

test('only the copy that leads watches, and the next one does when it is gone', async (t) => {
  const redis = await startRedis(t, { config: NOTIFYING })
  const listeners = async (): Promise<number> =>
    Number(((await redis.command('PUBSUB', 'NUMSUB', '__keyevent@0__:xadd')) as [string, number])[1])
  const first = await startWatching(t, redis, ['--lease-ttl', '3s', '--trim', 'exact'])
  const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--watch', '--trim', 'exact', '--lease-ttl', '3s']
  const second = await startDaemon(t, args)
  await second.waitForLog('lease held by another')
  assert.equal(await listeners(), 1)
  await first.stop('SIGKILL')
  await second.waitForLog('watching')
  assert.equal(await listeners(), 1)
  await write(redis, 'stream:conversation:a', 50)
  await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
  // And it listens no more when the lease is another's.
  await redis.command('SET', 'xtrimd:lease', 'somebody')
  await waitUntil(async () => (await listeners()) === 0, { timeoutMs: 60_000, what: 'nobody to listen' })
})

test('in a cluster every primary is watched, and after a failover the new one', async (t) => {
  const cluster = await startCluster(t, { config: NOTIFYING, withReplicas: true })
  const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...NO_SWEEPS, ...CAPPED, '--trim', 'exact']
  const daemon = await startDaemon(t, [...args, '--watch', '--lease=false'])
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  const homes = new Map<number, string>()
  for (let i = 0; homes.size < 3; i++) {
    const key = `stream:conversation:${i}`
    homes.set(await cluster.homeOf(key), key)
  }
  for (const [home, key] of homes) {
    const primary = cluster.primaries[home] as RedisServer
    await write(primary, key, 100)
    await lengthBecomes(primary, key, MAX_LENGTH)
  }
  const surplus = 3 * (100 - MAX_LENGTH)
  await daemon.waitForMetric('xtrimd_entries_trimmed_total', { reason: 'length' }, (trimmed) => trimmed === surplus)

  const [gone, ...others] = cluster.primaries as [RedisServer, ...RedisServer[]]
  const [successor] = cluster.replicas as [RedisServer]
  await gone.kill()
  await daemon.waitForLog('watch lost')
  await cluster.untilServing([successor, ...others])
  await daemon.waitForLog(({ msg, address }) => msg === 'watching' && String(address).endsWith(`:${successor.port}`))
  const key = String(homes.get(0))
  await write(successor, key, 100)
  await lengthBecomes(successor, key, MAX_LENGTH)
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  assert.equal((await daemon.stop()).code, 0)
})

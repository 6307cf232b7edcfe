/**
 * Between sweeps: what writers at full speed add is held in bounds. TEST_WATCH_SECONDS is how long they write (4), with 30
 * as it was asked for; TEST_REDIS_SERVER names the server.
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Burst, behindMs, burstKeys, type Look, longestOf, lookAt, startBurst, sumOf } from '../harness/burst.ts'
import { type Daemon, EVERY_SECOND, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const SECONDS = Number(process.env.TEST_WATCH_SECONDS || 4)
/**
 * How long what is in flight may have been on its way: as a rule, and at worst on a machine with other things to do, where
 * each moment that we or Redis had to wait for a processor is followed by a pause of three. Beyond the bound a stream may
 * hold what was written to it in that time, and not one entry more.
 */
const IN_FLIGHT_MS = { asARule: 300, atWorst: 2_500 }

/** Limits, nodes and streams, and what a stream may hold but for what is in flight. */
interface Setting {
  readonly streams: number
  readonly bound: number
  readonly args: readonly string[]
  readonly config: Readonly<Record<string, string>>
}

const NOTIFYING = { 'notify-keyspace-events': 'Et' }
const TIGHT: Setting = {
  streams: 1_000,
  bound: 20 + 10 + 10,
  args: ['--max-length', '20', '--watch-every', '10'],
  config: { ...NOTIFYING, 'stream-node-max-entries': '10' },
}
/** As it is without any flag. */
const DEFAULT: Setting = { streams: 100, bound: 1_000 + 100 + 100, args: [], config: NOTIFYING }

/** Nothing sweeps: what is bounded, the watch has bounded. */
const NO_SWEEPS = [...HARDLY_EVER, '--run-on-start=false']

async function startWatching(t: TestContext, redis: RedisServer, args: readonly string[]): Promise<Daemon> {
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...NO_SWEEPS, ...args, '--watch'])
  await daemon.waitForLog('watching')
  return daemon
}

interface Seen {
  readonly longest: number
  /** For how long what was beyond the bound had been in flight, look by look, in rising order. */
  readonly behind: readonly number[]
  readonly last: Look
}

/** Lets writers write, and looks every 100 ms at what they write to, until `isOver`: told also how much was written to each in the mean. */
async function seeBurst(
  t: TestContext,
  redis: RedisServer,
  { streams, bound }: Pick<Setting, 'streams' | 'bound'>,
  isOver: (longest: number, ms: number, writtenEach: number) => boolean,
  how: Partial<Burst> = {},
): Promise<Seen> {
  const keys = burstKeys(streams, how.prefix)
  const looks = [await lookAt(redis, keys)]
  const burst = startBurst(t, redis, { ...how, streams })
  const behind: number[] = []
  let longest = 0
  const begun = performance.now()
  const writtenEach = (): number => sumOf(looks.at(-1)?.added ?? []) / streams
  while (!isOver(longest, performance.now() - begun, writtenEach())) {
    await pause(100)
    looks.push(await lookAt(redis, keys))
    // What is older than that is beyond all patience.
    if (looks.length > 100) looks.shift()
    longest = Math.max(longest, longestOf(looks.at(-1) as Look))
    behind.push(behindMs(looks, bound))
  }
  await burst.stop()
  return { longest, behind: behind.sort((a, b) => a - b), last: await lookAt(redis, keys) }
}

/** The writers give way to all else: on a busy machine they are given the time to write more than a stream may hold. */
const forSeconds =
  (bound: number) =>
  (_: number, ms: number, writtenEach: number): boolean =>
    ms >= SECONDS * 1_000 && (writtenEach > bound || ms > 60_000)

function assertBounded(t: TestContext, { longest, behind, last }: Seen, bound: number): void {
  const [asARule, atWorst] = [behind[behind.length >> 1] ?? 0, behind.at(-1) ?? 0]
  const written = sumOf(last.added)
  t.diagnostic(
    `${longest} entries at most, of ${bound}; ${Math.round(written / last.added.length)} written to each; in flight for ${Math.round(asARule)} ms, at worst ${Math.round(atWorst)}`,
  )
  assert.ok(written / last.added.length > bound, 'the control: it was more than they may hold')
  assert.ok(asARule <= IN_FLIGHT_MS.asARule, `${asARule}`)
  assert.ok(atWorst <= IN_FLIGHT_MS.atWorst, `${atWorst}`)
}

/** Every write was heard, all that is gone is counted, and no stream is over the bound when nothing is in flight any more. */
async function assertSettled(daemon: Daemon, redis: RedisServer, { streams, bound }: Setting): Promise<void> {
  const keys = burstKeys(streams)
  const { added } = await lookAt(redis, keys)
  await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === sumOf(added))
  await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
  // The last page may still be in hand.
  const isCounted = async (): Promise<boolean> => {
    const trimmed = await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })
    const look = await lookAt(redis, keys)
    return longestOf(look) <= bound && trimmed === sumOf(look.added) - sumOf(look.lengths)
  }
  await waitUntil(isCounted, { timeoutMs: 60_000, what: 'what is gone to be what is counted, and enough' })
}

for (const [name, setting] of [
  ['1,000 streams', TIGHT],
  ['100 streams, with nothing but defaults,', DEFAULT],
] as const) {
  test(`a burst of 20 writers into ${name} is bounded between sweeps`, async (t) => {
    const { bound, args, config } = setting
    const redis = await startRedis(t, { config })
    const daemon = await startWatching(t, redis, args)
    assertBounded(t, await seeBurst(t, redis, setting, forSeconds(bound)), bound)
    await assertSettled(daemon, redis, setting)
    assert.equal(await daemon.metric('xtrimd_watch_up'), 1)
    assert.equal(await daemon.metric('xtrimd_sweeps_total'), 0)
    assert.equal((await daemon.stop()).code, 0)
    const { added, lengths } = await lookAt(redis, burstKeys(setting.streams))
    const { removed } = await daemon.waitForLog('watched')
    assert.deepEqual(removed, { age: 0, length: sumOf(added) - sumOf(lengths), bytes: 0, acked: 0 })
  })
}

test('the control: without --watch the same burst goes beyond ten times the bound', async (t) => {
  const { bound, config } = TIGHT
  const redis = await startRedis(t, { config })
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...NO_SWEEPS, '--max-length', '20'])
  const isBeyond = (longest: number, ms: number): boolean => (longest > 10 * bound && ms > 4_000) || ms > 60_000
  const { longest, behind } = await seeBurst(t, redis, TIGHT, isBeyond)
  assert.ok(longest > 10 * bound, `${longest}`)
  assert.ok((behind.at(-1) ?? 0) > IN_FLIGHT_MS.atWorst, `${behind.at(-1)}`)
  assert.equal(await daemon.metric('xtrimd_watch_up'), 0)
})

test('a subscription that is killed every second is taken up again, and the burst is bounded all the same', async (t) => {
  const { bound, args, config } = TIGHT
  const redis = await startRedis(t, { config })
  const daemon = await startWatching(t, redis, args)
  const kills: Promise<number>[] = []
  const killing = setInterval(() => kills.push(redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub').then(Number)), 1_000)
  const burst = await seeBurst(t, redis, TIGHT, forSeconds(TIGHT.bound)).finally(() => clearInterval(killing))
  const killed = sumOf(await Promise.all(kills))
  t.diagnostic(`${killed} killed`)
  assert.ok(killed >= SECONDS - 2 && killed > 1, `${killed}`)
  assertBounded(t, burst, bound)
  // The last one was killed a moment ago.
  await daemon.waitForMetric('xtrimd_watch_lost_total', {}, (lost) => lost >= killed)
  assert.equal(await daemon.metric('xtrimd_watch_lost_total'), killed)
  const written = sumOf(burst.last.added)
  assert.ok((await daemon.metric('xtrimd_watch_writes_total')) < written, 'the control: some writes went unheard')
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  assert.equal((await daemon.stop()).code, 0)
})

test('what is in hand when a subscription is killed is counted as well', async (t) => {
  const redis = await startRedis(t, { config: TIGHT.config })
  const daemon = await startWatching(t, redis, [...TIGHT.args, '--pace', '100'])
  const killing = setInterval(() => redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub'), 200)
  await seeBurst(t, redis, TIGHT, (_, ms) => ms > 2_000).finally(() => clearInterval(killing))
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
  // The last page may still be in hand.
  const isCounted = async (): Promise<boolean> => {
    const trimmed = await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })
    const { added, lengths } = await lookAt(redis, burstKeys(TIGHT.streams))
    return trimmed === sumOf(added) - sumOf(lengths)
  }
  await waitUntil(isCounted, { timeoutMs: 10_000, what: 'what is gone to be what is counted' })
})

test('a burst into all primaries of a cluster is bounded on each, while subscriptions are killed every second', async (t) => {
  const { bound, args, config } = TIGHT
  const cluster = await startCluster(t, { config })
  const mode = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', '--lease=false']
  const daemon = await startDaemon(t, [...mode, ...NO_SWEEPS, ...args, '--watch'])
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  // One in turn: each is killed every third second, and some one every second.
  let kills = 0
  const killing = setInterval(() => {
    cluster.primaries[kills++ % cluster.primaries.length]?.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  }, 1_000)
  const seen = await Promise.all(
    cluster.primaries.map(async (primary, place) => {
      let tag = 0
      while ((await cluster.homeOf(`{${tag}}`)) !== place) tag++
      const how = { prefix: `stream:conversation:{${tag}}:`, writers: 7 }
      return seeBurst(t, primary, { streams: 334, bound }, forSeconds(bound), how)
    }),
  ).finally(() => clearInterval(killing))
  for (const burst of seen) assertBounded(t, burst, bound)
  assert.ok(kills >= SECONDS - 2, `${kills}`)
  await daemon.waitForMetric('xtrimd_watch_lost_total', {}, (lost) => lost >= kills)
  assert.equal((await daemon.stop()).code, 0)
})

/** KEYS: streams, each of which is written to ARGV[1] times. */
const WRITE_ALL = `
for _, key in ipairs(KEYS) do
  for _ = 1, tonumber(ARGV[1]) do redis.call('XADD', key, '*', 'body', 'x') end
end`

test('the watch keeps the pace', async (t) => {
  const { bound, config, args } = TIGHT
  const keys = burstKeys(400)
  /** How long it takes to hold all of them, in ms, where Redis takes 20 ms for each answer. */
  const heldAfter = async (pace: number): Promise<number> => {
    const redis = await startRedis(t, { config })
    const proxy = await startProxy(t, redis.port)
    const watching = ['--redis-url', proxy.url, ...NO_SWEEPS, ...args, '--watch', '--pace', String(pace)]
    const daemon = await startDaemon(t, watching)
    await daemon.waitForLog('watching')
    proxy.delay(20)
    const begun = performance.now()
    // All are due from one moment to the next: how many that are is not left to writers, whom a busy machine slows down.
    await redis.command('EVAL', WRITE_ALL, String(keys.length), ...keys, String(bound + 10))
    await waitUntil(async () => longestOf(await lookAt(redis, keys)) <= bound, {
      timeoutMs: 60_000,
      what: 'all streams to be held',
    })
    return performance.now() - begun
  }
  const [slow, fast] = await Promise.all([heldAfter(10), heldAfter(100)])
  t.diagnostic(`${Math.round(slow)} ms at 10 %, ${Math.round(fast)} ms at 100 %`)
  // A page takes three answers at least, one after the other, and behind each but the last is nothing for some 180 ms.
  assert.ok(slow >= 2 * (20 + 170), `${slow}`)
  assert.ok(fast < slow / 2, `${fast}`)
})

test('where more streams are written to than are remembered, the rest is left to the sweep, which holds them all', async (t) => {
  const [streams, length] = [70_000, 1]
  const small = { 'stream-node-max-entries': '2', 'stream-node-max-bytes': '256' }
  const redis = await startRedis(t, { config: { ...NOTIFYING, ...small } })
  const proxy = await startProxy(t, redis.port)
  const args = ['--redis-url', proxy.url, ...EVERY_SECOND, '--run-on-start=false', '--pace', '100']
  const limits = ['--max-length', String(length), '--watch', '--watch-every', '2']
  const daemon = await startDaemon(t, [...args, ...limits])
  await daemon.waitForLog('watching')
  proxy.delay(300)
  await startBurst(t, redis, { streams, writes: 280_000 }).done
  await daemon.waitForMetric('xtrimd_watch_left_to_sweep_total', {}, (left) => left > 1_000)
  const waiting = await daemon.metric('xtrimd_watch_waiting')
  assert.ok(waiting > 10_000 && waiting <= 50_000, `${waiting}`)
  proxy.delay(0)
  await daemon.waitForSuccesses(2)
  const keys = burstKeys(streams)
  for (let from = 0; from < streams; from += 1_000) {
    const longest = longestOf(await lookAt(redis, keys.slice(from, from + 1_000)))
    assert.ok(longest <= length + 2, `${longest}`)
  }
  assert.equal((await daemon.stop()).code, 0)
})

/**
 * The watch bounds streams while writers add entries at full speed. TEST_WATCH_SECONDS sets for how long (4 by default, 30
 * for the full test); TEST_REDIS_SERVER names the server.
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
 * How old the oldest excess entry may be: usually, and at worst on a busy machine, where each wait for a CPU is followed by
 * a pause three times as long. A stream may exceed the bound by what was written to it in that time, and not by one entry
 * more.
 */
const BEHIND_MS = { usually: 300, atWorst: 2_500 }

/** Limits, node sizes and streams. `bound` is what a stream may hold, apart from what has just been written. */
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
/** The defaults. */
const DEFAULT: Setting = { streams: 100, bound: 1_000 + 100 + 100, args: [], config: NOTIFYING }

/** No sweeps, so that only the watch can bound a stream. */
const NO_SWEEPS = [...HARDLY_EVER, '--run-on-start=false']

async function startWatching(t: TestContext, redis: RedisServer, args: readonly string[]): Promise<Daemon> {
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...NO_SWEEPS, ...args, '--watch'])
  await daemon.waitForLog('watching')
  return daemon
}

interface Seen {
  readonly longest: number
  /** At each look, how long the streams had been over the bound, in ms and ascending order. */
  readonly behind: readonly number[]
  readonly last: Look
}

/** Lets writers write, and looks at their streams every 100 ms, until `isOver`. `writtenEach` is the mean number of writes to a stream. */
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
    // Ten seconds of looks are enough: nothing may be behind for longer.
    if (looks.length > 100) looks.shift()
    longest = Math.max(longest, longestOf(looks.at(-1) as Look))
    behind.push(behindMs(looks, bound))
  }
  await burst.stop()
  return { longest, behind: behind.sort((a, b) => a - b), last: await lookAt(redis, keys) }
}

/** The writers run at low priority, so a busy machine gives them more time to write more than a stream may hold. */
const forSeconds =
  (bound: number) =>
  (_: number, ms: number, writtenEach: number): boolean =>
    ms >= SECONDS * 1_000 && (writtenEach > bound || ms > 60_000)

function assertBounded(t: TestContext, { longest, behind, last }: Seen, bound: number): void {
  const [usually, atWorst] = [behind[behind.length >> 1] ?? 0, behind.at(-1) ?? 0]
  const written = sumOf(last.added)
  t.diagnostic(
    `${longest} entries at most, of ${bound}; ${Math.round(written / last.added.length)} written to each; in flight for ${Math.round(usually)} ms, at worst ${Math.round(atWorst)}`,
  )
  assert.ok(written / last.added.length > bound, 'the control: more was written than a stream may hold')
  assert.ok(usually <= BEHIND_MS.usually, `${usually}`)
  assert.ok(atWorst <= BEHIND_MS.atWorst, `${atWorst}`)
}

/** Asserts that every write was heard, every removed entry was counted, and in the end no stream is over the bound. */
async function assertSettled(daemon: Daemon, redis: RedisServer, { streams, bound }: Setting): Promise<void> {
  const keys = burstKeys(streams)
  const { added } = await lookAt(redis, keys)
  await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === sumOf(added))
  await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
  // The last page may still be in flight.
  const isCounted = async (): Promise<boolean> => {
    const trimmed = await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })
    const look = await lookAt(redis, keys)
    return longestOf(look) <= bound && trimmed === sumOf(look.added) - sumOf(look.lengths)
  }
  await waitUntil(isCounted, {
    timeoutMs: 60_000,
    what: 'all removed entries to be counted, and all streams to be inside the bound',
  })
}

for (const [name, setting] of [
  ['1,000 streams', TIGHT],
  ['100 streams, with default settings,', DEFAULT],
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

test('control: without --watch the same burst exceeds ten times the bound', async (t) => {
  const { bound, config } = TIGHT
  const redis = await startRedis(t, { config })
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...NO_SWEEPS, '--max-length', '20'])
  const isBeyond = (longest: number, ms: number): boolean => (longest > 10 * bound && ms > 4_000) || ms > 60_000
  const { longest, behind } = await seeBurst(t, redis, TIGHT, isBeyond)
  assert.ok(longest > 10 * bound, `${longest}`)
  assert.ok((behind.at(-1) ?? 0) > BEHIND_MS.atWorst, `${behind.at(-1)}`)
  assert.equal(await daemon.metric('xtrimd_watch_up'), 0)
})

test('a burst is bounded even if the subscription is killed every second', async (t) => {
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
  // The last kill was only a moment ago.
  await daemon.waitForMetric('xtrimd_watch_lost_total', {}, (lost) => lost >= killed)
  assert.equal(await daemon.metric('xtrimd_watch_lost_total'), killed)
  const written = sumOf(burst.last.added)
  assert.ok((await daemon.metric('xtrimd_watch_writes_total')) < written, 'the control: some writes went unheard')
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  assert.equal((await daemon.stop()).code, 0)
})

test('trims in progress when a subscription is killed are counted too', async (t) => {
  const redis = await startRedis(t, { config: TIGHT.config })
  const daemon = await startWatching(t, redis, [...TIGHT.args, '--pace', '100'])
  const killing = setInterval(() => redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub'), 200)
  await seeBurst(t, redis, TIGHT, (_, ms) => ms > 2_000).finally(() => clearInterval(killing))
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
  // The last page may still be in flight.
  const isCounted = async (): Promise<boolean> => {
    const trimmed = await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })
    const { added, lengths } = await lookAt(redis, burstKeys(TIGHT.streams))
    return trimmed === sumOf(added) - sumOf(lengths)
  }
  await waitUntil(isCounted, { timeoutMs: 10_000, what: 'all removed entries to be counted' })
})

test('a burst into all primaries of a cluster is bounded on each, while subscriptions are killed every second', async (t) => {
  const { bound, args, config } = TIGHT
  const cluster = await startCluster(t, { config })
  const mode = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', '--lease=false']
  const daemon = await startDaemon(t, [...mode, ...NO_SWEEPS, ...args, '--watch'])
  await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
  // In turn: one subscription every second, so each every three seconds.
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

/** Writes ARGV[1] entries to each stream in KEYS. */
const WRITE_ALL = `
for _, key in ipairs(KEYS) do
  for _ = 1, tonumber(ARGV[1]) do redis.call('XADD', key, '*', 'body', 'x') end
end`

test('the watch keeps the pace', async (t) => {
  const { bound, config, args } = TIGHT
  const keys = burstKeys(400)
  /** How long it takes to bound all streams, in ms, if each answer of Redis takes 20 ms. */
  const boundedAfter = async (pace: number): Promise<number> => {
    const redis = await startRedis(t, { config })
    const proxy = await startProxy(t, redis.port)
    const watching = ['--redis-url', proxy.url, ...NO_SWEEPS, ...args, '--watch', '--pace', String(pace)]
    const daemon = await startDaemon(t, watching)
    await daemon.waitForLog('watching')
    proxy.delay(20)
    const begun = performance.now()
    // Make all streams due at once, so that the test does not depend on writers, which a busy machine slows down.
    await redis.command('EVAL', WRITE_ALL, String(keys.length), ...keys, String(bound + 10))
    await waitUntil(async () => longestOf(await lookAt(redis, keys)) <= bound, {
      timeoutMs: 60_000,
      what: 'all streams to be inside the bound',
    })
    return performance.now() - begun
  }
  const [slow, fast] = await Promise.all([boundedAfter(10), boundedAfter(100)])
  t.diagnostic(`${Math.round(slow)} ms at 10 %, ${Math.round(fast)} ms at 100 %`)
  // A page takes at least three answers in sequence. At a pace of 10 %, each but the last is followed by a pause of about 180 ms.
  assert.ok(slow >= 2 * (20 + 170), `${slow}`)
  assert.ok(fast < slow / 2, `${fast}`)
})

test('if more streams are written to than can be remembered, the rest is left to the sweep, which trims them all', async (t) => {
  const [streams, length] = [70_000, 1]
  const small = { 'stream-node-max-entries': '2', 'stream-node-max-bytes': '256' }
  const redis = await startRedis(t, { config: { ...NOTIFYING, ...small } })
  const proxy = await startProxy(t, redis.port)
  const args = ['--redis-url', proxy.url, ...EVERY_SECOND, '--run-on-start=false', '--pace', '100']
  const limits = ['--max-length', String(length), '--watch', '--watch-every', '2']
  const daemon = await startDaemon(t, [...args, ...limits])
  await daemon.waitForLog('watching')
  proxy.delay(300)
  await startBurst(t, redis, { streams, writes: 280_000, atOnce: 20 }).done
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

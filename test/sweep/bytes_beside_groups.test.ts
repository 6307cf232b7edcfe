/** `--max-bytes` counts the bytes of entries. What groups take beside them never costs an entry. */

import assert from 'node:assert/strict'
import { plan } from '../../src/plan/plan.ts'
import { readOutput } from '../harness/output.ts'
import { HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import { testOnEach } from '../harness/servers.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { sweepHere, sweepWhole, taskOf } from '../harness/sweep_here.ts'
import { sweepOnce } from '../harness/sweep_once.ts'

const KEY = 'stream:conversation:1'
const HOUR = 3_600_000
const MB = 1024 * 1024
const BYTES_ALONE = ['--max-length', 'off', '--max-age', 'off']

/** Entries of 100 bytes, an hour old. */
async function fillSmall(redis: RedisServer, count: number): Promise<void> {
  await fillStream(redis, KEY, { count, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 100 })
}

/** A group that was delivered `count` entries and acknowledged none. */
async function readAll(redis: RedisServer, group: string, count: number, consumer = 'me'): Promise<void> {
  await redis.command('XGROUP', 'CREATE', KEY, group, '0')
  const reads = ['XREADGROUP', 'GROUP', group, consumer, 'COUNT', '10000', 'STREAMS', KEY, '>']
  for (let read = 0; read < count; read += 10_000) await redis.command(...reads)
}

async function memory(redis: RedisServer): Promise<number> {
  return Number(await redis.command('MEMORY', 'USAGE', KEY))
}

/** What Redis reports for the stream once its groups are gone. */
async function withoutGroups(redis: RedisServer): Promise<number> {
  const groups = (await redis.command('XINFO', 'GROUPS', KEY)) as string[][]
  for (const group of groups) await redis.command('XGROUP', 'DESTROY', KEY, group[1] ?? '')
  return memory(redis)
}

testOnEach('pending references cost no entry: 2.6 MB of entries stay within 8 MB', async (_, redis) => {
  await fillSmall(redis, 20_000)
  await readAll(redis, 'g', 20_000)

  const { report } = await sweepOnce(redis.url, [...BYTES_ALONE, '--max-bytes', '8mb'])

  assert.equal(report.removed.bytes, 0)
  assert.equal(report.result, 'success')
  assert.equal(await redis.command('XLEN', KEY), 20_000)
  assert.ok((await withoutGroups(redis)) < 4 * MB)
})

testOnEach('control: entries over the limit go, as many as it takes, beside a group', async (_, redis) => {
  await fillSmall(redis, 20_000)
  await readAll(redis, 'g', 20_000)
  const newest = await streamIds(redis, KEY, 5_000)

  const total = await sweepWhole(redis.url, [...BYTES_ALONE, '--max-bytes', '1mb'])

  const left = await streamIds(redis, KEY)
  assert.equal(total.removed.bytes, 20_000 - left.length)
  assert.deepEqual(left.slice(-5_000), newest)
  // Within the limit nothing more goes.
  assert.equal((await sweepWhole(redis.url, [...BYTES_ALONE, '--max-bytes', '1mb'])).removed.bytes, 0)
  assertBrought(await withoutGroups(redis), MB)
})

for (const protect of ['none', 'unread', 'unacked']) {
  testOnEach(`--protect ${protect}: references to entries that are gone cost no entry either`, async (_, redis) => {
    await fillSmall(redis, 20_000)
    await readAll(redis, 'g', 20_000)
    await redis.command('XTRIM', KEY, 'MAXLEN', '=', '10000')
    const args = [...BYTES_ALONE, '--max-bytes', '2mb', '--trim', 'exact', '--protect', protect]
    assert.equal((await sweepWhole(redis.url, args)).removed.bytes, 0)
  })
}

testOnEach('what unacked entries hold stays, and the stream is told to be over its limit', async (_, redis) => {
  await fillSmall(redis, 20_000)
  await readAll(redis, 'g', 20_000)
  const args = [...BYTES_ALONE, '--max-bytes', '1mb', '--protect', 'unacked']
  const { removed, overLimit, protectedStreams } = await sweepWhole(redis.url, args)
  assert.deepEqual([removed.bytes, overLimit.bytes, protectedStreams], [0, 1, 1])
})

testOnEach('plan and a dry run know that groups cost no entry, and foretell those that go', async (_, redis) => {
  await fillSmall(redis, 20_000)
  await readAll(redis, 'g', 20_000)
  const foretell = async (...limits: string[]) => {
    const { total } = await plan(taskOf(redis.url, [...BYTES_ALONE, ...limits]), new AbortController().signal)
    return total
  }
  const within = await foretell('--max-bytes', '8mb')
  assert.deepEqual([within.remove.bytes, within.overLimit.bytes], [0, 0])
  const dry = await sweepWhole(redis.url, [...BYTES_ALONE, '--max-bytes', '8mb', '--dry-run'])
  assert.deepEqual([dry.removed.bytes, dry.overLimit.bytes], [0, 0])

  const over = (await foretell('--max-bytes', '1mb')).remove.bytes
  const { removed } = await sweepWhole(redis.url, [...BYTES_ALONE, '--max-bytes', '1mb'])
  assert.ok(
    removed.bytes > 10_000 && Math.abs(over - removed.bytes) < 0.02 * removed.bytes,
    `${over}, ${removed.bytes}`,
  )
})

testOnEach('plan names the group that takes more than the entries do, and how much', async (_, redis) => {
  await fillSmall(redis, 20_000)
  await readAll(redis, 'g', 20_000)
  const args = [...BYTES_ALONE, '--max-bytes', '8mb']
  const { stdout } = await runXtrimd(['plan', '--redis-url', redis.url, '--output', 'json', ...args])
  const { advice } = readOutput('plan', stdout) as { advice: readonly string[] }
  const said = advice.find((sentence) => sentence.includes('pending references')) ?? advice.join()
  assert.match(said, /group g of stream:conversation:1 has 20000 pending references and 1 consumer, about 2\.84mb/)
  // The control: a group that acknowledges takes next to nothing.
  const ids = await streamIds(redis, KEY)
  for (let from = 0; from < ids.length; from += 1_000)
    await redis.command('XACK', KEY, 'g', ...ids.slice(from, from + 1_000))
  const { total, crowded } = await plan(taskOf(redis.url, args), new AbortController().signal)
  assert.deepEqual([total.streams, crowded], [1, undefined])
})

testOnEach(
  'a policy and --watch hold entries to their bytes, and leave them alone where groups grow',
  async (t, redis) => {
    await redis.command('CONFIG', 'SET', 'notify-keyspace-events', 'Et')
    await fillSmall(redis, 15_000)
    await readAll(redis, 'g', 15_000)
    const args = ['--redis-url', redis.url, ...HARDLY_EVER, '--run-on-start=false', '--watch', '--watch-every', '50']
    const policy = ['--policy', 'stream:conversation:*,name=sized,max-age=off,max-length=off,max-bytes=2304kb']
    const daemon = await startDaemon(t, [...args, ...policy])
    await daemon.waitForLog('watching')
    const trimmed = () => daemon.metric('xtrimd_entries_trimmed_total', { policy: 'sized', reason: 'bytes' })
    // 15,000 entries take about 2 MB. A hundred more stay within 2.25 MB, ten thousand do not.
    for (let i = 0; i < 100; i++) await redis.command('XADD', KEY, '*', 'body', 'x'.repeat(100))
    await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes >= 100)
    await redis.command('XADD', 'stream:conversation:other', '*', 'body', 'x')
    assert.equal(await trimmed(), 0)
    assert.equal(await redis.command('XLEN', KEY), 15_100)
    for (let i = 0; i < 10_000; i += 500)
      await Promise.all(Array.from({ length: 500 }, () => redis.command('XADD', KEY, '*', 'body', 'x'.repeat(100))))
    await daemon.waitForMetric('xtrimd_entries_trimmed_total', { policy: 'sized', reason: 'bytes' }, (n) => n > 2_000)
    await daemon.stop()
    const bytes = await withoutGroups(redis)
    assert.ok(bytes > 0.93 * 2304 * 1024, `${bytes}`)
  },
)

testOnEach('a stream that ends with the greatest ID there is can be looked at', async (_, redis) => {
  for (let i = 1; i <= 8; i++) await redis.command('XADD', KEY, `${i}-1`, 'body', 'x'.repeat(200))
  await redis.command('XADD', KEY, '18446744073709551615-18446744073709551615', 'body', 'x')
  await readAll(redis, 'g', 1)
  assert.deepEqual((await sweepWhole(redis.url, [...BYTES_ALONE, '--max-bytes', '1kb'])).errors, {})
})

function assertBrought(bytes: number, limit: number, what = '', brought = [0.93, 1.01]): void {
  const [least = 0, most = 0] = brought
  assert.ok(bytes >= least * limit && bytes <= most * limit, `${what} ${(bytes / limit).toFixed(3)} of the limit`)
}

/** The fields of entry number `i`. */
type Fields = (i: number) => readonly string[]

interface Shape {
  readonly count: number
  readonly fields: Fields
  readonly rule?: readonly [entries: string, bytes: string]
  /** The share of entries that are deleted one by one. */
  readonly deleted?: number
  /** The entries that an exact trim leaves. */
  readonly trimmedTo?: number
  /** How near to the limit the stream must come. What Redis reports moves up and down by more where nodes differ much. */
  readonly brought?: [least: number, most: number]
}

const value =
  (bytes: number): Fields =>
  () => ['body', 'x'.repeat(bytes)]

/** The same sizes in each run, in no order: of entry `i`, from 0 to below 1. */
const shuffled = (i: number): number => (((i * 7919 + 13) % 10_007) * 0.618034) % 1

const someLarge: Fields = (i) => ['body', 'x'.repeat(shuffled(i) < 0.04 ? 50_000 : 150)]
const wide: Fields = (i) => ['body', 'x'.repeat(Math.floor(30 * 100 ** shuffled(i)))]

const SHAPES: Readonly<Record<string, Shape>> = {
  'of 10 bytes': { count: 20_000, fields: value(10) },
  'of 100 bytes': { count: 10_000, fields: value(100) },
  'of 1 KB': { count: 3_000, fields: value(1_000) },
  'of 5 KB': { count: 1_000, fields: value(5_000) },
  'of 100 KB': { count: 200, fields: value(100_000) },
  'of integers': { count: 20_000, fields: (i) => ['n', String(i * 1_000_003), 'small', String(i % 7)] },
  'with forty fields': {
    count: 2_000,
    fields: () => Array.from({ length: 40 }, (_, i) => [`field${i}`, 'x'.repeat(i)]).flat(),
  },
  'of two kinds': {
    count: 10_000,
    fields: (i) => (i % 2 ? ['a', 'x'.repeat(30), 'b', '1'] : ['kind', 'x'.repeat(90)]),
  },
  'of various sizes': { count: 10_000, fields: (i) => ['body', 'x'.repeat(20 + ((i * 7919) % 400))] },
  'in small nodes': { count: 10_000, fields: value(100), rule: ['10', '4096'] },
  'in large nodes': { count: 40_000, fields: value(100), rule: ['1000', '100000'] },
  'in nodes of 500 bytes': { count: 10_000, fields: value(20), rule: ['100', '500'] },
  'of which a third was deleted': { count: 20_000, fields: value(100), deleted: 0.33 },
  'that an exact trim has cut': { count: 10_000, fields: value(100), trimmedTo: 8_765 },
  'from 30 to 3,000 bytes': { count: 8_000, fields: wide, brought: [0.85, 1.01] },
  'from 30 to 3,000 bytes that an exact trim has cut': {
    count: 8_000,
    fields: wide,
    trimmedTo: 6_789,
    brought: [0.85, 1.01],
  },
  'from 30 to 3,000 bytes of which a third was deleted': {
    count: 8_000,
    fields: wide,
    deleted: 0.33,
    brought: [0.85, 1.01],
  },
  'of which a few are very large': { count: 3_000, fields: someLarge, brought: [0, 1.07] },
  'of which a few are very large and a third was deleted': {
    count: 3_000,
    fields: someLarge,
    deleted: 0.33,
    brought: [0, 1.07],
  },
  'of which a few are very large in large nodes': {
    count: 3_000,
    fields: someLarge,
    rule: ['100', '0'],
    brought: [0, 1.07],
  },
  'in nodes of three': { count: 16_000, fields: value(10), rule: ['3', '4096'] },
}

async function plant(redis: RedisServer, { count, fields, rule, deleted = 0, trimmedTo }: Shape): Promise<void> {
  const [entries, bytes] = rule ?? ['100', '4096']
  await redis.command('FLUSHALL')
  await redis.command('CONFIG', 'SET', 'stream-node-max-entries', entries)
  await redis.command('CONFIG', 'SET', 'stream-node-max-bytes', bytes)
  const from = (await redisNow(redis)) - HOUR
  const step = HOUR / 2 / count
  for (let first = 0; first < count; first += 500) {
    const some = Array.from({ length: Math.min(500, count - first) }, (_, i) => first + i)
    await Promise.all(some.map((i) => redis.command('XADD', KEY, `${Math.floor(from + i * step)}-${i}`, ...fields(i))))
  }
  const ids = deleted === 0 ? [] : (await streamIds(redis, KEY)).filter((_, i) => (i * 0.618) % 1 < deleted)
  for (let first = 0; first < ids.length; first += 500)
    await redis.command('XDEL', KEY, ...ids.slice(first, first + 500))
  if (trimmedTo !== undefined) await redis.command('XTRIM', KEY, 'MAXLEN', '=', String(trimmedTo))
}

for (const [what, shape] of Object.entries(SHAPES)) {
  testOnEach(`entries ${what} beside groups are brought to the limit, and left alone within it`, async (_, redis) => {
    await plant(redis, shape)
    const entryBytes = await memory(redis)
    const length = Number(await redis.command('XLEN', KEY))
    await readAll(redis, 'first', length, 'one')
    await readAll(redis, 'second', length, 'two')
    await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'first', 'a second one')
    assert.ok((await memory(redis)) > entryBytes, 'the groups take something')

    const generous = await sweepHere(redis.url, [...BYTES_ALONE, '--max-bytes', `${entryBytes}b`])
    assert.equal(generous.total.removed.bytes, 0)
    assert.equal(generous.total.overLimit.bytes, 0)

    const limit = Math.floor(entryBytes * 0.45)
    const tight = await sweepHere(redis.url, [...BYTES_ALONE, '--max-bytes', `${limit}b`])
    assert.equal(tight.result, 'success')
    assertBrought(await withoutGroups(redis), limit, what, shape.brought)
  })
}

/** `--delete-empty`: which streams are unlinked, which never are, and that no message is lost. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Client, makeClient } from '../../scripts/stage/redis_client.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { sweepWhole } from '../harness/sweep_here.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

const KEY = 'stream:conversation:1'
const ARGS = ['--max-age', '24h', '--delete-empty']

const WRITERS = 4
const KEYS = Array.from({ length: 25 }, (_, i) => `stream:conversation:${i}`)

test('no acknowledged XADD is lost in 100 sweeps that unlink streams while four writers write to them', async (t) => {
  const redis = await startRedis(t)
  const writers = await connectWriters(t, redis)
  let unlinked = 0
  let outlived = 0
  for (let sweep = 0; sweep < 100; sweep++) {
    await fillWithOldEntries(redis)
    const writing = (): Promise<Map<string, string[]>> => writeEverywhere(writers)
    const sweeping = () => sweepWhole(redis.url, [...ARGS, '--page-size', sweep % 3 === 0 ? '4' : '2000'])
    // Sometimes the writers are first, sometimes the sweep.
    const [written, { deletedStreams }] =
      sweep % 2 === 0
        ? await Promise.all([writing(), sweeping()])
        : await Promise.all([sweeping(), writing()]).then(([swept, acked]) => [acked, swept] as const)

    assert.deepEqual(await lost(redis, written), [], `sweep ${sweep}`)
    unlinked += deletedStreams
    outlived += KEYS.length - deletedStreams
  }
  // Both must have happened, or the test would show nothing.
  assert.ok(unlinked > 100, `${unlinked} unlinked`)
  assert.ok(outlived > 100, `${outlived} were written to first`)
})

test('control: a look followed by a separate UNLINK loses messages, and the test above would notice', async (t) => {
  const redis = await startRedis(t)
  const writers = await connectWriters(t, redis)
  const [looker] = await connectWriters(t, redis)
  const missing: string[] = []
  for (let attempt = 0; missing.length === 0 && attempt < 300; attempt++) {
    await fillWithOldEntries(redis)
    const unlinkIfEmpty = async (key: string): Promise<void> => {
      await looker?.sendCommand(['XTRIM', key, 'MAXLEN', '0'])
      if ((await redis.command('XLEN', key)) === 0) await redis.command('UNLINK', key)
    }
    const [written] = await Promise.all([writeEverywhere(writers), Promise.all(KEYS.map(unlinkIfEmpty))])
    missing.push(...(await lost(redis, written)))
  }
  assert.ok(missing.length > 0)
})

test('while writers write at full speed and every sweep unlinks streams, no young entry disappears', async (t) => {
  const redis = await startRedis(t)
  const writers = await connectWriters(t, redis)
  const maxAgeMs = 4
  let over = false
  let acknowledged = 0
  const write = async (writer: Client): Promise<void> => {
    while (!over) {
      const key = KEYS[acknowledged % KEYS.length] as string
      const id = (await writer.sendCommand(['XADD', key, '*', 'a', 'b'])) as unknown as string
      acknowledged++
      const [entries, time] = (await Promise.all([
        writer.sendCommand(['XRANGE', key, id, id]),
        writer.sendCommand(['TIME']),
      ])) as unknown as [unknown[], [string, string]]
      const ageMs = Number(time[0]) * 1_000 + Number(time[1]) / 1_000 - Number.parseInt(id, 10)
      assert.ok(entries.length === 1 || ageMs >= maxAgeMs, `${id} disappeared at the age of ${ageMs} ms`)
    }
  }
  const writing = Promise.all(writers.map(write))
  writing.catch(() => {})
  let unlinked = 0
  for (let sweep = 0; sweep < 100; sweep++) {
    unlinked += (await sweepWhole(redis.url, ['--max-age', `${maxAgeMs}ms`, '--delete-empty'])).deletedStreams
  }
  over = true
  await writing
  assert.ok(unlinked > 0)
  assert.ok(acknowledged > 100)
})

test('a stream is unlinked only if it is empty, has no groups, and its last ID is a time older than --max-age', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  const made = async (id: string): Promise<void> => {
    await redis.command('XADD', KEY, id, 'a', 'b')
  }
  const emptied = async (id: string): Promise<void> => {
    await made(id)
    await redis.command('XTRIM', KEY, 'MAXLEN', '0')
  }
  for (const { what, make, stays, left = 0 } of [
    { what: 'emptied by the sweep itself', make: () => made(`${now - 2 * DAY}-0`), stays: false },
    { what: 'found empty', make: () => emptied(`${now - 2 * DAY}-0`), stays: false },
    {
      what: 'emptied by XDEL',
      make: async () => {
        await made(`${now - 2 * DAY}-5`)
        await redis.command('XDEL', KEY, `${now - 2 * DAY}-5`)
      },
      stays: false,
    },
    { what: 'last written an hour ago', make: () => emptied(`${now - HOUR}-0`), stays: true },
    { what: 'last written a moment ago', make: () => emptied('*'), stays: true },
    { what: 'last ID ahead of the clock', make: () => emptied(`${now + HOUR}-0`), stays: true },
    { what: 'a counter for its last ID', make: () => emptied('500-1'), stays: true },
    { what: 'seconds for its last ID', make: () => emptied(`${Math.floor((now - 2 * DAY) / 1_000)}-0`), stays: true },
    { what: 'microseconds for its last ID', make: () => emptied(`${(now - 2 * DAY) * 1_000}-0`), stays: true },
    { what: 'never written to', make: () => redis.command('XGROUP', 'CREATE', KEY, 'g', '$', 'MKSTREAM'), stays: true },
    {
      what: 'a group that has read everything',
      make: async () => {
        await made(`${now - 2 * DAY}-0`)
        await redis.command('XGROUP', 'CREATE', KEY, 'group', '$')
      },
      stays: true,
    },
    {
      what: 'a last ID that was set',
      make: async () => {
        await emptied(`${now - 2 * DAY}-0`)
        await redis.command('XSETID', KEY, `${now - HOUR}-0`)
      },
      stays: true,
    },
    { what: 'one young entry', make: () => made('*'), stays: true, left: 1 },
  ]) {
    await redis.command('FLUSHALL')
    await make()
    const report = await sweepWhole(redis.url, [...ARGS, '--trim', 'exact'])
    assert.equal(await redis.command('EXISTS', KEY), stays ? 1 : 0, what)
    assert.equal(report.deletedStreams, stays ? 0 : 1, what)
    assert.equal(report.streams, stays ? 1 : 0, what)
    assert.equal((await streamIds(redis, KEY)).length, left, what)
  }
})

test('without --delete-empty an empty stream stays, and its last ID with it', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await redis.command('XADD', KEY, `${now - 2 * DAY}-7`, 'a', 'b')
  const report = await sweepWhole(redis.url, ['--max-age', '24h'])
  assert.deepEqual([report.removed.age, report.emptyStreams, report.deletedStreams], [1, 1, 0])
  const told = (await redis.command('XINFO', 'STREAM', KEY)) as unknown[]
  assert.equal(told[told.indexOf('last-generated-id') + 1], `${now - 2 * DAY}-7`)
})

test('streams under another policy and keys that are not streams are not unlinked', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  for (const key of ['stream:kept:1', KEY]) {
    await fillStream(redis, key, { count: 10, from: now - 2 * DAY, stepMs: 1, bytes: 10 })
  }
  await redis.command('SET', 'stream:conversation:text', '')
  const report = await sweepWhole(redis.url, [...ARGS, '--policy', 'stream:kept:*,delete-empty=false'])
  assert.equal(report.deletedStreams, 1)
  assert.deepEqual(((await redis.command('KEYS', '*')) as string[]).sort(), [
    'stream:conversation:text',
    'stream:kept:1',
  ])
})

async function connectWriters(t: TestContext, redis: RedisServer): Promise<Client[]> {
  const writers = Array.from({ length: WRITERS }, () =>
    makeClient({ socket: { host: '127.0.0.1', port: redis.port, reconnectStrategy: false } }),
  )
  t.after(() => {
    for (const writer of writers) writer.destroy()
  })
  await Promise.all(writers.map((writer) => writer.connect()))
  return writers
}

/** Recreates each stream with entries that are two days old. */
async function fillWithOldEntries(redis: RedisServer): Promise<void> {
  const from = (await redisNow(redis)) - 2 * DAY
  await redis.command('FLUSHALL')
  await Promise.all(KEYS.map((key, i) => fillStream(redis, key, { count: 1 + (i % 3), from, stepMs: 1, bytes: 10 })))
}

/** Every writer adds one message to every stream, each in its own order. @returns the acknowledged IDs by key */
async function writeEverywhere(writers: readonly Client[]): Promise<Map<string, string[]>> {
  const acknowledged = new Map<string, string[]>(KEYS.map((key) => [key, []]))
  await Promise.all(
    writers.map(async (writer, w) => {
      for (let i = 0; i < KEYS.length; i++) {
        const key = KEYS[(i * (w % 2 === 0 ? 1 : 7) + w * 6) % KEYS.length] as string
        const id = await writer.sendCommand(['XADD', key, '*', 'writer', String(w)])
        acknowledged.get(key)?.push(String(id))
      }
    }),
  )
  return acknowledged
}

/** The acknowledged messages that are missing. */
async function lost(redis: RedisServer, written: ReadonlyMap<string, readonly string[]>): Promise<string[]> {
  const missing = await Promise.all(
    [...written].map(async ([key, ids]) => {
      const left = new Set(await streamIds(redis, key))
      return ids.filter((id) => !left.has(id)).map((id) => `${key} ${id}`)
    }),
  )
  return missing.flat()
}

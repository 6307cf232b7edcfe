/** A sweep that archives first, killed at any moment: nothing is ever lost. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { FileStore } from '../../src/store/file_store.ts'
import { connectBytes, EntryBook } from '../harness/entry_book.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { Random } from '../harness/retention_model/random.ts'
import { redisNow } from '../harness/streams.ts'
import { sweepWhole } from '../harness/sweep_here.ts'
import { startProxy } from '../harness/tcp_proxy.ts'

const HOUR = 3_600_000
const SEEDS = 20

/** Limits of all kinds, drawn by chance. */
function randomLimits(random: Random): string[] {
  const limit = random.pick([
    ['--max-age', '24h', '--max-length', 'off'],
    ['--max-age', 'off', '--max-length', '60'],
    ['--max-age', '24h', '--max-length', '60'],
    ['--max-age', 'off', '--max-length', 'off', '--max-bytes', '8kb'],
    ['--max-age', 'off', '--max-length', '500', '--acked-after', '0s'],
    ['--max-age', 'off', '--max-length', '500', '--delete-idle', '30h'],
  ])
  return [
    ...limit,
    ...['--trim', random.pick(['exact', 'approx']), '--protect', random.pick(['none', 'none', 'unread', 'unacked'])],
  ]
}

/** Starts a sweep and kills it when `isTime` says so, or lets it end. @returns whether it was killed */
async function sweepKilled(url: string, args: readonly string[], isTime: () => boolean): Promise<boolean> {
  const main = `${ROOT}/src/main.ts`
  const child = spawn(process.execPath, [main, 'sweep', '--redis-url', url, '--pace', '100', ...args], {
    env: withoutOurs(),
    stdio: 'ignore',
  })
  const watch = setInterval(() => {
    if (isTime()) child.kill('SIGKILL')
  }, 1)
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  clearInterval(watch)
  return signal === 'SIGKILL'
}

/** How many segments are stored. */
function segmentsIn(folder: string): number {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.ndjson.zst')).length
}

/** Streams of random entries, ages, groups and holes. @returns their keys */
async function plant(redis: RedisServer, book: EntryBook, random: Random): Promise<string[]> {
  const nowMs = await redisNow(redis)
  const startMs = nowMs - random.pick([47, 60]) * HOUR
  const streams = Array.from({ length: 6 }, (_, i) => `stream:conversation:${i}`)
  for (const stream of streams) await plantStream(redis, book, stream, startMs, random)
  return streams
}

async function plantStream(
  redis: RedisServer,
  book: EntryBook,
  stream: string,
  startMs: number,
  random: Random,
): Promise<void> {
  const count = random.magnitude(20, 600)
  const spanMs = random.int(1, 2) * 20 * HOUR
  const ids = Array.from({ length: count }, (_, i) => `${Math.floor(startMs + (i * spanMs) / count)}-${i}`)
  for (const id of ids) await book.add(stream, id, random)
  if (random.chance(0.5)) await book.delete(stream, random.pick(ids))
  if (random.chance(0.5)) {
    await redis.command('XGROUP', 'CREATE', stream, 'g', '0')
    const read = String(random.int(1, count))
    await redis.command('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', read, 'STREAMS', stream, '>')
    if (random.chance(0.5)) await redis.command('XACK', stream, 'g', ...ids.slice(0, count / 2))
  }
}

/** Adds entries until the work is done, then waits for the last of them. */
async function whileProducing<T>(
  bookOf: (stream: string) => EntryBook,
  streams: readonly string[],
  random: Random,
  work: () => Promise<T>,
): Promise<T> {
  let isDone = false
  const producer = (async () => {
    while (!isDone) {
      const stream = random.pick(streams)
      await bookOf(stream).add(stream, null, random)
      await pause(5)
    }
  })()
  try {
    return await work()
  } finally {
    isDone = true
    await producer
  }
}

test('a sweep killed at random moments loses nothing, and one that ends leaves nothing to do', async (t) => {
  const came = { early: 0, midway: 0, gone: 0 }
  for (let seed = 1; seed <= SEEDS; seed++) {
    await t.test(`seed ${seed}`, async (t) => {
      const random = new Random(seed)
      const redis = await startRedis(t)
      const book = new EntryBook(await connectBytes(t, redis))
      const streams = await plant(redis, book, random)
      const folder = temporaryFolder(t, 'archive')
      const store = new FileStore(folder)
      const args = [...randomLimits(random), '--archive', `file://${folder}`, '--archive-segment', '4kb']
      for (let sweeps = 0; sweeps < 2; sweeps++) {
        const afterBytes = random.magnitude(500, 400_000)
        // Once after some bytes of replies, mostly before anything is stored; once as soon as a segment is.
        const proxy = await startProxy(t, redis.port)
        const isTime = (): boolean => (sweeps === 0 ? proxy.replyBytes >= afterBytes : segmentsIn(folder) > 0)
        const wasKilled = await whileProducing(
          () => book,
          streams,
          random,
          () => sweepKilled(proxy.url, args, isTime),
        )
        const { length } = await Array.fromAsync(store.list('v1'))
        if (wasKilled) came[length === 0 ? 'early' : 'midway']++
        await book.check(store)
      }
      await whileProducing(
        () => book,
        streams,
        random,
        () => sweepWhole(redis.url, args),
      )
      came.gone += await book.check(store)
    })
  }
  assert.ok(came.early >= 3 && came.midway >= 3 && came.gone > 3_000, JSON.stringify(came))
})

test('a sweep of a cluster killed at random moments loses nothing either', async (t) => {
  const cluster = await startCluster(t)
  const folder = temporaryFolder(t, 'archive')
  const store = new FileStore(folder)
  const books = await Promise.all(cluster.primaries.map(async (node) => new EntryBook(await connectBytes(t, node))))
  const streams = Array.from({ length: 12 }, (_, i) => `stream:conversation:${i}`)
  const homes = new Map<string, number>()
  for (const stream of streams) homes.set(stream, await cluster.homeOf(stream))
  assert.deepEqual([...new Set(homes.values())].toSorted(), [0, 1, 2])
  const bookOf = (stream: string): EntryBook => books[homes.get(stream) ?? 0] as EntryBook
  const random = new Random(21)
  const startMs = (await redisNow(cluster.primaries[0] as RedisServer)) - 47 * HOUR
  for (const stream of streams) {
    const node = cluster.primaries[homes.get(stream) ?? 0] as RedisServer
    await plantStream(node, bookOf(stream), stream, startMs, random)
  }
  const limits = ['--max-age', '24h', '--max-length', '60', '--protect', 'unread']
  const args = [...limits, '--redis-mode', 'cluster', '--archive', `file://${folder}`, '--archive-segment', '4kb']
  const check = async (): Promise<number> => {
    let gone = 0
    for (const book of books) gone += await book.check(store)
    return gone
  }
  let killed = 0
  for (let sweeps = 0; sweeps < 4; sweeps++) {
    const before = segmentsIn(folder)
    const isTime = (): boolean => segmentsIn(folder) > before + sweeps
    if (await whileProducing(bookOf, streams, random, () => sweepKilled(cluster.urls, args, isTime))) killed++
    await check()
  }
  await whileProducing(bookOf, streams, random, () => sweepWhole(cluster.urls, args))
  const gone = await check()
  assert.ok(killed >= 2 && gone > 500, JSON.stringify({ killed, gone }))
})

test('control: what a sweep without an archive removes is missed', async (t) => {
  const random = new Random(1)
  const redis = await startRedis(t)
  const book = new EntryBook(await connectBytes(t, redis))
  await plant(redis, book, random)
  const store = new FileStore(temporaryFolder(t, 'archive'))
  await book.check(store)
  await sweepWhole(redis.url, ['--max-length', '10', '--trim', 'exact'])
  await assert.rejects(book.check(store), /in neither Redis nor the archive/)
})

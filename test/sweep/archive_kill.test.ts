/** A sweep that archives first, killed at any moment: nothing is ever lost. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { FileStore } from '../../src/store/file_store.ts'
import { connectBytes, EntryBook } from '../harness/entry_book.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
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
async function sweepKilled(
  t: TestContext,
  redisPort: number,
  args: readonly string[],
  isTime: (replyBytes: number) => boolean,
): Promise<boolean> {
  const proxy = await startProxy(t, redisPort)
  const main = `${ROOT}/src/main.ts`
  const child = spawn(process.execPath, [main, 'sweep', '--redis-url', proxy.url, '--pace', '100', ...args], {
    env: withoutOurs(),
    stdio: 'ignore',
  })
  const watch = setInterval(() => {
    if (isTime(proxy.replyBytes)) child.kill('SIGKILL')
  }, 1)
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  clearInterval(watch)
  return signal === 'SIGKILL'
}

/** Whether a segment is stored. */
function hasSegment(folder: string): boolean {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).some((name) => name.endsWith('.ndjson.zst'))
}

/** Streams of random entries, ages, groups and holes. @returns their keys */
async function plant(redis: RedisServer, book: EntryBook, random: Random): Promise<string[]> {
  const nowMs = await redisNow(redis)
  const startMs = nowMs - random.pick([47, 60]) * HOUR
  const streams = Array.from({ length: 6 }, (_, i) => `stream:conversation:${i}`)
  for (const stream of streams) {
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
  return streams
}

/** Adds entries until the work is done, then waits for the last of them. */
async function whileProducing<T>(
  book: EntryBook,
  streams: readonly string[],
  random: Random,
  work: () => Promise<T>,
): Promise<T> {
  let isDone = false
  const producer = (async () => {
    while (!isDone) {
      await book.add(random.pick(streams), null, random)
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
        const isTime = (bytes: number): boolean => (sweeps === 0 ? bytes >= afterBytes : hasSegment(folder))
        const wasKilled = await whileProducing(book, streams, random, () => sweepKilled(t, redis.port, args, isTime))
        const { length } = await Array.fromAsync(store.list('v1'))
        if (wasKilled) came[length === 0 ? 'early' : 'midway']++
        await book.check(store)
      }
      await whileProducing(book, streams, random, () => sweepWhole(redis.url, args))
      came.gone += await book.check(store)
    })
  }
  assert.ok(came.early >= 3 && came.midway >= 3 && came.gone > 3_000, JSON.stringify(came))
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

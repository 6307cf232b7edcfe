/** Where there is nothing to reap, a sweep asks Redis as little as possible. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { sweep } from '../../src/sweep/sweep.ts'
import { type Monitored, startMonitor } from '../harness/monitor.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'

const STREAMS = 100
const LIMITS = ['--max-age', '1d', '--max-length', '1000']
const REAPING = [
  ...['--acked-after', '1h', '--delete-idle', '30d', '--reap-groups', '*'],
  ...['--reap-consumers-after', '1d', '--reap-pending'],
]

const keyOf = (n: number): string => `stream:conversation:${n}`

async function fill(redis: RedisServer): Promise<void> {
  const now = await redisNow(redis)
  for (let n = 0; n < STREAMS; n++) {
    await fillStream(redis, keyOf(n), { count: 20, from: now - 60_000, stepMs: 1, bytes: 20 })
  }
}

/** How often each command ran in a third sweep, which remembers the two before: sent by the program, and with those inside scripts. */
async function thirdSweep(t: TestContext, redis: RedisServer, flags: readonly string[], between = async () => {}) {
  const task = taskOf(redis.url, [...LIMITS, ...flags])
  const run = async (): Promise<void> => {
    const { result, total } = await sweep(task, new AbortController().signal)
    assert.equal(result, 'success')
    assert.equal(total.streams, STREAMS)
  }
  await run()
  await run()
  await between()
  const monitor = await startMonitor(t, redis)
  await run()
  const commands = await monitor.commands()
  return { sent: countsOf(commands.filter(({ byScript }) => !byScript)), all: countsOf(commands) }
}

function countsOf(commands: readonly Monitored[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { name, words } of commands) {
    const full = name === 'XINFO' || name === 'XGROUP' ? `${name} ${words[1]?.toUpperCase()}` : name
    counts[full] = (counts[full] ?? 0) + 1
  }
  return counts
}

test('streams without groups cost a sweep that reaps nothing more', async (t) => {
  const redis = await startRedis(t)
  await fill(redis)
  const without = await thirdSweep(t, redis, [])
  assert.deepEqual(await thirdSweep(t, redis, REAPING), without)
})

test('streams with groups in which nothing can be reapable yet cost a sweep nothing more', async (t) => {
  const redis = await startRedis(t)
  await fill(redis)
  for (let n = 0; n < STREAMS; n++) await readSome(redis, n)
  const without = await thirdSweep(t, redis, [])
  assert.deepEqual(await thirdSweep(t, redis, REAPING), without)

  // The control: where a stream became shorter, it looks for references to missing entries, and drops them.
  const changed = await thirdSweep(t, redis, REAPING, async () => {
    for (let n = 0; n < 10; n++) await removeUnderGroup(redis, n)
  })
  assert.equal(changed.all.XACK, 10)
  for (let n = 0; n < STREAMS; n++) assert.equal(await pendingOf(redis, n), n < 10 ? 2 : 3, keyOf(n))
})

test('what cannot be seen without asking is found after at most eleven sweeps, and by a new process at once', async (t) => {
  const redis = await startRedis(t)
  await fill(redis)
  for (let n = 0; n < STREAMS; n++) await readSome(redis, n)
  const task = taskOf(redis.url, [...LIMITS, ...REAPING])
  const run = () => sweep(task, new AbortController().signal)
  await run()
  await run()
  for (let n = 0; n < 20; n++) {
    await removeUnderGroup(redis, n)
    // The stream is as long as before.
    await redis.command('XADD', keyOf(n), '*', 'm', 'x')
  }
  let dropped = 0
  for (let i = 0; i < 11; i++) dropped += (await run()).total.reaped.pending
  assert.equal(dropped, 20)

  await removeUnderGroup(redis, 0)
  await redis.command('XADD', keyOf(0), '*', 'm', 'x')
  const anew = await sweep(taskOf(redis.url, [...LIMITS, ...REAPING]), new AbortController().signal)
  assert.equal(anew.total.reaped.pending, 1)
})

test('a consumer is deleted once it has been idle for long enough, although its stream was quiet before', async (t) => {
  const redis = await startRedis(t)
  await fill(redis)
  await redis.command('XGROUP', 'CREATE', keyOf(0), 'g', '0')
  await redis.command('XGROUP', 'CREATECONSUMER', keyOf(0), 'g', 'gone')
  await redis.command('XREADGROUP', 'GROUP', 'g', 'busy', 'COUNT', '1', 'STREAMS', keyOf(0), '>')
  const task = taskOf(redis.url, [...LIMITS, '--reap-consumers-after', '3s'])
  const run = async () => (await sweep(task, new AbortController().signal)).total.reaped.consumers
  assert.deepEqual([await run(), await run()], [0, 0])
  // Not before Redis 7.2: there a consumer is as old as the group's youngest lets it be.
  await redis.command('XREADGROUP', 'GROUP', 'g', 'busy', 'COUNT', '1', 'STREAMS', keyOf(0), '>')
  await pause(3_100)
  await redis.command('XREADGROUP', 'GROUP', 'g', 'busy', 'COUNT', '1', 'STREAMS', keyOf(0), '>')
  assert.equal(await run(), 1)
})

/** Deletes the oldest entry that the group has pending. */
async function removeUnderGroup(redis: RedisServer, n: number): Promise<void> {
  const [oldest] = (await redis.command('XPENDING', keyOf(n), 'g', '-', '+', '1')) as [string][]
  await redis.command('XDEL', keyOf(n), oldest?.[0] ?? '')
}

async function pendingOf(redis: RedisServer, n: number): Promise<number> {
  return ((await redis.command('XPENDING', keyOf(n), 'g', '-', '+', '10')) as unknown[]).length
}

/** A group that has read everything, and leaves three entries in the middle pending. */
async function readSome(redis: RedisServer, n: number): Promise<void> {
  await redis.command('XGROUP', 'CREATE', keyOf(n), 'g', '0')
  const read = async (consumer: string): Promise<string[]> => {
    const reply = await redis.command('XREADGROUP', 'GROUP', 'g', consumer, 'COUNT', '10', 'STREAMS', keyOf(n), '>')
    return (reply as [string, [string][]][])[0]?.[1].map(([id]) => id) ?? []
  }
  const ids = [...(await read('one')), ...(await read('two'))]
  await redis.command('XACK', keyOf(n), 'g', ...ids.filter((_, i) => i < 8 || i > 10))
}

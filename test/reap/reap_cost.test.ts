/** Where there is nothing to reap, a sweep asks Redis as little as possible. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
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

test('for streams without groups a sweep that reaps sends the same commands, and only asks for groups inside its look', async (t) => {
  const redis = await startRedis(t)
  await fill(redis)
  const without = await thirdSweep(t, redis, [])
  const reaping = await thirdSweep(t, redis, REAPING)
  assert.deepEqual(reaping.sent, without.sent)
  assert.deepEqual(reaping.all, { ...without.all, 'XINFO GROUPS': STREAMS })
})

test('for streams with groups in which nothing changed a sweep that reaps asks for the groups and for nothing else', async (t) => {
  const redis = await startRedis(t)
  await fill(redis)
  for (let n = 0; n < STREAMS; n++) await readSome(redis, n)
  const without = await thirdSweep(t, redis, [])
  const reaping = await thirdSweep(t, redis, REAPING)
  assert.deepEqual(reaping.all, { ...without.all, 'XINFO GROUPS': STREAMS })

  // The control: where something changed, it looks for references to missing entries.
  const changed = await thirdSweep(t, redis, REAPING, async () => {
    for (let n = 0; n < 10; n++) {
      const [oldest] = (await redis.command('XPENDING', keyOf(n), 'g', '-', '+', '1')) as [string][]
      await redis.command('XDEL', keyOf(n), oldest?.[0] ?? '')
      // The stream is as long as before.
      await redis.command('XADD', keyOf(n), '*', 'm', 'x')
    }
  })
  assert.equal(changed.all.XACK, 10)
  for (let n = 0; n < STREAMS; n++) {
    const pending = (await redis.command('XPENDING', keyOf(n), 'g', '-', '+', '10')) as unknown[]
    assert.equal(pending.length, n < 10 ? 2 : 3, keyOf(n))
  }
})

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

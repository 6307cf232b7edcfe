/** A sweep does not make streams look used, if the server supports CLIENT NO-TOUCH. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { openSlot, startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillBurst, fillStream, redisNow } from '../harness/streams.ts'
import { sweepOnce, sweepWell } from '../harness/sweep_once.ts'

/** OBJECT IDLETIME counts whole seconds. */
const IDLE_S = 3

async function knowsNoTouch(redis: RedisServer): Promise<boolean> {
  return redis.command('CLIENT', 'NO-TOUCH', 'OFF').then(
    () => true,
    () => false,
  )
}

async function idleSeconds(redis: RedisServer, key: string): Promise<number> {
  return Number(await redis.command('OBJECT', 'IDLETIME', key))
}

test('a sweep does not change the idle time of streams that it does not trim', async (t) => {
  const redis = await startRedis(t)
  if (!(await knowsNoTouch(redis))) {
    t.skip('the server does not know CLIENT NO-TOUCH')
    return
  }
  const now = await redisNow(redis)
  const untouched = Array.from({ length: 50 }, (_, i) => `stream:conversation:quiet-${i}`)
  for (const key of untouched) await fillStream(redis, key, { count: 20, from: now - 60_000, stepMs: 1, bytes: 10 })
  await fillStream(redis, 'stream:conversation:long', { count: 3_000, from: now - 60_000, stepMs: 1, bytes: 10 })
  await pause((IDLE_S + 0.5) * 1000)

  // The sweep asks for everything: entries, memory and groups.
  const flags = ['--max-bytes', '64mb', '--protect', 'unread']
  const report = await sweepWell(redis.url, flags)

  assert.equal(report.streams, untouched.length + 1)
  assert.ok(report.removed.length > 0)
  for (const key of untouched) assert.ok((await idleSeconds(redis, key)) >= IDLE_S, key)
  // The control: a client without NO-TOUCH makes a stream look used by counting its entries.
  const [first = '', second = ''] = untouched
  await redis.command('XLEN', first)
  assert.ok((await idleSeconds(redis, first)) < IDLE_S)
  assert.ok((await idleSeconds(redis, second)) >= IDLE_S)
})

test('in a cluster a sweep of a stream whose slot is being moved crashes no server: it never sends NO-TOUCH', async (t) => {
  const cluster = await startCluster(t)
  const key = 'stream:conversation:moving'
  const home = await cluster.homeOf(key)
  const [source, target] = [cluster.primaries[home], cluster.primaries[(home + 1) % cluster.primaries.length]]
  assert.ok(source && target)
  await fillBurst(source, key, 3_000, 60_000)
  await openSlot(source, target, await cluster.slotOf(key))
  const { report } = await sweepOnce(cluster.urls, ['--redis-mode', 'cluster'])
  assert.equal(report.cause, 'MOVED', 'the control: the sweep saw that the slot was being moved')
  assert.ok(Number(await source.command('XLEN', key)) < 3_000, 'and trimmed the stream')
  for (const primary of cluster.primaries) {
    assert.equal(await primary.command('PING'), 'PONG')
    assert.equal(await primary.callsOf('client|no-touch'), 0)
  }
})

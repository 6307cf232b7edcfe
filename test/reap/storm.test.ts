/** The reaper beside readers and writers that come and go all the time: whatever it removes, nobody loses an entry. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Client, makeClient } from '../../scripts/stage/redis_client.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fieldsOf } from '../harness/replies.ts'
import { redisNow } from '../harness/streams.ts'
import { sweepWhole } from '../harness/sweep_here.ts'

const KEY = 'stream:conversation:1'
const OFF = ['--max-length', 'off', '--max-age', 'off']
/** Longer than the storm ever needs. */
const DEADLINE_MS = 120_000

/** A connection of its own, so that its commands fall between those of others. */
async function clientOf(t: TestContext, redis: RedisServer): Promise<Client> {
  const client = makeClient({ socket: { host: '127.0.0.1', port: redis.port } })
  t.after(() => client.destroy())
  await client.connect()
  return client
}

interface Storm {
  /** Entries that were delivered to some reader. */
  readonly delivered: Set<string>
  readonly acknowledged: Set<string>
  end(): Promise<void>
}

/** A producer, and readers that share a few names, read an entry, acknowledge it or die, and come back. */
async function startStorm(t: TestContext, redis: RedisServer): Promise<Storm> {
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0', 'MKSTREAM')
  const [delivered, acknowledged] = [new Set<string>(), new Set<string>()]
  let isOver = false
  const reader = async (n: number): Promise<void> => {
    const client = await clientOf(t, redis)
    const read = async (name: string, from: string): Promise<string[]> => {
      const args = ['GROUP', 'g', name, 'COUNT', '1', 'BLOCK', '2', 'STREAMS', KEY, from]
      const reply: unknown = await client.sendCommand(['XREADGROUP', ...args])
      return ((reply as [string, [string, unknown][]][] | null)?.[0]?.[1] ?? []).map(([id]) => id)
    }
    for (let i = 0; !isOver; i++) {
      const name = `pod-${(n * 7 + i) % 12}`
      // What it had in hand when it died comes first.
      for (const id of [...(await read(name, '0')), ...(await read(name, '>'))]) {
        delivered.add(id)
        await pause(Math.random() * 3)
        if (Math.random() < 0.1) break
        if (Number(await client.sendCommand(['XACK', KEY, 'g', id])) === 1) acknowledged.add(id)
      }
      await pause(Math.random() * 6)
    }
  }
  const producer = async (): Promise<void> => {
    const client = await clientOf(t, redis)
    while (!isOver) {
      await client.sendCommand(['XADD', KEY, '*', 'field', 'value'])
      await pause(Math.random() * 2)
    }
  }
  const work = Promise.all([producer(), ...Array.from({ length: 6 }, (_, n) => reader(n))])
  work.catch(() => {})
  return {
    delivered,
    acknowledged,
    async end() {
      isOver = true
      await work
    },
  }
}

/** Runs the reaper beside the storm until `isDone`. @returns entries that were delivered, not acknowledged, and are not pending */
async function lostIn(
  t: TestContext,
  reap: (redis: RedisServer) => Promise<void>,
  isDone: () => boolean,
): Promise<string[]> {
  const redis = await startRedis(t)
  const storm = await startStorm(t, redis)
  const until = Date.now() + DEADLINE_MS
  while (!isDone()) {
    await reap(redis)
    assert.ok(Date.now() < until, 'the reaper met too few consumers')
  }
  await storm.end()
  const pending = (await redis.command('XPENDING', KEY, 'g', '-', '+', '1000000')) as [string][]
  const left = new Set(pending.map(([id]) => id))
  assert.ok(storm.acknowledged.size > 0)
  return [...storm.delivered].filter((id) => !storm.acknowledged.has(id) && !left.has(id))
}

test('readers that come and go with the same names lose nothing that is pending while their consumers are reaped', async (t) => {
  let reaped = 0
  const lost = await lostIn(
    t,
    async (redis) => {
      reaped += (await sweepWhole(redis.url, [...OFF, '--reap-consumers-after', '1ms'])).reaped.consumers
    },
    () => reaped >= 300,
  )
  assert.deepEqual(lost, [])
})

test('control: checking and deleting apart loses pending entries', async (t) => {
  let destroyed = 0
  const lost = await lostIn(
    t,
    async (redis) => {
      const consumers = (await redis.command('XINFO', 'CONSUMERS', KEY, 'g')) as unknown[]
      const free = consumers.map(fieldsOf).filter((told) => told.get('pending') === 0)
      await pause(2)
      for (const told of free)
        destroyed += Number(await redis.command('XGROUP', 'DELCONSUMER', KEY, 'g', String(told.get('name'))))
    },
    () => destroyed >= 5,
  )
  assert.ok(lost.length > 0)
})

/** How long a stream may be idle, in ms. */
const IDLE_MS = 20
const STREAMS = Array.from({ length: 25 }, (_, i) => `stream:conversation:${i}`)

interface Written {
  readonly key: string
  readonly id: string
}

/**
 * Deletes idle streams again and again beside writers that pause for about as long as streams may be idle.
 * @returns how many streams went, and the entries that went although they were younger than that
 */
async function deleteUnderWriters(
  t: TestContext,
  removeIdle: (redis: RedisServer) => Promise<number>,
  isDone: (rounds: number, lost: number) => boolean,
): Promise<{ deleted: number; lost: Written[]; written: number }> {
  const redis = await startRedis(t)
  let isOver = false
  let written: Written[] = []
  let count = 0
  const writers = STREAMS.map(async (key) => {
    const client = await clientOf(t, redis)
    while (!isOver) {
      written.push({ key, id: String(await client.sendCommand(['XADD', key, '*', 'field', 'value'])) })
      count++
      await pause(Math.random() * 3 * IDLE_MS)
    }
  })
  const lost: Written[] = []
  let deleted = 0
  const until = Date.now() + DEADLINE_MS
  for (let rounds = 0; !isDone(rounds, lost.length); rounds++) {
    deleted += await removeIdle(redis)
    const now = await redisNow(redis)
    const young = written.filter(({ id }) => Number(id.split('-')[0]) >= now - IDLE_MS)
    written = []
    for (const entry of young) {
      const found = (await redis.command('XRANGE', entry.key, entry.id, entry.id)) as unknown[]
      if (found.length === 0) lost.push(entry)
    }
    assert.ok(Date.now() < until, `${rounds} rounds, ${deleted} streams deleted`)
  }
  isOver = true
  await Promise.all(writers)
  return { deleted, lost, written: count }
}

test('an XADD in the same instant is never lost in 100 sweeps: the stream stays, or the entry begins a new one', async (t) => {
  const { deleted, lost, written } = await deleteUnderWriters(
    t,
    async (redis) => (await sweepWhole(redis.url, [...OFF, '--delete-idle', `${IDLE_MS}ms`])).deletedFor.idle,
    (rounds) => rounds >= 100,
  )
  t.diagnostic(`${deleted} streams deleted, ${written} entries written`)
  assert.ok(deleted >= 100, `${deleted}`)
  assert.deepEqual(lost, [])
})

test('control: checking and deleting apart loses entries that were just written', async (t) => {
  const { lost } = await deleteUnderWriters(
    t,
    async (redis) => {
      const now = await redisNow(redis)
      const idle: string[] = []
      for (const key of STREAMS) {
        const [last] = (await redis.command('XREVRANGE', key, '+', '-', 'COUNT', '1')) as [string, unknown][]
        if (last && Number(last[0].split('-')[0]) < now - IDLE_MS) idle.push(key)
      }
      await pause(2)
      let deleted = 0
      for (const key of idle) deleted += Number(await redis.command('UNLINK', key))
      return deleted
    },
    (_, lost) => lost >= 3,
  )
  assert.ok(lost.length >= 3)
})

test('a client that is blocked in XREAD on a stream that is deleted gets the next entry', async (t) => {
  const redis = await startRedis(t)
  const blocked = await clientOf(t, redis)
  const old = `${(await redisNow(redis)) - 3_600_000}-0`
  await redis.command('XADD', KEY, old, 'field', 'old')
  const reading = blocked.sendCommand(['XREAD', 'BLOCK', '60000', 'STREAMS', KEY, '$'])
  const blockedClients = async () => /blocked_clients:(\d+)/.exec(String(await redis.command('INFO', 'clients')))?.[1]
  while ((await blockedClients()) !== '1') await pause(5)
  const { deletedFor } = await sweepWhole(redis.url, [...OFF, '--delete-idle', '10m'])
  assert.equal(deletedFor.idle, 1)
  const id = await redis.command('XADD', KEY, '*', 'field', 'new')
  assert.deepEqual(await reading, [[KEY, [[id, ['field', 'new']]]]])
})

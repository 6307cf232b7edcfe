/** Groups that start to need entries while their stream is trimmed: from then on, undelivered entries stay. */

import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { readNext } from '../harness/conversation.ts'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { sweepHere } from '../harness/sweep_here.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const KEY = 'stream:conversation:1'
const HOUR = 3_600_000
const ENTRIES = 200_000
const LIMITS: readonly (readonly string[])[] = [
  ['--max-age', 'off', '--max-length', '1000'],
  ['--max-age', '30m', '--max-length', 'off'],
  ['--max-age', 'off', '--max-length', 'off', '--max-bytes', '1mb'],
]

/** How a group starts to need entries that no group needed before. */
interface Change {
  readonly name: string
  prepare(redis: RedisServer): Promise<void>
  change(redis: RedisServer): Promise<unknown>
}

const CHANGES: readonly Change[] = [
  {
    name: 'a group is created at the beginning',
    prepare: async () => {},
    change: (redis) => redis.command('XGROUP', 'CREATE', KEY, 'late', '0'),
  },
  {
    name: 'a group is reset to the beginning',
    async prepare(redis) {
      await redis.command('XGROUP', 'CREATE', KEY, 'late', '$')
      await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'late', 'one')
    },
    change: (redis) => redis.command('XGROUP', 'SETID', KEY, 'late', '0'),
  },
  {
    name: 'a dead group starts to read again',
    async prepare(redis) {
      await redis.command('XGROUP', 'CREATE', KEY, 'late', '0')
      await readNext(redis, KEY, 'late', 1)
      await makeIdle(redis, KEY, { 'late-consumer': 8 * 24 * HOUR })
    },
    change: (redis) => readNext(redis, KEY, 'late', 1),
  },
]

/** Sweeps, and changes the groups between two bites of the trim. @returns the number of entries then, and after the sweep */
async function changeDuring(t: TestContext, change: Change, args: readonly string[]) {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const proxy = await startProxy(t, redis.port)
  const [count, from] = [ENTRIES, (await redisNow(redis)) - HOUR]
  await fillStream(redis, KEY, { count, from, stepMs: 0.001, bytes: 10 })
  await change.prepare(redis)
  const length = async (): Promise<number> => Number(await redis.command('XLEN', KEY))
  proxy.hold('XTRIM', 2)
  const sweeping = sweepHere(proxy.url, args)
  await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'the middle of the trim' })
  await change.change(redis)
  const then = await length()
  await proxy.heal()
  const { result, total } = await sweeping
  const removed = Object.values(total.removed).reduce((sum, n) => sum + n)
  assert.deepEqual([result, removed], ['success', ENTRIES - (await length())])
  assert.ok(then > 1_000 && then < ENTRIES, `${then} entries left in the middle`)
  return { then, after: await length(), total }
}

suite('groups change while their stream is trimmed', { concurrency: 2 }, () => {
  for (const change of CHANGES)
    test(`${change.name}: from then on nothing is removed`, async (t) => {
      for (const limits of LIMITS) {
        const { then, after, total } = await changeDuring(t, change, [...limits, '--protect', 'unread'])
        assert.equal(after, then, limits.join(' '))
        assert.equal(total.protectedStreams, 1)
      }
    })

  test('control: without protection, and by hard limits, the trim continues', async (t) => {
    const [created] = CHANGES as [Change]
    for (const protection of ['none', 'unread']) {
      const args = ['--max-age', 'off', '--max-length', '1000', '--hard-max-length', '2000', '--protect', protection]
      const { after } = await changeDuring(t, created, args)
      assert.ok(after <= 2_100, `${after} with --protect ${protection}`)
    }
  })
})

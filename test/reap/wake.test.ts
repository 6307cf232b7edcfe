/** What happens between judging and removing: whoever wakes up then keeps what it needs. */

import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillBurst, lengthOf } from '../harness/streams.ts'
import { sweepHere } from '../harness/sweep_here.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const KEY = 'stream:conversation:1'
const DAY = 86_400_000
const OFF = ['--max-length', 'off', '--max-age', 'off']

/** Something that is left behind, and what may happen to it right before it is removed. */
interface Scene {
  /** The flags that remove it. */
  readonly args: readonly string[]
  /** A part of the script that removes it: the script is held until `happens` is over. */
  readonly removal: string
  prepare(redis: RedisServer): Promise<unknown>
  happens(redis: RedisServer): Promise<unknown>
}

/** Sweeps, and lets it happen between the last look and the removal. @returns what was removed */
async function sweepAround(t: TestContext, { args, removal, prepare, happens }: Scene) {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const proxy = await startProxy(t, redis.port)
  await prepare(redis)
  proxy.hold(removal)
  const sweeping = sweepHere(proxy.url, [...OFF, ...args])
  await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'the removal' })
  await happens(redis)
  await proxy.heal()
  const { result, total } = await sweeping
  assert.equal(result, 'success')
  return { redis, reaped: total.reaped, deleted: total.deletedFor }
}

const nothing = async (): Promise<void> => {}
const read = (redis: RedisServer, from = '>', consumer = 'reader', count = 10) =>
  redis.command('XREADGROUP', 'GROUP', 'g', consumer, 'COUNT', String(count), 'STREAMS', KEY, from)
const pendingOf = async (redis: RedisServer): Promise<string[]> =>
  ((await redis.command('XPENDING', KEY, 'g', '-', '+', '100')) as [string][]).map(([id]) => id)

/** A group that read 10 of 30 old entries and has been dead for more than a week, with more idle consumers. */
const deadGroup =
  (others = 0) =>
  async (redis: RedisServer): Promise<void> => {
    await fillBurst(redis, KEY, 30, 9 * DAY)
    await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
    await read(redis)
    const idle: Record<string, number> = { reader: 8 * DAY }
    for (let i = 0; i < others; i++) {
      await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'g', `other-${i}.`)
      idle[`other-${i}.`] = 8 * DAY
    }
    await makeIdle(redis, KEY, idle)
  }

const WAKES: Readonly<Record<string, Scene['happens']>> = {
  'reads on': (redis) => read(redis),
  'reads again what it has pending': (redis) => read(redis, '0'),
  'acknowledges what it has pending': async (redis) => redis.command('XACK', KEY, 'g', ...(await pendingOf(redis))),
  'gets a new consumer': (redis) => redis.command('XGROUP', 'CREATECONSUMER', KEY, 'g', 'new'),
  'is set back': (redis) => redis.command('XGROUP', 'SETID', KEY, 'g', '0'),
}

suite('a dead group that wakes up right before it is destroyed', { concurrency: 2 }, () => {
  const destroys = { args: ['--reap-groups', '*'], removal: "'DESTROY'" }
  for (const [what, happens] of Object.entries(WAKES))
    test(`stays if it ${what}`, async (t) => {
      const { redis, reaped } = await sweepAround(t, { ...destroys, prepare: deadGroup(), happens })
      assert.equal(reaped.groups, 0)
      assert.equal(((await redis.command('XINFO', 'GROUPS', KEY)) as unknown[]).length, 1)
    })

  test('stays also if it has more consumers than one script should ask', async (t) => {
    const happens = WAKES['reads again what it has pending'] as Scene['happens']
    const { redis, reaped } = await sweepAround(t, { ...destroys, prepare: deadGroup(600), happens })
    assert.equal(reaped.groups, 0)
    assert.ok(reaped.consumers >= 599, `${reaped.consumers}: all but the one that was active last had nothing pending`)
    assert.equal((await pendingOf(redis)).length, 10)
  })

  test('control: if it does not wake up, it goes', async (t) => {
    for (const others of [0, 600]) {
      const { reaped } = await sweepAround(t, { ...destroys, prepare: deadGroup(others), happens: nothing })
      assert.equal(reaped.groups, 1)
    }
  })

  test('stays if it was destroyed and made again at the same place', async (t) => {
    const prepare = async (redis: RedisServer): Promise<void> => {
      await deadGroup()(redis)
      await redis.command('XACK', KEY, 'g', ...(await pendingOf(redis)))
      await redis.command('XGROUP', 'DELCONSUMER', KEY, 'g', 'reader')
    }
    const again = async (redis: RedisServer): Promise<void> => {
      const [fields] = (await redis.command('XINFO', 'GROUPS', KEY)) as [string[]]
      const at = fields[fields.indexOf('last-delivered-id') + 1] as string
      await redis.command('XGROUP', 'DESTROY', KEY, 'g')
      await redis.command('XGROUP', 'CREATE', KEY, 'g', at)
    }
    const made = await sweepAround(t, { ...destroys, prepare, happens: again })
    assert.equal(made.reaped.groups, 0)
    const control = await sweepAround(t, { ...destroys, prepare, happens: nothing })
    assert.equal(control.reaped.groups, 1)
  })
})

suite('an idle stream that is used right before it is deleted', { concurrency: 2 }, () => {
  const deletes = { args: ['--delete-idle', '7d'], removal: "'UNLINK'" }
  const uses: Readonly<Record<string, Scene['happens']>> = {
    'an entry is added': (redis) => redis.command('XADD', KEY, '*', 'field', 'value'),
    'its dead group reads on': (redis) => read(redis),
    'its dead group reads again what it has pending': (redis) => read(redis, '0'),
    'a group is created': (redis) => redis.command('XGROUP', 'CREATE', KEY, 'new', '0'),
  }
  for (const [what, happens] of Object.entries(uses))
    test(`stays if ${what}`, async (t) => {
      const { redis, deleted } = await sweepAround(t, { ...deletes, prepare: deadGroup(), happens })
      assert.equal(deleted.idle, 0)
      assert.ok((await lengthOf(redis, KEY)) >= 30)
    })

  test('control: if it is not used, it goes', async (t) => {
    const { redis, deleted } = await sweepAround(t, { ...deletes, prepare: deadGroup(), happens: nothing })
    assert.equal(deleted.idle, 1)
    assert.equal(await redis.command('EXISTS', KEY), 0)
  })
})

test('an entry that is added to an empty stream and delivered right before references are dropped stays pending', async (t) => {
  const drops = {
    args: ['--reap-pending'],
    removal: "'XACK'",
    async prepare(redis: RedisServer) {
      await fillBurst(redis, KEY, 10, 60_000)
      await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
      await read(redis)
      await redis.command('XTRIM', KEY, 'MAXLEN', '0')
    },
  }
  const added: unknown[] = []
  const { redis, reaped } = await sweepAround(t, {
    ...drops,
    async happens(redis) {
      for (let i = 0; i < 3; i++) added.push(await redis.command('XADD', KEY, '*', 'field', 'value'))
      await read(redis)
    },
  })
  assert.deepEqual([await pendingOf(redis), reaped.pending], [added, 10])
})

test('a consumer that gets an entry right before it is deleted stays, and the others go', async (t) => {
  const scene: Scene = {
    args: ['--reap-consumers-after', '1d'],
    removal: "'DELCONSUMER'",
    async prepare(redis) {
      await deadGroup(3)(redis)
      await redis.command('XACK', KEY, 'g', ...(await pendingOf(redis)))
      await read(redis, '>', 'alive', 1)
    },
    happens: (redis) => read(redis, '>', 'reader', 5),
  }
  const { redis, reaped } = await sweepAround(t, scene)
  assert.equal(reaped.consumers, 3)
  assert.equal((await pendingOf(redis)).length, 6)
  const control = await sweepAround(t, { ...scene, happens: nothing })
  assert.equal(control.reaped.consumers, 4)
})

/**
 * `--trim exact` in streams with single deleted entries. An exact XTRIM by ID can then leave a node without live entries,
 * and Redis 8.8 and later refuse to load a file with such a node (redis/redis #15808).
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RESP_TYPES } from '@redis/client'
import { startMonitor } from '../harness/monitor.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { layoutOf } from '../harness/retention_model/layout.ts'
import { Random } from '../harness/retention_model/random.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { sweepWhole } from '../harness/sweep_here.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

const KEY = 'stream:conversation:1'
const UNCOMPRESSED = { config: { rdbcompression: 'no' } } as const

test('a node whose last entry was deleted is removed with its last live one, and no node without live entries is left', async (t) => {
  const redis = await startRedis(t, UNCOMPRESSED)
  const young = await fillWithHazard(redis)

  const report = await sweepWhole(redis.url, ['--max-age', '24h', '--max-length', 'off', '--trim', 'exact'])

  assert.deepEqual(report.removed, { age: 99, length: 0, bytes: 0, acked: 0 })
  assert.deepEqual(await streamIds(redis, KEY), young)
  assert.deepEqual(await nodes(redis), [{ live: 100, deleted: 0 }])

  // The control: the obvious exact XTRIM leaves such a node, and the test sees it.
  await fillWithHazard(redis)
  const cutOff = (await redisNow(redis)) - DAY
  assert.equal(await redis.command('XTRIM', KEY, 'MINID', '=', String(cutOff)), 99)
  assert.deepEqual(await nodes(redis), [
    { live: 0, deleted: 100 },
    { live: 100, deleted: 0 },
  ])
})

test('however entries were deleted, --trim exact trims to the entry and leaves no node without live entries', async (t) => {
  const redis = await startRedis(t, UNCOMPRESSED)
  const random = new Random(15808)
  let hollowByMinid = 0
  for (let i = 0; i < 150; i++) {
    await redis.command('FLUSHALL')
    await redis.command('CONFIG', 'SET', 'stream-node-max-entries', String(random.pick([100, 10, 3])))
    const now = await redisNow(redis)
    const count = random.int(20, 400)
    const stepMs = (2 * DAY) / count
    await fillStream(redis, KEY, { count, from: now - 2 * DAY, stepMs, bytes: 10 })
    const ids = await streamIds(redis, KEY)
    const share = random.pick([0.1, 0.5, 0.95])
    const deleted = ids.filter(() => random.chance(share))
    if (deleted.length > 0) await redis.command('XDEL', KEY, ...deleted)
    const left = ids.filter((id) => !deleted.includes(id))
    // Halfway between two entries, because the sweep reads the clock a little later.
    const maxAgeMs = Math.round(stepMs * (random.int(1, count - 1) + 0.5))
    const young = left.filter((id) => Number.parseInt(id, 10) >= now - maxAgeMs)
    const isHeld = random.chance(0.4)
    const maxLength = random.pick([null, random.int(1, count)])
    const hold = isHeld ? random.pick(ids) : null
    if (hold !== null) await redis.command('XGROUP', 'CREATE', KEY, 'group', hold)
    const needed = hold === null ? [] : left.filter((id) => ids.indexOf(id) > ids.indexOf(hold))
    const within = maxLength === null ? young : young.slice(-maxLength)
    const expected = left.slice(left.length - Math.max(within.length, needed.length))

    await redis.command('COPY', KEY, 'shadow')
    await redis.command('XTRIM', 'shadow', 'MINID', '=', String(now - maxAgeMs))
    if ((await nodes(redis, 'shadow')).some(({ live }) => live === 0)) hollowByMinid++
    const report = await sweepWhole(redis.url, [
      ...['--trim', 'exact', '--protect', 'unread', '--stale-group-after', 'off'],
      ...['--max-age', `${maxAgeMs}ms`, '--max-length', maxLength === null ? 'off' : String(maxLength)],
    ])

    const what = `${i}: ${left.length} of ${count}, ${young.length} young, ${needed.length} needed, at most ${maxLength}`
    assert.deepEqual(await streamIds(redis, KEY), expected, what)
    assert.equal(report.removed.age + report.removed.length, left.length - report.entries.after, what)
    assert.deepEqual(
      (await nodes(redis)).filter(({ live }) => live === 0),
      [],
      what,
    )
  }
  // The control: XTRIM by ID would have left such nodes.
  assert.ok(hollowByMinid >= 10, `${hollowByMinid} of 150`)
})

test('an exact sweep never trims exactly by ID, and never deletes single entries', async (t) => {
  const redis = await startRedis(t)
  await fillWithHazard(redis)
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '150', 'STREAMS', KEY, '>')
  const monitor = await startMonitor(t, redis)

  await sweepWhole(redis.url, ['--max-age', '24h', '--max-length', '60', '--trim', 'exact', '--protect', 'unread'])

  const commands = await monitor.commands()
  assert.deepEqual(
    commands.filter(({ name, words }) => name === 'XDEL' || (words[2] === 'MINID' && words[3] !== '~')),
    [],
  )
  assert.ok(commands.some(({ name, words }) => name === 'XTRIM' && words[3] === '='))
})

test('a size limit removes whole nodes even with --trim exact, hardly more than needed, and never the newest entry', async (t) => {
  const redis = await startRedis(t, UNCOMPRESSED)
  for (const { entries, bytes, limit } of [
    { entries: 2_000, bytes: 100, limit: 100 * 1024 },
    { entries: 300, bytes: 5_000, limit: 200 * 1024 },
    { entries: 40, bytes: 100_000, limit: 1024 * 1024 },
    // Not even one entry fits.
    { entries: 10, bytes: 100_000, limit: 1024 },
  ]) {
    await redis.command('FLUSHALL')
    await fillStream(redis, KEY, { count: entries, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes })
    const ids = await streamIds(redis, KEY)
    await redis.command('XDEL', KEY, ...ids.filter((_, i) => i % 7 === 3))
    const left = await streamIds(redis, KEY)
    const before = await nodes(redis)

    const report = await sweepWhole(redis.url, ['--max-length', 'off', '--max-bytes', `${limit}b`, '--trim', 'exact'])

    const after = await nodes(redis)
    const survivors = await streamIds(redis, KEY)
    assert.deepEqual(after, before.slice(-after.length))
    assert.deepEqual(survivors, left.slice(-survivors.length))
    assert.deepEqual(report.removed, { age: 0, length: 0, bytes: left.length - survivors.length, acked: 0 })
    const used = Number(await redis.command('MEMORY', 'USAGE', KEY))
    const perNode = used / after.length
    assert.ok(used <= limit || after.length === 1, `${used} bytes in ${after.length} nodes`)
    assert.ok(used > limit - 2 * perNode || after.length === 1, `${used} bytes in ${after.length} nodes`)
  }
})

test('a large old entry costs a stream that is within its size limit only the nodes up to that entry', async (t) => {
  const redis = await startRedis(t, UNCOMPRESSED)
  const from = (await redisNow(redis)) - HOUR
  await fillStream(redis, KEY, { count: 10, from, stepMs: 1, bytes: 10 })
  await fillStream(redis, KEY, { count: 1, from: from + 1_000, stepMs: 1, bytes: 500_000 })
  await fillStream(redis, KEY, { count: 20_000, from: from + 2_000, stepMs: 1, bytes: 10 })
  // Redis estimates memory from a sample of the oldest nodes; here the estimate is many times too high.
  assert.ok(Number(await redis.command('MEMORY', 'USAGE', KEY)) > 10_000_000)

  const report = await sweepWhole(redis.url, ['--max-length', 'off', '--max-bytes', '2mb'])

  assert.deepEqual(report.removed, { age: 0, length: 0, bytes: 11, acked: 0 })
})

test('memory freed by age or length counts towards the size limit, so that nothing more is removed', async (t) => {
  const redis = await startRedis(t, UNCOMPRESSED)
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 2_000, from: now - 2 * DAY, stepMs: 1, bytes: 1_000 })
  await fillStream(redis, KEY, { count: 500, from: now - HOUR, stepMs: 1, bytes: 1_000 })

  const report = await sweepWhole(redis.url, ['--max-age', '24h', '--max-bytes', '1mb', '--trim', 'exact'])

  assert.deepEqual(report.removed, { age: 2_000, length: 0, bytes: 0, acked: 0 })
  assert.deepEqual(report.overLimit, { age: 0, length: 0, bytes: 0 })
})

/** Two nodes of 100 entries. In the first one all are too old except the last, which is deleted. @returns the IDs of the second */
async function fillWithHazard(redis: RedisServer): Promise<string[]> {
  const now = await redisNow(redis)
  await redis.command('DEL', KEY)
  await fillStream(redis, KEY, { count: 99, from: now - 2 * DAY, stepMs: 1, bytes: 10 })
  await fillStream(redis, KEY, { count: 101, from: now - HOUR, stepMs: 1, bytes: 10 })
  const [last = '', ...young] = await streamIds(redis, KEY, 101)
  await redis.command('XDEL', KEY, last)
  return young
}

/** The nodes of a stream in memory, oldest first. */
async function nodes(redis: RedisServer, key = KEY): Promise<{ live: number; deleted: number }[]> {
  const binary = redis.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const dump = (await binary.sendCommand(['DUMP', key])) as unknown as Buffer | null
  return dump === null
    ? []
    : layoutOf(dump).map(({ live, deleted }) => ({ live: live.length, deleted: deleted.length }))
}

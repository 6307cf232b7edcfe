/** How many entries a sweep would remove: counted inside Redis, or estimated where that is not allowed. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planWell } from '../harness/plan_once.ts'
import { runXtrimd } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillBurst, fillStream, fillTwoDays, lengthOf, redisNow, streamIds } from '../harness/streams.ts'
import { sweepWell } from '../harness/sweep_once.ts'

const HOUR_MS = 3_600_000

test('a plan counts whole old streams and exact lengths, and the sweep removes the same number of entries', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await fillStream(redis, 'stream:conversation:old', { count: 700, from: now - 50 * HOUR_MS, stepMs: 1, bytes: 50 })
  await fillStream(redis, 'stream:conversation:long', { count: 1_500, from: now - HOUR_MS, stepMs: 1, bytes: 50 })
  const exact = ['--trim', 'exact']

  const plan = await planWell(redis.url, exact)
  const swept = await sweepWell(redis.url, exact)

  assert.deepEqual(
    { ...plan.remove, approximateBytes: 0 },
    { age: 700, length: 500, bytes: 0, acked: 0, approximateBytes: 0, exact: true },
  )
  assert.deepEqual(swept.removed, { age: 700, length: 500, bytes: 0, acked: 0 })
})

test('a burst of old entries before a few fresh ones is counted exactly', async (t) => {
  const redis = await startRedis(t)
  await fillBurst(redis, 'stream:conversation:a', 500, 27 * HOUR_MS)
  await fillBurst(redis, 'stream:conversation:a', 5, 1_000)
  const planned = await planWell(redis.url)
  const swept = await sweepWell(redis.url)
  assert.deepEqual(swept.removed, { age: 500, length: 0, bytes: 0, acked: 0 })
  const { age, length, bytes, acked } = planned.remove
  assert.deepEqual({ age, length, bytes, acked }, swept.removed)
})

test('with --trim exact the plan equals the sweep for every reason, however unevenly entries were written', async (t) => {
  const redis = await startRedis(t)
  await fillBurst(redis, 'stream:conversation:a', 5_000, 30 * HOUR_MS, 100)
  await fillBurst(redis, 'stream:conversation:a', 300, HOUR_MS / 4, 100)
  await fillBurst(redis, 'stream:conversation:b', 1_500, 26 * HOUR_MS, 1_000)
  await fillBurst(redis, 'stream:conversation:b', 1_250, HOUR_MS, 10)
  const planned = await planWell(redis.url, ['--trim', 'exact'])
  assert.deepEqual(
    { ...planned.remove, approximateBytes: 0 },
    { age: 6_500, length: 250, bytes: 0, acked: 0, approximateBytes: 0, exact: true },
  )
  const swept = await sweepWell(redis.url, ['--trim', 'exact'])
  assert.deepEqual(swept.removed, { age: 6_500, length: 250, bytes: 0, acked: 0 })
})

test('where entries were deleted out of nodes, the plan is within a node of the sweep for every reason', async (t) => {
  const redis = await startRedis(t)
  const key = 'stream:conversation:a'
  const from = (await redisNow(redis)) - 50 * HOUR_MS
  await fillStream(redis, key, { count: 693, from, stepMs: 30_000, bytes: 20 })
  await redis.command('XADD', key, '*', 'body', 'deleted at once')
  const ids = await streamIds(redis, key)
  await redis.command('XDEL', key, ...ids.filter((_, i) => i % 100 >= 90))
  await redis.command('XGROUP', 'CREATE', key, 'g', '0')
  await redis.command('XREADGROUP', 'GROUP', 'g', 'c', 'NOACK', 'STREAMS', key, '>')
  // 288 entries are older: three nodes of 90. Redis keeps the newest node, because the one deleted last is not acknowledged.
  const args = ['--max-age', `${50 * HOUR_MS - 319 * 30_000}ms`, '--max-length', 'off', '--acked-after', '0s']
  const planned = await planWell(redis.url, args)
  const swept = await sweepWell(redis.url, args)
  assert.deepEqual(swept.removed, { age: 270, length: 0, bytes: 0, acked: 270 })
  const { age, acked, exact } = planned.remove
  assert.ok(Math.abs(age - 270) <= 90 && Math.abs(acked - 270) <= 90, `${age}, ${acked}`)
  assert.equal(exact, false)
})

test('without the right to run scripts, short streams are counted by plain reads and long ones are estimated, and the plan says why', async (t) => {
  const redis = await startRedis(t)
  await fillBurst(redis, 'stream:conversation:a', 700, 27 * HOUR_MS)
  await fillBurst(redis, 'stream:conversation:a', 800, HOUR_MS)
  await redis.command('ACL', 'SETUSER', 'ops', 'on', '>pass', '~*', '+@all', '-eval', '-eval_ro')
  const ops = `redis://ops:pass@127.0.0.1:${redis.port}`
  const args = ['--max-length', 'off', '--trim', 'exact']
  const counted = await planWell(ops, args)
  assert.deepEqual([counted.remove.age, counted.remove.exact], [700, true])
  assert.deepEqual(counted.missing, { EVAL_RO: 'an exact count' })

  await fillBurst(redis, 'stream:conversation:b', 9_000, 30 * HOUR_MS)
  await fillBurst(redis, 'stream:conversation:b', 9_000, HOUR_MS)
  const estimated = await planWell(ops, args)
  assert.equal(estimated.remove.exact, false)
  // The control: with scripts the same plan is exact.
  const exact = await planWell(redis.url, args)
  assert.deepEqual([exact.remove.age, exact.remove.exact], [9_700, true])
})

test('an estimate is marked with ≈ and is within a node per stream of what the sweep removes', async (t) => {
  const redis = await startRedis(t)
  await fillTwoDays(redis, 'stream:conversation:a', 4_000)
  await fillTwoDays(redis, 'stream:conversation:b', 400)
  const plan = await planWell(redis.url)
  const text = await runXtrimd(['plan', '--redis-url', redis.url])
  const swept = await sweepWell(redis.url)

  assert.equal(plan.remove.exact, false)
  assert.match(text.stdout, /≈/)
  for (const line of text.stdout.split('\n')) assert.ok(line.length <= 80, line)
  // Half of 4,400 by age, then what exceeds 1,000, give or take a node per stream.
  assert.ok(Math.abs(plan.remove.age - swept.removed.age) <= 200, `${plan.remove.age} against ${swept.removed.age}`)
  assert.ok(
    Math.abs(plan.remove.length - swept.removed.length) <= 200,
    `${plan.remove.length} against ${swept.removed.length}`,
  )
  assert.ok(plan.bytes !== null && plan.remove.approximateBytes > plan.bytes / 3)
  assert.deepEqual(
    plan.longest.map(({ length }) => length),
    [4_000, 400],
  )
})

test('the stricter age limit is counted, also if it is the hard one', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  const key = 'stream:conversation:a'
  // Written at an uneven rate: an estimate would say 40.
  await fillStream(redis, key, { count: 10, from: now - 72 * HOUR_MS, stepMs: 1, bytes: 10 })
  await fillStream(redis, key, { count: 50, from: now - 1_000, stepMs: 1, bytes: 10 })
  const args = ['--max-age', 'off', '--hard-max-age', '1d', '--trim', 'exact']
  const { remove } = await planWell(redis.url, args)
  assert.deepEqual([remove.age, remove.exact], [10, true])
  await sweepWell(redis.url, args)
  assert.equal(await lengthOf(redis, key), 50)
})

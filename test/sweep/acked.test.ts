/** Retention by acknowledgement: `--acked-after` removes what every living group has acknowledged, and nothing else. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { readOutput } from '../harness/output.ts'
import { planWell } from '../harness/plan_once.ts'
import { runXtrimd } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, lengthOf, redisNow } from '../harness/streams.ts'
import { sweepWell } from '../harness/sweep_once.ts'

const KEY = 'stream:conversation:1'
const DAY = 24 * 3_600_000
const OFF = ['--max-length', 'off', '--max-age', 'off']

interface Report {
  readonly result: string
  readonly unread: number
  readonly removed: Readonly<Record<'age' | 'length' | 'bytes' | 'acked', number>>
}

/** Plans, then sweeps, and compares: the counts must be equal with `exact`, and within a node with `approx`. */
async function sweepAsPlanned(redis: RedisServer, args: readonly string[]): Promise<Report['removed']> {
  const { remove } = await planWell(redis.url, args)
  const { removed } = await sweepWell(redis.url, args)
  const slack = args.includes('exact') ? 0 : 100
  for (const reason of ['age', 'length', 'bytes', 'acked'] as const)
    assert.ok(Math.abs(remove[reason] - removed[reason]) <= slack, `${reason}: ${remove[reason]}, ${removed[reason]}`)
  return removed
}

/** The group reads the first `count` entries and acknowledges the first `acked` of them. */
async function work(redis: RedisServer, group: string, count: number, acked: number): Promise<void> {
  await redis.command('XGROUP', 'CREATE', KEY, group, '0')
  await redis.command('XREADGROUP', 'GROUP', group, `${group}-1`, 'COUNT', String(count), 'STREAMS', KEY, '>')
  if (acked === 0) return
  const entries = (await redis.command('XRANGE', KEY, '-', '+', 'COUNT', String(acked))) as [string, unknown][]
  for (let i = 0; i < entries.length; i += 1_000)
    await redis.command('XACK', KEY, group, ...entries.slice(i, i + 1_000).map(([id]) => id))
}

/** 3,000 fresh entries: one group acknowledged 2,000, another 1,500, and a third is dead and read nothing. */
async function threeGroups(t: TestContext, options: { from?: number } = {}): Promise<RedisServer> {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const from = options.from ?? (await redisNow(redis)) - 60_000
  await fillStream(redis, KEY, { count: 3_000, from, stepMs: 1, bytes: 20 })
  await fillStream(redis, 'stream:conversation:alone', { count: 3_000, from, stepMs: 1, bytes: 20 })
  await work(redis, 'fast', 2_500, 2_000)
  await work(redis, 'slow', 1_500, 1_500)
  await work(redis, 'dead', 1, 0)
  await makeIdle(redis, KEY, { 'dead-1': 8 * DAY })
  return redis
}

test('with 0s, entries go as soon as every living group has acknowledged them; with exact, to the entry', async (t) => {
  const redis = await threeGroups(t)
  const removed = await sweepAsPlanned(redis, [...OFF, '--acked-after', '0s', '--trim', 'exact'])
  assert.deepEqual(removed, { age: 0, length: 0, bytes: 0, acked: 1_500 })
  assert.equal(await lengthOf(redis, KEY), 1_500)
  assert.equal(await lengthOf(redis, 'stream:conversation:alone'), 3_000, 'a stream without a group keeps all')
})

test('approx removes whole nodes only, and never more than exact', async (t) => {
  const redis = await threeGroups(t)
  const { acked } = await sweepAsPlanned(redis, [...OFF, '--acked-after', '0s'])
  assert.ok(acked <= 1_500 && acked > 1_400, `${acked}`)
})

test('entries younger than --acked-after stay, even if every group has acknowledged them', async (t) => {
  const redis = await threeGroups(t)
  assert.equal((await sweepAsPlanned(redis, [...OFF, '--acked-after', '1h', '--trim', 'exact'])).acked, 0)
  // The control: the same entries, an hour later.
  const old = await threeGroups(t, { from: Date.now() - 2 * 3_600_000 })
  assert.equal((await sweepAsPlanned(old, [...OFF, '--acked-after', '1h', '--trim', 'exact'])).acked, 1_500)
})

test('a stream whose groups are all dead is not trimmed', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fillStream(redis, KEY, { count: 500, from: (await redisNow(redis)) - 60_000, stepMs: 1, bytes: 20 })
  await work(redis, 'dead', 500, 500)
  await makeIdle(redis, KEY, { 'dead-1': 8 * DAY })
  assert.equal((await sweepAsPlanned(redis, [...OFF, '--acked-after', '0s', '--trim', 'exact'])).acked, 0)
})

test('streams with custom IDs are trimmed with 0s only, because their age is unknown', async (t) => {
  const redis = await startRedis(t)
  for (let i = 1; i <= 300; i++) await redis.command('XADD', KEY, `${i}-1`, 'm', 'x')
  await work(redis, 'group', 300, 200)
  assert.equal((await sweepAsPlanned(redis, [...OFF, '--acked-after', '1s', '--trim', 'exact'])).acked, 0)
  assert.equal((await sweepAsPlanned(redis, [...OFF, '--acked-after', '0s', '--trim', 'exact'])).acked, 200)
})

test('together with other limits, each removal has one reason, in the order age, length, bytes, acked', async (t) => {
  const redis = await threeGroups(t)
  await redis.command('DEL', 'stream:conversation:alone')
  const args = ['--max-age', 'off', '--max-length', '2000', '--acked-after', '0s', '--trim', 'exact']
  assert.deepEqual(await sweepAsPlanned(redis, args), { age: 0, length: 1_000, bytes: 0, acked: 500 })
})

test('with --protect unacked, old pending entries stay', async (t) => {
  const redis = await threeGroups(t)
  await redis.command('DEL', 'stream:conversation:alone')
  const args = [
    '--max-age',
    '1s',
    '--max-length',
    'off',
    '--protect',
    'unacked',
    '--acked-after',
    '0s',
    '--trim',
    'exact',
  ]
  const removed = await sweepAsPlanned(redis, args)
  assert.equal(removed.age + removed.acked, 1_500)
  assert.equal(await lengthOf(redis, KEY), 1_500)
})

test('consumers lose nothing to sweeps while they work: every entry is delivered and acknowledged once', async (t) => {
  const redis = await startRedis(t)
  await redis.command('XGROUP', 'CREATE', KEY, 'workers', '0', 'MKSTREAM')
  const sent = 2_000
  const seen = new Set<string>()
  const worker = (async () => {
    while (seen.size < sent) {
      const reply = (await redis.command('XREADGROUP', 'GROUP', 'workers', 'w', 'COUNT', '20', 'STREAMS', KEY, '>')) as
        | [string, [string, string[] | null][]][]
        | null
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        assert.ok(fields, `${id} was removed before it was read`)
        seen.add(fields[1] ?? '')
        await redis.command('XACK', KEY, 'workers', id)
      }
    }
  })()
  const writer = (async () => {
    for (let i = 0; i < sent; i++) await redis.command('XADD', KEY, '*', 'n', String(i))
  })()
  let acked = 0
  const args = ['sweep', '--redis-url', redis.url, '--output', 'json', ...OFF, '--acked-after', '0s', '--trim', 'exact']
  do {
    const { stdout } = await runXtrimd(args)
    acked += (readOutput('sweep', stdout) as unknown as Report).removed.acked
  } while (seen.size < sent)
  await Promise.all([worker, writer])
  const { stdout } = await runXtrimd(args)
  acked += (readOutput('sweep', stdout) as unknown as Report).removed.acked
  assert.equal(acked, sent)
  assert.equal(await lengthOf(redis, KEY), 0)
})

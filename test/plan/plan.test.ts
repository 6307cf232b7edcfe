/** What `xtrimd plan` says a sweep would do, against what the sweep then does. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { plan } from '../../src/plan/plan.ts'
import { startMonitor } from '../harness/monitor.ts'
import { complaintsAbout, publishedSchema, readOutput } from '../harness/output.ts'
import { runXtrimd } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'

const HOUR_MS = 3_600_000

interface Plan {
  readonly result: string
  readonly reason?: string
  readonly missing: Readonly<Record<string, string>>
  readonly streams: number
  readonly entries: number
  readonly bytes: number | null
  readonly unread: number
  readonly overLimit: { age: number; length: number; bytes: number }
  readonly worstUnread: readonly { stream: string; policy: string; group: string; entries: number }[]
  readonly customIds: readonly { stream: string; policy: string }[]
  readonly policies: readonly { policy: string; unread: number }[]
  readonly remove: {
    age: number
    length: number
    bytes: number
    acked: number
    approximateBytes: number
    exact: boolean
  }
  readonly held: readonly { stream: string; group: string; lastAlive: string | null }[]
  readonly longest: readonly { stream: string; length: number }[]
  readonly advice: readonly string[]
}

async function json<T>(redis: RedisServer, command: 'sweep' | 'plan', args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await runXtrimd([command, '--redis-url', redis.url, '--output', 'json', ...args])
  assert.equal(code, 0, stderr)
  return readOutput(command, stdout) as T
}

const planOf = (redis: RedisServer, ...args: string[]): Promise<Plan> => json(redis, 'plan', args)

/** A stream written at an even rate over two days, so that half of it is older than one. */
async function twoDays(redis: RedisServer, key: string, count: number): Promise<void> {
  const from = (await redisNow(redis)) - 48 * HOUR_MS
  await fillStream(redis, key, { count, from, stepMs: (48 * HOUR_MS) / count, bytes: 200 })
}

async function lengthOf(redis: RedisServer, key: string): Promise<number> {
  return Number(await redis.command('XLEN', key))
}

async function filled(t: TestContext): Promise<RedisServer> {
  const redis = await startRedis(t)
  await twoDays(redis, 'stream:conversation:a', 4_000)
  await twoDays(redis, 'stream:conversation:b', 400)
  return redis
}

test('plan writes nothing, and every command it sends only reads', async (t) => {
  const redis = await filled(t)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:a', 'slow', '0')
  const monitor = await startMonitor(t, redis)

  await planOf(redis, '--protect', 'unacked', '--max-bytes', '100kb', '--trim', 'exact', '--delete-empty')

  const names = new Set((await monitor.commands()).map(({ name }) => name))
  assert.ok(names.has('SCAN'))
  const allowed = [
    'CLIENT',
    'TIME',
    'INFO',
    'SCAN',
    'XLEN',
    'XRANGE',
    'XREVRANGE',
    'MEMORY',
    'XINFO',
    'XPENDING',
    'EVAL_RO',
  ]
  assert.deepEqual(
    [...names].filter((name) => !allowed.includes(name)),
    [],
  )
})

test('where whole streams or exact lengths go the plan counts, and the sweep removes just that', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await fillStream(redis, 'stream:conversation:old', { count: 700, from: now - 50 * HOUR_MS, stepMs: 1, bytes: 50 })
  await fillStream(redis, 'stream:conversation:long', { count: 1_500, from: now - HOUR_MS, stepMs: 1, bytes: 50 })
  const exact = ['--trim', 'exact']

  const plan = await planOf(redis, ...exact)
  const swept = await json<{ removed: object }>(redis, 'sweep', exact)

  assert.deepEqual(
    { ...plan.remove, approximateBytes: 0 },
    { age: 700, length: 500, bytes: 0, acked: 0, approximateBytes: 0, exact: true },
  )
  assert.deepEqual(swept.removed, { age: 700, length: 500, bytes: 0, acked: 0 })
})

/** Entries written in one burst, `agoMs` before Redis's now. */
async function burst(redis: RedisServer, key: string, count: number, agoMs: number, bytes = 20): Promise<void> {
  await fillStream(redis, key, { count, from: (await redisNow(redis)) - agoMs, stepMs: 1, bytes })
}

test('a burst of old entries before a few fresh ones is counted, and the sweep removes just as many', async (t) => {
  const redis = await startRedis(t)
  await burst(redis, 'stream:conversation:a', 500, 27 * HOUR_MS)
  await burst(redis, 'stream:conversation:a', 5, 1_000)
  const planned = await planOf(redis)
  const swept = await json<{ removed: object }>(redis, 'sweep', [])
  assert.deepEqual(swept.removed, { age: 500, length: 0, bytes: 0, acked: 0 })
  const { age, length, bytes, acked } = planned.remove
  assert.deepEqual({ age, length, bytes, acked }, swept.removed)
})

test('with exact the plan is equal to the sweep by every reason, whatever the rhythm of the writers', async (t) => {
  const redis = await startRedis(t)
  await burst(redis, 'stream:conversation:a', 5_000, 30 * HOUR_MS, 100)
  await burst(redis, 'stream:conversation:a', 300, HOUR_MS / 4, 100)
  await burst(redis, 'stream:conversation:b', 1_500, 26 * HOUR_MS, 1_000)
  await burst(redis, 'stream:conversation:b', 1_250, HOUR_MS, 10)
  const planned = await planOf(redis, '--trim', 'exact')
  assert.deepEqual(
    { ...planned.remove, approximateBytes: 0 },
    { age: 6_500, length: 250, bytes: 0, acked: 0, approximateBytes: 0, exact: true },
  )
  const swept = await json<{ removed: object }>(redis, 'sweep', ['--trim', 'exact'])
  assert.deepEqual(swept.removed, { age: 6_500, length: 250, bytes: 0, acked: 0 })
})

test('plan foretells what groups will lose unread: in total, by policy, and the worst streams by name', async (t) => {
  const redis = await startRedis(t)
  for (const [key, read] of [
    ['stream:conversation:a', 100],
    ['stream:conversation:b', 400],
    ['stream:conversation:c', 500],
  ] as const) {
    await burst(redis, key, 500, 27 * HOUR_MS)
    await burst(redis, key, 100, 1_000)
    await redis.command('XGROUP', 'CREATE', key, 'fast', '$')
    await redis.command('XGROUP', 'CREATE', key, 'slow', '0')
    await redis.command('XREADGROUP', 'GROUP', 'slow', 'reader', 'COUNT', String(read), 'STREAMS', key, '>')
  }
  const planned = await planOf(redis, '--trim', 'exact')
  assert.equal(planned.unread, 500)
  assert.deepEqual(
    planned.policies.map(({ unread }) => unread),
    [500],
  )
  assert.deepEqual(
    planned.worstUnread.map(({ stream, group, entries }) => [stream, group, entries]),
    [
      ['stream:conversation:a', 'slow', 400],
      ['stream:conversation:b', 'slow', 100],
    ],
  )
  const text = await runXtrimd(['plan', '--redis-url', redis.url, '--trim', 'exact'])
  assert.match(text.stdout, /500 entries would be removed before a consumer group has read them:/)
  assert.match(text.stdout, /400 of stream:conversation:a, unread by group slow/)
  const swept = await json<{ unread: number }>(redis, 'sweep', ['--trim', 'exact'])
  assert.equal(swept.unread, 500)
})

test('plan names the streams that age cannot trim, and says how many stay over a limit', async (t) => {
  const redis = await startRedis(t)
  for (const key of ['a', 'b']) await redis.command('XADD', `stream:conversation:${key}`, '1-1', 'm', 'x')
  await burst(redis, 'stream:conversation:held', 2_000, HOUR_MS)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:held', 'slow', '0')
  const args = ['--protect', 'unread', '--trim', 'exact']
  const planned = await planOf(redis, ...args)
  assert.deepEqual(planned.customIds.map(({ stream }) => stream).sort(), [
    'stream:conversation:a',
    'stream:conversation:b',
  ])
  assert.deepEqual(planned.overLimit, { age: 0, length: 1, bytes: 0 })
  const { stdout } = await runXtrimd(['plan', '--redis-url', redis.url, ...args])
  assert.match(stdout, /2 streams have custom IDs and will not be trimmed by age: stream:conversation:[ab],\s+stream/)
  assert.match(stdout, /1 stream will stay over the limit on length/)
})

test('where scripts are not allowed, short streams are counted by plain reads, long ones estimated and the reason told', async (t) => {
  const redis = await startRedis(t)
  await burst(redis, 'stream:conversation:a', 700, 27 * HOUR_MS)
  await burst(redis, 'stream:conversation:a', 800, HOUR_MS)
  await redis.command('ACL', 'SETUSER', 'ops', 'on', '>pass', '~*', '+@all', '-eval', '-eval_ro')
  const ops = { ...redis, url: `redis://ops:pass@127.0.0.1:${redis.port}` }
  const args = ['--max-length', 'off', '--trim', 'exact']
  const counted = await planOf(ops, ...args)
  assert.deepEqual([counted.remove.age, counted.remove.exact], [700, true])
  assert.deepEqual(counted.missing, { EVAL_RO: 'an exact count in plan' })

  await burst(redis, 'stream:conversation:b', 9_000, 30 * HOUR_MS)
  await burst(redis, 'stream:conversation:b', 9_000, HOUR_MS)
  const estimated = await planOf(ops, ...args)
  assert.equal(estimated.remove.exact, false)
  // The control: the same where scripts are allowed.
  const exact = await planOf(redis, ...args)
  assert.deepEqual([exact.remove.age, exact.remove.exact], [9_700, true])
})

test('an estimate is marked as one and comes near what the sweep removes', async (t) => {
  const redis = await filled(t)
  const plan = await planOf(redis)
  const text = await runXtrimd(['plan', '--redis-url', redis.url])
  const swept = await json<{ removed: { age: number; length: number } }>(redis, 'sweep', [])

  assert.equal(plan.remove.exact, false)
  assert.match(text.stdout, /≈/)
  for (const line of text.stdout.split('\n')) assert.ok(line.length <= 80, line)
  // Half of 4,400 by age, and what is then above 1,000, give or take a node for each stream.
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

test('plan names the group that holds a stream back, since when, and what to do about it', async (t) => {
  const redis = await filled(t)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:a', 'slow', '0')

  const plan = await planOf(redis, '--protect', 'unread')
  const unprotected = await planOf(redis)

  assert.deepEqual(
    plan.held.map(({ stream, group }) => ({ stream, group })),
    [{ stream: 'stream:conversation:a', group: 'slow' }],
  )
  assert.ok(Date.parse(plan.held[0]?.lastAlive ?? '') < Date.now() - 40 * HOUR_MS)
  assert.ok(plan.advice.some((sentence) => /XGROUP DESTROY/.test(sentence)))
  assert.ok(plan.remove.age < 300, 'only the other stream is trimmed')
  assert.deepEqual(unprotected.held, [])
  await json(redis, 'sweep', ['--protect', 'unread'])
  assert.equal(await lengthOf(redis, 'stream:conversation:a'), 4_000)
})

test('plan counts what is beyond the age that holds in the end, also where that is the hard one', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  const key = 'stream:conversation:a'
  // At no even rate: an estimate would be 40.
  await fillStream(redis, key, { count: 10, from: now - 72 * HOUR_MS, stepMs: 1, bytes: 10 })
  await fillStream(redis, key, { count: 50, from: now - 1_000, stepMs: 1, bytes: 10 })
  const args = ['--max-age', 'off', '--hard-max-age', '1d', '--trim', 'exact']
  const { remove } = await planOf(redis, ...args)
  assert.deepEqual([remove.age, remove.exact], [10, true])
  await json(redis, 'sweep', args)
  assert.equal(await lengthOf(redis, key), 50)
})

test('plan gives advice where the numbers call for it, and none where they do not', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  assert.deepEqual((await planOf(redis)).advice, [])
  await redis.command(
    'EVAL',
    "for i = 1, 1200 do redis.call('XADD', 'stream:conversation:' .. i, ARGV[1] .. '-0', 'm', 'x') end",
    '0',
    String(now),
  )
  await redis.command('XTRIM', 'stream:conversation:1', 'MAXLEN', '0')
  await redis.command('XADD', 'stream:conversation:custom', '1-1', 'm', 'x')

  const said = (plan: Plan, what: RegExp): boolean => plan.advice.some((sentence) => what.test(sentence))
  const plan = await planOf(redis, '--max-length', '50')
  assert.ok(
    said(plan, /1199 streams hold one entry .* stream-node-max-bytes/) || said(plan, /1200 streams hold one entry/),
    plan.advice.join('\n'),
  )
  assert.ok(said(plan, /--max-length 50 is less than a node/))
  assert.ok(said(plan, /--delete-empty would unlink/))
  assert.ok(said(await planOf(redis, '--max-length', 'off'), /custom IDs/))
})

test('plan tells the flags in effect as they could be given again, and that there is a password, which no flag gives', async (t) => {
  const redis = await startRedis(t, { config: { requirepass: 'password' } })
  const args = ['plan', '--redis-url', redis.url, '--max-bytes', '1536kb']
  const { code, stdout } = await runXtrimd(args, { env: { XTRIMD_REDIS_PASSWORD: 'password' } })
  assert.equal(code, 0, stdout)
  assert.ok(stdout.includes('\n--max-bytes 1536kb (a flag)\n'), stdout)
  assert.ok(stdout.includes('\nredis-password given (from XTRIMD_REDIS_PASSWORD)\n'), stdout)
  const policy = /^stream:conversation:\*: .*(?:\n {2}.*)*/m.exec(stdout)?.[0] ?? ''
  assert.match(policy, /max-bytes\s+1536kb/)
})

test('a plan that cannot look says so and fails', async () => {
  const { code, stdout } = await runXtrimd(['plan', '--redis-url', 'redis://127.0.0.1:1', '--output', 'json'])
  assert.equal(code, 1)
  const { result, cause } = readOutput('plan', stdout)
  assert.deepEqual([result, cause], ['failed', 'connect'])
})

test('plan blames the ACL for a command only where the command is what it does not allow', async (t) => {
  const redis = await filled(t)
  const ops = { ...redis, url: `redis://ops:pass@127.0.0.1:${redis.port}` }
  const planAs = async (...rules: string[]) => {
    await redis.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', ...rules)
    const { code, stdout } = await runXtrimd(['plan', '--redis-url', ops.url, '--output', 'json'])
    assert.equal(code, 1)
    const { result, reason, missing, streams } = readOutput('plan', stdout) as unknown as Plan
    return { result, reason: reason ?? '', missing, streams }
  }
  const aKey = await planAs('~stream:conversation:a*', '+@all')
  assert.deepEqual([aKey.result, aKey.missing, aKey.streams], ['partial', {}, 2])
  assert.match(aKey.reason, /^Redis refused 1 of 2 streams, the first with XLEN: NOPERM .*key/)

  const aCommand = await planAs('~*', '+@all', '-xrevrange')
  assert.deepEqual([aCommand.result, aCommand.missing], ['failed', { XREVRANGE: 'plan' }])
  assert.match(aCommand.reason, /^Redis refused 2 of 2 streams, the first with XREVRANGE: NOPERM /)
})

test('a key that is no stream any more when plan comes to it is nobody’s business', async (t) => {
  const redis = await filled(t)
  const task = taskOf(redis.url, [])
  const { signal } = new AbortController()
  let batches = 0
  // Between the look at its length and the one at its newest entry.
  const run = async <T>(work: () => Promise<T>): Promise<T> => {
    if (++batches === 3) await redis.command('SET', 'stream:conversation:a', 'value')
    return work()
  }
  const { result, total, errors, longest } = await plan({ ...task, paceOf: () => ({ mostAtOnce: 1, run }) }, signal)
  assert.ok(batches > 3)
  assert.deepEqual([result, total.streams, total.entries, errors, longest.length], ['success', 1, 400, {}, 1])
})

test('the output is held to every field of its schema: another field, a missing one, or a word nobody knows is noticed', async (t) => {
  const redis = await startRedis(t)
  for (const command of ['sweep', 'plan'] as const) {
    const output = await json<Record<string, unknown>>(redis, command, [])
    assert.deepEqual(complaintsAbout(command, output), [])
    const { longest: _, ...less } = output
    for (const wrong of [{ ...output, more: 1 }, less, { ...output, result: 'fine' }, { ...output, cause: 'OOM' }]) {
      assert.notDeepEqual(complaintsAbout(command, wrong), [], JSON.stringify(wrong))
    }
    // A script that holds it to the schema of this version minds no field of a later one.
    assert.doesNotMatch(JSON.stringify(publishedSchema(command)), /"additionalProperties":false/)
  }
})

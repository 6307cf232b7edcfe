/** What `xtrimd plan` says a sweep would do, compared with what the sweep then does. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { plan } from '../../src/plan/plan.ts'
import { roundSize } from '../../src/text/quantities.ts'
import { startMonitor } from '../harness/monitor.ts'
import { readOutput } from '../harness/output.ts'
import { type PlanObject, planWell } from '../harness/plan_once.ts'
import { runXtrimd } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillBurst, fillStream, fillTwoDays, lengthOf, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'
import { sweepWell } from '../harness/sweep_once.ts'

const HOUR_MS = 3_600_000

async function filled(t: TestContext): Promise<RedisServer> {
  const redis = await startRedis(t)
  await fillTwoDays(redis, 'stream:conversation:a', 4_000)
  await fillTwoDays(redis, 'stream:conversation:b', 400)
  return redis
}

test('plan sends only commands that read', async (t) => {
  const redis = await filled(t)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:a', 'slow', '0')
  const monitor = await startMonitor(t, redis)

  await planWell(redis.url, ['--protect', 'unacked', '--max-bytes', '100kb', '--trim', 'exact', '--delete-empty'])

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
    // Whether trimming is paused.
    'GET',
  ]
  assert.deepEqual(
    [...names].filter((name) => !allowed.includes(name)),
    [],
  )
})

test('plan says how many entries groups would lose unread: in total, by policy, and for the worst streams', async (t) => {
  const redis = await startRedis(t)
  for (const [key, read] of [
    ['stream:conversation:a', 100],
    ['stream:conversation:b', 400],
    ['stream:conversation:c', 500],
  ] as const) {
    await fillBurst(redis, key, 500, 27 * HOUR_MS)
    await fillBurst(redis, key, 100, 1_000)
    await redis.command('XGROUP', 'CREATE', key, 'fast', '$')
    await redis.command('XGROUP', 'CREATE', key, 'slow', '0')
    await redis.command('XREADGROUP', 'GROUP', 'slow', 'reader', 'COUNT', String(read), 'STREAMS', key, '>')
  }
  const planned = await planWell(redis.url, ['--trim', 'exact'])
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
  const swept = await sweepWell(redis.url, ['--trim', 'exact'])
  assert.equal(swept.unread, 500)
})

test('plan names the streams with custom IDs, and says how many streams would stay over a limit', async (t) => {
  const redis = await startRedis(t)
  for (const key of ['a', 'b']) await redis.command('XADD', `stream:conversation:${key}`, '1-1', 'm', 'x')
  await fillBurst(redis, 'stream:conversation:held', 2_000, HOUR_MS)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:held', 'slow', '0')
  const args = ['--protect', 'unread', '--trim', 'exact']
  const planned = await planWell(redis.url, args)
  assert.deepEqual(planned.customIds.map(({ stream }) => stream).sort(), [
    'stream:conversation:a',
    'stream:conversation:b',
  ])
  assert.deepEqual(planned.overLimit, { age: 0, length: 1, bytes: 0 })
  const { stdout } = await runXtrimd(['plan', '--redis-url', redis.url, ...args])
  assert.match(stdout, /2 streams have custom IDs and will not be trimmed by age: stream:conversation:[ab],\s+stream/)
  assert.match(stdout, /1 stream will stay over the limit on length/)
})

test('plan names the group that holds a stream back, since when, and what to do about it', async (t) => {
  const redis = await filled(t)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:a', 'slow', '0')

  const plan = await planWell(redis.url, ['--protect', 'unread'])
  const unprotected = await planWell(redis.url)

  assert.deepEqual(
    plan.held.map(({ stream, group }) => ({ stream, group })),
    [{ stream: 'stream:conversation:a', group: 'slow' }],
  )
  assert.ok(Date.parse(plan.held[0]?.lastAlive ?? '') < Date.now() - 40 * HOUR_MS)
  assert.ok(plan.advice.some((sentence) => /XGROUP DESTROY/.test(sentence)))
  assert.ok(plan.remove.age < 300, 'only the other stream is trimmed')
  assert.deepEqual(unprotected.held, [])
  await sweepWell(redis.url, ['--protect', 'unread'])
  assert.equal(await lengthOf(redis, 'stream:conversation:a'), 4_000)
})

test('plan gives advice only if its figures call for it', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  assert.deepEqual((await planWell(redis.url)).advice, [])
  await redis.command(
    'EVAL',
    "for i = 1, 1200 do redis.call('XADD', 'stream:conversation:' .. i, ARGV[1] .. '-0', 'm', 'x') end",
    '0',
    String(now),
  )
  await redis.command('XTRIM', 'stream:conversation:1', 'MAXLEN', '0')
  await redis.command('XADD', 'stream:conversation:custom', '1-1', 'm', 'x')

  const said = (plan: PlanObject, what: RegExp): boolean => plan.advice.some((sentence) => what.test(sentence))
  const plan = await planWell(redis.url, ['--max-length', '50'])
  assert.ok(
    said(plan, /1199 streams hold one entry .* stream-node-max-bytes/) || said(plan, /1200 streams hold one entry/),
    plan.advice.join('\n'),
  )
  assert.ok(said(plan, /--max-length 50 is less than a node/))
  assert.ok(said(plan, /--delete-empty would unlink/))
  assert.ok(said(await planWell(redis.url, ['--max-length', 'off']), /custom IDs/))
})

/** Many streams of one entry with this many bytes, on a server whose nodes have this size; what plan advises on them. */
async function adviceOnShort(t: TestContext, nodeBytes: string, entryBytes: number, ...args: string[]) {
  const redis = await startRedis(t, { config: { 'stream-node-max-bytes': nodeBytes } })
  const script = `for i = 1, 2000 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'm', ARGV[1]) end`
  await redis.command('EVAL', script, '0', 'x'.repeat(entryBytes))
  await fillStream(redis, 'stream:conversation:long', {
    count: 900,
    from: await redisNow(redis),
    stepMs: 0,
    bytes: 500,
  })
  const sizes = await Promise.all(
    Array.from({ length: 2000 }, (_, i) => redis.command('MEMORY', 'USAGE', `stream:conversation:${i + 1}`)),
  )
  if (args[0] === 'denied') await redis.command('ACL', 'SETUSER', 'default', '-memory')
  const { advice } = await planWell(redis.url)
  const [sentence = ''] = advice.filter((one) => one.includes('hold one entry'))
  return { sentence, measured: roundSize(sizes.reduce<number>((sum, size) => sum + Number(size), 0) / 2000) }
}

test('what plan says of streams with one entry is what this server measured, and nothing where it may not measure', async (t) => {
  for (const [nodeBytes, entryBytes, areNodes] of [
    ['4096', 10, true],
    ['256', 10, false],
    ['1024', 10, false],
    // The entry takes it, not the node.
    ['4096', 3500, false],
  ] as const) {
    const { sentence, measured } = await adviceOnShort(t, nodeBytes, entryBytes)
    assert.ok(sentence.includes(`2000 streams hold one entry and take ${measured} each by MEMORY USAGE;`), sentence)
    assert.equal(sentence.includes('stream-node-max-bytes'), areNodes, sentence)
  }
  assert.equal((await adviceOnShort(t, '256', 10, 'denied')).sentence, '')
})

test('plan prints the settings in effect in the syntax of the flags, and only that a password is set', async (t) => {
  const redis = await startRedis(t, { config: { requirepass: 'password' } })
  const args = ['plan', '--redis-url', redis.url, '--max-bytes', '1536kb']
  const { code, stdout } = await runXtrimd(args, { env: { XTRIMD_REDIS_PASSWORD: 'password' } })
  assert.equal(code, 0, stdout)
  assert.ok(stdout.includes('\n--max-bytes 1536kb (a flag)\n'), stdout)
  assert.ok(stdout.includes('\nredis-password given (from XTRIMD_REDIS_PASSWORD)\n'), stdout)
  const policy = /^stream:conversation:\*: .*(?:\n {2}.*)*/m.exec(stdout)?.[0] ?? ''
  assert.match(policy, /max-bytes\s+1536kb/)
})

test('a plan that cannot connect says so and fails', async () => {
  const { code, stdout } = await runXtrimd(['plan', '--redis-url', 'redis://127.0.0.1:1', '--output', 'json'])
  assert.equal(code, 1)
  const { result, cause } = readOutput('plan', stdout)
  assert.deepEqual([result, cause], ['failed', 'connect'])
})

test('plan names a command as missing only if the ACL forbids the command itself, not the key', async (t) => {
  const redis = await filled(t)
  const ops = `redis://ops:pass@127.0.0.1:${redis.port}`
  const planAs = async (...rules: string[]) => {
    await redis.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', ...rules)
    const { code, stdout } = await runXtrimd(['plan', '--redis-url', ops, '--output', 'json'])
    assert.equal(code, 1)
    const { result, reason, missing, streams } = readOutput('plan', stdout) as unknown as PlanObject
    return { result, reason: reason ?? '', missing, streams }
  }
  const aKey = await planAs('~stream:conversation:a*', '+@all')
  assert.deepEqual([aKey.result, aKey.missing, aKey.streams], ['partial', {}, 2])
  assert.match(aKey.reason, /^Redis refused 1 of 2 streams, the first with XLEN: NOPERM .*key/)

  const aCommand = await planAs('~*', '+@all', '-xrevrange')
  assert.deepEqual([aCommand.result, aCommand.missing], ['failed', { XREVRANGE: 'plan' }])
  assert.match(aCommand.reason, /^Redis refused 2 of 2 streams, the first with XREVRANGE: NOPERM /)
})

test('plan skips a key that stops being a stream while plan runs', async (t) => {
  const redis = await filled(t)
  const task = taskOf(redis.url, [])
  const { signal } = new AbortController()
  let batches = 0
  // After plan read its length, and before it reads its newest entry.
  const run = async <T>(work: () => Promise<T>): Promise<T> => {
    if (++batches === 3) await redis.command('SET', 'stream:conversation:a', 'value')
    return work()
  }
  const { result, total, errors, longest } = await plan({ ...task, paceOf: () => ({ mostAtOnce: 1, run }) }, signal)
  assert.ok(batches > 3)
  assert.deepEqual([result, total.streams, total.entries, errors, longest.length], ['success', 1, 400, {}, 1])
})

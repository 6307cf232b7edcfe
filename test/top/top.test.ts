/** What `top` shows, held to what Redis says when asked by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Top } from '../../src/top/top.ts'
import { begin, urlOf } from '../harness/acl_user.ts'
import { startMonitor, writesAmong } from '../harness/monitor.ts'
import { runXtrimd } from '../harness/program.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fieldsOf } from '../harness/replies.ts'
import { drawCase } from '../harness/retention_model/generated.ts'
import { PLANTING_CONFIG, plant } from '../harness/retention_model/planting.ts'
import { specOf } from '../harness/retention_model/trial.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'
import { type TopObject, topWell } from '../harness/top_here.ts'

const CASES = Number(process.env.TEST_CASES || 6)
const SEED = Number(process.env.TEST_SEED || Math.floor(Math.random() * 1e9))

/** What Redis says of one stream. Its clock tells the age. */
async function byHand(redis: RedisServer, key: string, nowMs: number) {
  const [length, first, memory, groups] = (await Promise.all([
    redis.command('XLEN', key),
    redis.command('XRANGE', key, '-', '+', 'COUNT', '1'),
    redis.command('MEMORY', 'USAGE', key),
    redis.command('XINFO', 'GROUPS', key),
  ])) as [number, [string][], number, unknown[]]
  const fields = groups.map(fieldsOf)
  const lags = fields.map((group) => group.get('lag')).filter((lag) => typeof lag === 'number')
  const sum = (name: string): number => fields.reduce((n, group) => n + Number(group.get(name)), 0)
  const ms = Number(first[0]?.[0].split('-')[0])
  return {
    entries: length,
    memory,
    ageSeconds: ms >= Date.UTC(2000, 0, 1) && ms <= nowMs + 86_400_000 ? Math.max(0, nowMs - ms) / 1000 : null,
    groups: groups.length,
    lag: lags.length === 0 ? null : Math.max(...lags),
    pending: sum('pending'),
    consumers: sum('consumers'),
  }
}

async function assertAsRedisSays(redis: RedisServer, { streams }: TopObject, where: string): Promise<void> {
  const now = await redisNow(redis)
  for (const row of streams) {
    const real = await byHand(redis, row.stream, now)
    const { entries, groups, lag, pending, consumers } = row
    const { memory, ageSeconds, ...figures } = real
    assert.deepEqual({ entries, groups, lag, pending, consumers }, figures, `${where} ${row.stream}`)
    if (groups === 0) assert.equal(row.bytes, memory, where)
    else assert.ok((row.bytes ?? -1) >= 0 && (row.bytes ?? 0) <= memory, where)
    if (ageSeconds === null) assert.equal(row.oldestAgeSeconds, null, where)
    else assert.ok(Math.abs((row.oldestAgeSeconds ?? -1e9) - ageSeconds) < 30, where)
    assert.equal(row.entriesPerSecond, 0, where)
  }
}

test(`${CASES} cases from seed ${SEED} on: every number of top equals what Redis says, and it writes nothing`, async (t) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  let seen = 0
  // A case has one stream more often than not, so a few may all have one: then it goes on to the first that has several.
  let hasSeveral = false
  for (let seed = SEED; seed < SEED + CASES || !hasSeveral; seed++) {
    const drawn = drawCase(seed, await redisNow(redis))
    await plant(redis, drawn)
    const policies = drawn.policies.flatMap((policy) => ['--policy', specOf(policy)])
    const monitor = await startMonitor(t, redis)
    const shown = await topWell(redis.url, policies)
    const commands = await monitor.commands()
    assert.deepEqual(await writesAmong(redis, commands), [])
    assert.ok(commands.length > 3, 'the control: the monitor saw what top asked')
    const where = `TEST_SEED=${seed} TEST_CASES=1`
    const keys = ((await redis.command('KEYS', '*')) as string[]).sort()
    assert.deepEqual(shown.streams.map(({ stream }) => stream).sort(), keys, where)
    for (const { stream, policy } of shown.streams) {
      const planned = drawn.streams.find(({ key }) => key === stream)
      assert.equal(policy, drawn.policies[planned?.policy ?? -1]?.name, where)
    }
    await assertAsRedisSays(redis, shown, where)
    seen += shown.streams.length
    hasSeveral ||= shown.streams.length > 1
  }
  assert.ok(seen > CASES)
})

/** Five streams that lead by one column each, but for growth. */
async function fillLeaders(redis: RedisServer): Promise<void> {
  const now = await redisNow(redis)
  const fill = (name: string, count: number, bytes: number) =>
    fillStream(redis, `stream:conversation:${name}`, { count, from: now - 60_000, stepMs: 1, bytes })
  await fill('bytes', 100, 5_000)
  await fill('entries', 2_000, 5)
  await fill('lag', 500, 5)
  await fill('pending', 400, 5)
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:lag', 'slow', '0')
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:pending', 'stuck', '0')
  const read = ['XREADGROUP', 'GROUP', 'stuck', 'me', 'COUNT', '300', 'STREAMS', 'stream:conversation:pending', '>']
  await redis.command(...read)
}

const first = ({ streams }: TopObject): string | undefined => streams[0]?.stream.replace('stream:conversation:', '')

test('--sort puts the greatest first, --limit and --match choose, and the text says the same', async (t) => {
  const redis = await startRedis(t)
  await fillLeaders(redis)
  await redis.command('XADD', 'other', '1-1', 'a', 'b')
  for (const sort of ['bytes', 'entries', 'lag', 'pending'] as const) {
    const shown = await topWell(redis.url, ['--sort', sort])
    assert.deepEqual([first(shown), shown.sort, shown.streams.length], [sort, sort, 4])
    const values = shown.streams.map((row) => row[sort] ?? 0)
    assert.deepEqual(
      values,
      values.toSorted((a, b) => b - a),
    )
  }
  const two = await topWell(redis.url, ['--sort', 'entries', '--limit', '2'])
  assert.deepEqual(
    two.streams.map(({ entries }) => entries),
    [2_000, 500],
  )
  const narrowed = await topWell(redis.url, ['--match', '*:l*'])
  assert.deepEqual(
    narrowed.streams.map(({ stream, policy }) => [stream, policy]),
    [['stream:conversation:lag', 'stream:conversation:*']],
    'the policy of the daemon keeps its name',
  )
  assert.deepEqual(
    (await topWell(redis.url, ['--match', 'oth*'])).streams.map(({ stream, policy }) => [stream, policy]),
    [['other', 'oth*']],
  )
  const text = await runXtrimd(['top', '--redis-url', redis.url, '--sort', 'entries', '--interval', '100ms'])
  assert.equal(text.code, 0)
  assert.match(text.stdout, /^xtrimd top: 4 streams by entries\nRedis memory /)
  assert.match(text.stdout, /^stream:conversation:entries +stream:conversation:\* +2000 /m)
  assert.ok(!text.stdout.includes('\x1b'))
})

test('a stream that grows is first by growth, with its rate and that of its bytes, and full memory is foreseen', async (t) => {
  const redis = await startRedis(t, { config: { maxmemory: '100mb' } })
  await fillLeaders(redis)
  const make = "for i = 1, 2000 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'a', 'b') end"
  await redis.command('EVAL', make, '0')
  // Evenly 200 entries a second of 1,000 bytes, or fewer on a busy machine.
  const body = 'x'.repeat(1_000)
  const writer = setInterval(() => {
    redis.command('XADD', 'stream:conversation:1999', '*', 'body', body).catch(() => {})
  }, 5)
  t.after(() => clearInterval(writer))
  const shown = await topWell(redis.url, ['--sort', 'growth', '--interval', '1s'])
  clearInterval(writer)
  const [top, next] = shown.streams
  assert.equal(top?.stream, 'stream:conversation:1999')
  const [entries = 0, bytes = 0] = [top?.entriesPerSecond ?? 0, top?.bytesPerSecond ?? 0]
  assert.ok(entries > 10 && entries <= 250, `${entries} entries a second`)
  assert.ok(bytes > entries * 500 && bytes < entries * 4_000, `${bytes} bytes a second`)
  assert.equal(next?.entriesPerSecond, 0)
  const { usedBytes = 0, maxBytes = 0, bytesPerSecond = 0, fullInSeconds = 0 } = shown.redis
  assert.equal(maxBytes, 100 * 1024 * 1024)
  assert.ok(bytesPerSecond !== null && bytesPerSecond > 5_000, `${bytesPerSecond}`)
  const expected = (Number(maxBytes) - Number(usedBytes)) / bytesPerSecond
  assert.ok(Math.abs(Number(fullInSeconds) - expected) < expected / 50, `${fullInSeconds} ${expected}`)
})

test('a stream that appears between two passes is found by its growth among more than a pass can keep', async (t) => {
  const redis = await startRedis(t)
  const make = "for i = 1, 1000 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'a', 'b') end"
  await redis.command('EVAL', make, '0')
  const stop = new AbortController().signal
  const task = { ...taskOf(redis.url, []), sort: 'growth', limit: 20, intervalMs: 200, narrow: null } as const
  const top = new Top(task)
  await top.survey(stop)
  await fillStream(redis, 'stream:conversation:young', { count: 50, from: 1, stepMs: 1, bytes: 5 })
  await top.survey(stop)
  await top.refresh(stop)
  await redis.command('XADD', 'stream:conversation:young', '*', 'a', 'b')
  await top.refresh(stop)
  assert.equal(String(top.view.rows[0]?.candidate.key), 'stream:conversation:young')
})

test('streams that the ACL hides are counted as refused, and the others are shown', async (t) => {
  const redis = await startRedis(t)
  const rules = ['~stream:conversation:l*', '+scan', '+time', '+xlen', '+xrange', '+memory|usage', '+xinfo', '+eval_ro']
  await begin(redis, fillLeaders, rules)
  const shown = await topWell(urlOf(redis), ['--sort', 'entries'])
  assert.deepEqual([shown.result, shown.cause, shown.streams.length], ['partial', 'NOPERM', 1])
  assert.match(String(shown.reason), /^Redis refused 3 of 4 streams, the first with XLEN: NOPERM /)
  assert.equal(shown.streams[0]?.entriesPerSecond, 0, 'growth is measured all the same')
  assert.deepEqual(shown.redis, { usedBytes: null, maxBytes: null, bytesPerSecond: null, fullInSeconds: null })
  const text = await runXtrimd(['top', '--redis-url', urlOf(redis), '--interval', '100ms'])
  assert.match(text.stdout.replace(/\n {2}/g, ' '), /^partial \(NOPERM: Redis refused 3 of 4 streams, .*\)$/m)
  assert.match(text.stdout, /^xtrimd top: 4 streams by bytes\nRedis memory \?$/m)
})

test('without scripts top shows the same, and says what the ACL hides', async (t) => {
  const redis = await startRedis(t)
  const rules = ['~stream:conversation:*', '+scan', '+time', '+xlen', '+xrange', '+memory|usage', '+xinfo|groups']
  await begin(redis, fillLeaders, rules)
  const slow = await topWell(urlOf(redis), ['--sort', 'lag'])
  const fast = await topWell(redis.url, ['--sort', 'lag'])
  const figures = ({ streams }: TopObject) =>
    streams.map(({ stream, entries, groups, lag, pending, consumers }) => [
      stream,
      entries,
      groups,
      lag,
      pending,
      consumers,
    ])
  assert.deepEqual(figures(slow), figures(fast))
  assert.deepEqual(Object.keys(slow.missing).sort(), ['INFO', 'XINFO STREAM'])
  assert.deepEqual(fast.missing, {})
})

test('top sees all primaries of a cluster, and fails where Redis cannot be reached', async (t) => {
  const cluster = await startCluster(t)
  const keys = Array.from({ length: 9 }, (_, i) => `stream:conversation:${i}`)
  for (const [i, key] of keys.entries()) {
    const home = cluster.primaries[await cluster.homeOf(key)] as RedisServer
    await fillStream(home, key, { count: i + 1, from: await redisNow(home), stepMs: 1, bytes: 10 })
  }
  const shown = await topWell(cluster.urls, ['--redis-mode', 'cluster', '--sort', 'entries'])
  assert.deepEqual(
    shown.streams.map(({ entries }) => entries),
    [9, 8, 7, 6, 5, 4, 3, 2, 1],
  )
  const away = await runXtrimd(['top', '--output', 'json', '--redis-url', 'redis://127.0.0.1:1'])
  assert.equal(away.code, 1)
  assert.deepEqual(JSON.parse(away.stdout).cause, 'connect')
  const text = await runXtrimd(['top', '--redis-url', 'redis://127.0.0.1:1'])
  assert.match(text.stdout, /^failed \(connect: .*\)\n$/)
})

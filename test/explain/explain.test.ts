/** What `explain` says of one stream, and of what is no stream. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { slotOf } from '../../src/redis/slots.ts'
import { explainKey } from '../harness/explain_here.ts'
import { temporaryFolder } from '../harness/files.ts'
import { runXtrimd } from '../harness/program.ts'
import { migrate, openSlot, startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { startSentinel } from '../harness/sentinel.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { sweepWell } from '../harness/sweep_once.ts'

const HOUR_MS = 3_600_000
const KEY = 'stream:conversation:a'

/** 480 entries of two days ago and 40 of now: in the fifth node of a hundred, old ones lie beside new ones. */
async function fillOldAndNew(redis: RedisServer): Promise<void> {
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 480, from: now - 48 * HOUR_MS, stepMs: 1, bytes: 10 })
  await fillStream(redis, KEY, { count: 40, from: now - 60_000, stepMs: 1, bytes: 10 })
}

test('explain says how many entries are over each limit, what the next sweep removes, and why the rest stays; the sweep then does so', async (t) => {
  const redis = await startRedis(t)
  await fillOldAndNew(redis)
  const explained = await explainKey(redis.url, KEY)
  const age = explained.limits.find(({ limit }) => limit === 'max-age')
  assert.equal(
    age?.verdict,
    '480 entries are older; the next sweep removes about 400, the rest shares a node with younger ones',
  )
  assert.deepEqual([age?.value, age?.from, age?.over, age?.removes], ['1d', 'default', 480, 400])
  assert.deepEqual(
    [explained.entries, explained.customIds, explained.writtenPerSecond, explained.writtenOverSeconds],
    [520, false, Math.round((40 / 3600) * 1000) / 1000, 3600],
  )
  assert.equal(explained.bytes, Number(await redis.command('MEMORY', 'USAGE', KEY)))
  const { stdout } = await runXtrimd(['explain', KEY, '--redis-url', redis.url])
  assert.match(
    stdout.replace(/\n +/g, ' '),
    /max-age 1d \(by default\): 480 entries are older; the next sweep removes about 400/,
  )
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
  const swept = await sweepWell(redis.url)
  assert.equal(swept.removed.age, explained.nextSweep?.remove.age)
})

test('explain names the policy, the glob that matched, the policies before it, and where each limit came from', async (t) => {
  const redis = await startRedis(t)
  await redis.command('XADD', 'stream:fanout:1', '*', 'a', 'b')
  const args = ['--policy', 'chat:*', '--policy', 'stream:fanout:*,name=fanout,max-length=5', '--max-age', '2h']
  const ended = await runXtrimd(['explain', 'stream:fanout:1', '--output', 'json', '--redis-url', redis.url, ...args], {
    env: { XTRIMD_PROTECT: 'unread' },
  })
  const { policy, match, policyFrom, passed, limits } = JSON.parse(ended.stdout)
  assert.deepEqual(
    { policy, match, policyFrom, passed },
    {
      policy: 'fanout',
      match: 'stream:fanout:*',
      policyFrom: 'flag',
      passed: [{ policy: 'chat:*', match: 'chat:*' }],
    },
  )
  const from = Object.fromEntries(limits.map(({ limit, from }: Record<string, string>) => [limit, from]))
  assert.deepEqual(
    [from['max-length'], from['max-age'], from.protect, from['max-bytes']],
    ['policy', 'flag', 'XTRIMD_PROTECT', 'default'],
  )
  const text = await runXtrimd(['explain', 'stream:fanout:1', '--redis-url', redis.url, ...args])
  assert.match(
    text.stdout.replace(/\n +/g, ' '),
    /^stream:fanout:1\npolicy fanout \(stream:fanout:\*\), from --policy: the first whose glob matches; chat:\* came first and did not match$/m,
  )
})

test('a missing key and a key of another type fail with a sentence; a stream that no policy covers does not', async (t) => {
  const redis = await startRedis(t)
  await redis.command('SET', 'text', 'x')
  await redis.command('XADD', 'other', '1-1', 'a', 'b')
  const missing = await explainKey(redis.url, 'nowhere', [], 1)
  assert.deepEqual([missing.result, missing.cause, missing.reason], ['failed', 'missing', 'there is no key nowhere'])
  const text = await explainKey(redis.url, 'text', [], 1)
  assert.deepEqual([text.cause, text.reason], ['not_a_stream', 'text is a string, not a stream'])
  const other = await explainKey(redis.url, 'other')
  assert.deepEqual([other.result, other.policy, other.nextSweep, other.entries], ['success', null, null, 1])
  const { stdout, code } = await runXtrimd(['explain', 'other', '--redis-url', redis.url])
  assert.match(stdout, /^no policy covers it: its key matches none of stream:conversation:\*$/m)
  assert.equal(code, 0)
  const away = await explainKey('redis://127.0.0.1:1', 'other', [], 1)
  assert.deepEqual([away.result, away.cause, away.groups], ['failed', 'connect', []])
})

test('a key may be typed as it is or as xtrimd shows it, whatever bytes it has', async (t) => {
  const redis = await startRedis(t)
  const keys = [Buffer.from('stream:conversation:\xff\x00 é', 'latin1'), Buffer.from('stream:conversation:a\\x41')]
  for (const [i, key] of keys.entries()) await fillStream(redis, key, { count: i + 1, from: 1, stepMs: 1, bytes: 1 })
  const shown = ['stream:conversation:\\xff\\x00 \\xe9', 'stream:conversation:a\\\\x41']
  for (const [i, text] of shown.entries()) {
    const { entries, stream } = await explainKey(redis.url, text)
    assert.deepEqual([entries, stream], [i + 1, text])
  }
  // As it stands, where the other reading names no key.
  assert.equal((await explainKey(redis.url, 'stream:conversation:a\\x41')).entries, 2)
  // Both readings name a key: the one that we would show so.
  await fillStream(redis, 'stream:conversation:aA', { count: 3, from: 1, stepMs: 1, bytes: 1 })
  assert.equal((await explainKey(redis.url, 'stream:conversation:a\\x41')).entries, 3)
})

test('explain tells of every group what it needs and whether it holds the trim back, and names stuck consumers first', async (t) => {
  const redis = await startRedis(t)
  await fillOldAndNew(redis)
  await redis.command('XGROUP', 'CREATE', KEY, 'slow', '0')
  await redis.command('XREADGROUP', 'GROUP', 'slow', 'stuck', 'COUNT', '30', 'STREAMS', KEY, '>')
  await redis.command('XGROUP', 'CREATE', KEY, 'done', '$')
  for (let i = 0; i < 30; i++) await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'slow', `idle-${i}`)
  const [first] = (await redis.command('XRANGE', KEY, '-', '+', 'COUNT', '1')) as [[string]]
  await redis.command('XDEL', KEY, first[0])

  const { groups, limits, nextSweep } = await explainKey(redis.url, KEY, ['--protect', 'unacked'])
  const slow = groups.find(({ name }) => name === 'slow')
  assert.deepEqual(
    [slow?.pending, slow?.dangling, slow?.holdsBack, slow?.dead, slow?.consumerCount, slow?.consumers.length],
    [30, 1, true, false, 31, 20],
  )
  assert.deepEqual([slow?.consumers[0]?.name, slow?.consumers[0]?.pending], ['stuck', 30])
  assert.equal(groups.find(({ name }) => name === 'done')?.holdsBack, false)
  const age = limits.find(({ limit }) => limit === 'max-age')
  assert.equal(age?.verdict, '479 entries are older; the next sweep removes none, group slow needs them')
  assert.equal(nextSweep?.held?.group, 'slow')
  // The control: without protection it holds nothing back.
  const free = await explainKey(redis.url, KEY)
  assert.deepEqual([free.groups.some(({ holdsBack }) => holdsBack), free.nextSweep?.held], [false, null])
})

test('of more groups than fit on a screen, explain shows first those that hold the trim back, and of each its stuck consumers', async (t) => {
  const redis = await startRedis(t)
  await fillOldAndNew(redis)
  for (let i = 0; i < 40; i++) await redis.command('XGROUP', 'CREATE', KEY, `a-${i}`, '$')
  for (const name of ['y', 'z']) await redis.command('XGROUP', 'CREATE', KEY, name, '0')
  await redis.command('XREADGROUP', 'GROUP', 'y', 'only', 'COUNT', '20', 'STREAMS', KEY, '>')
  for (const name of ['c', 'd', 'e', 'f', 'g', 'h']) await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'z', name)
  await redis.command('XREADGROUP', 'GROUP', 'z', 'stuck', 'COUNT', '30', 'STREAMS', KEY, '>')
  const args = ['explain', KEY, '--redis-url', redis.url, '--protect', 'unread']
  const { stdout } = await runXtrimd(args)
  assert.deepEqual(
    [...stdout.matchAll(/^(\w\S*) .* (holds|alive)$/gm)].slice(0, 3).map(([, name, state]) => [name, state]),
    [
      ['y', 'holds'],
      ['z', 'holds'],
      ['a-0', 'alive'],
    ],
  )
  assert.match(stdout, /^consumers of z: stuck \(30 pending, idle /m)
  assert.match(stdout, /^… and 22 more groups$/m)
  assert.match(stdout, /^group y keeps the stream over its limits$/m, 'it needs the oldest entry')
})

test('explain tells entries from groups in an emptied stream, and a time from what is none', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 300, from: now - 48 * HOUR_MS, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  await redis.command('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '300', 'STREAMS', KEY, '>')
  await redis.command('XDEL', KEY, ...(await streamIds(redis, KEY)))
  const emptied = await explainKey(redis.url, KEY, ['--max-bytes', '1kb'])
  assert.ok((emptied.memoryBytes ?? 0) > 10_000, 'the control: its references take memory')
  assert.deepEqual([emptied.entries, emptied.bytes, emptied.groups[0]?.dangling], [0, 0, 300])
  const bytes = emptied.limits.find(({ limit }) => limit === 'max-bytes')
  assert.equal(bytes?.verdict, 'its entries take 0b')

  // A placeholder, an entry of an hour ago, and one by a clock that is an hour ahead.
  await redis.command('XADD', 'mixed', '0-1', 'a', 'b')
  await redis.command('XADD', 'mixed', `${now - HOUR_MS}-0`, 'a', 'b')
  await redis.command('XADD', 'mixed', `${now + HOUR_MS}-0`, 'a', 'b')
  const { first, last, customIds } = await explainKey(redis.url, 'mixed', ['--match', 'mixed'])
  assert.deepEqual([first?.ageSeconds, customIds], [null, false])
  assert.ok((last?.ageSeconds ?? 0) < -3_500)
  const { stdout } = await runXtrimd(['explain', 'mixed', '--redis-url', redis.url])
  assert.match(stdout, /^first {4}0-1, not a time$/m)
  assert.match(stdout, /^last {5}\d+-0, \d+m\d+s in the future$/m)
})

test('explain says how many entries go to the archive first, unless the policy opted out', async (t) => {
  const redis = await startRedis(t)
  await fillOldAndNew(redis)
  const archive = ['--archive', `file://${temporaryFolder(t, 'archive')}`]
  const archiving = await explainKey(redis.url, KEY, archive)
  assert.deepEqual([archiving.nextSweep?.remove.age, archiving.nextSweep?.archive], [400, 400])
  const { stdout } = await runXtrimd(['explain', KEY, '--redis-url', redis.url, ...archive])
  assert.match(stdout, /^it archives about 400 entries before that$/m)
  const policy = ['--policy', 'stream:conversation:*,archive=false']
  const out = await explainKey(redis.url, KEY, [...archive, ...policy])
  assert.deepEqual([out.nextSweep?.remove.age, out.nextSweep?.archive], [400, 0])
})

test('explain asks for 20,000 consumers once', async (t) => {
  const redis = await startRedis(t)
  await fillOldAndNew(redis)
  await redis.command('XGROUP', 'CREATE', KEY, 'many', '0')
  const make = "for i = 1, 20000 do redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'many', 'consumer-' .. i) end"
  await redis.command('EVAL', make, '1', KEY)
  await redis.command('CONFIG', 'RESETSTAT')
  const { groups } = await explainKey(redis.url, KEY, ['--protect', 'unacked'])
  assert.deepEqual([groups[0]?.consumerCount, groups[0]?.consumers.length], [20_000, 20])
  assert.equal(await redis.callsOf('xinfo|consumers'), 1)
})

test('--delete-empty: explain says whether the next sweep unlinks the stream, and why not', async (t) => {
  const redis = await startRedis(t)
  const verdict = async (): Promise<unknown[]> => {
    const { limits, nextSweep } = await explainKey(redis.url, KEY, ['--delete-empty'])
    return [limits.find(({ limit }) => limit === 'delete-empty')?.verdict, nextSweep?.reap.streams]
  }
  const now = await redisNow(redis)
  await redis.command('XADD', KEY, `${now - 48 * HOUR_MS}-0`, 'a', 'b')
  assert.deepEqual(await verdict(), ['the next sweep unlinks the stream', 1])
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  assert.deepEqual(await verdict(), ['the stream stays: it has a consumer group', 0])
  await redis.command('XGROUP', 'DESTROY', KEY, 'group')
  await redis.command('XADD', KEY, `${now - HOUR_MS}-0`, 'a', 'b')
  assert.deepEqual(await verdict(), ['the stream stays: it is not empty', 0])
  await redis.command('XTRIM', KEY, 'MAXLEN', '0')
  assert.deepEqual(await verdict(), ['the stream stays: it was written within --max-age', 0])
})

test('explain finds the primary of the key in a cluster, also while its slot is being moved, and behind Sentinel', async (t) => {
  const cluster = await startCluster(t)
  const [source, , target] = cluster.primaries as [RedisServer, RedisServer, RedisServer]
  let i = 0
  while ((await cluster.homeOf(`stream:conversation:${i}`)) !== 0) i++
  const key = `stream:conversation:${i}`
  await fillStream(source, key, { count: 30, from: await redisNow(source), stepMs: 1, bytes: 10 })
  await source.command('XGROUP', 'CREATE', key, 'group', '0')
  const args = ['--redis-mode', 'cluster']
  const seen = async (): Promise<unknown[]> => {
    const { entries, groups } = await explainKey(cluster.urls, key, args)
    return [entries, groups[0]?.lag]
  }
  assert.deepEqual(await seen(), [30, 30])
  await openSlot(source, target, slotOf(key))
  await migrate(source, target, [key])
  assert.deepEqual(await seen(), [30, 30], 'the key is on its new node, and its slot is not')

  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 7, from: await redisNow(redis), stepMs: 1, bytes: 10 })
  const sentinel = await startSentinel(t, { master: 'main', primaryPort: redis.port, quorum: 1 })
  const behind = ['--redis-mode', 'sentinel', '--sentinel-master', 'main']
  assert.equal((await explainKey(`redis://127.0.0.1:${sentinel.port}`, KEY, behind)).entries, 7)
})

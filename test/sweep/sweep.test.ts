/** What one sweep removes and what it leaves, when an operator runs the program on a real Redis. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RESP_TYPES } from '@redis/client'
import { assertToldAs } from '../harness/faults.ts'
import { startMonitor, writesAmong } from '../harness/monitor.ts'
import { type RedisServer, type SlowCommand, startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { fillStream, lengthOf, redisNow, streamIds } from '../harness/streams.ts'
import { sweepOnce, sweepWell } from '../harness/sweep_once.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Entries in a node by default, if they are small. */
const NODE = 100

const KEY = 'stream:conversation:1'

test('of 2,000 messages in a stream fewer than 1,500 are left, among them the newest 1,000', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  // About 500 bytes each, as in a chat: a node holds eight of them.
  await fillStream(redis, KEY, { count: 2_000, from: now - HOUR, stepMs: 1_000, bytes: 500 })
  const newest = await streamIds(redis, KEY, 1_000)

  const report = await sweepWell(redis.url)

  const left = await streamIds(redis, KEY)
  assert.ok(left.length < 1_500, `${left.length} left`)
  assert.deepEqual(left.slice(-1_000), newest)
  assert.deepEqual(report.removed, { age: 0, length: 2_000 - left.length, bytes: 0, acked: 0 })
  assert.deepEqual(report.entries, { before: 2_000, after: left.length })
})

test('one sweep trims a backlog of 50,000 entries in several bites', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 50_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  const monitor = await startMonitor(t, redis)

  await sweepWell(redis.url)

  assert.ok((await lengthOf(redis, KEY)) < 1_000 + NODE)
  const bites = (await monitor.commands()).filter(({ name }) => name === 'XTRIM')
  assert.ok(bites.length >= 5, `${bites.length} bites: one call removes at most 10,000 entries`)
})

test('one sweep trims a million entries to ten without any command that takes over 2 ms', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await fillStream(redis, 'template', { count: 999_990, from: now - 30 * DAY, stepMs: 1, bytes: 10 })
  await fillStream(redis, 'template', { count: 10, from: now - 1_000, stepMs: 1, bytes: 10 })
  const newest = await streamIds(redis, 'template', 1_000)

  for (const { limits, keeps, slack } of [
    { limits: ['--max-age', '24h', '--max-length', '1000'], keeps: 10, slack: NODE },
    { limits: ['--max-age', 'off', '--max-length', '1000'], keeps: 1_000, slack: NODE },
    { limits: ['--max-age', '24h', '--max-length', 'off'], keeps: 10, slack: NODE },
    { limits: ['--max-age', 'off', '--max-length', '1000', '--trim', 'exact'], keeps: 1_000, slack: 0 },
    { limits: ['--max-age', '24h', '--max-length', 'off', '--trim', 'exact'], keeps: 10, slack: 0 },
  ]) {
    await t.test(limits.join(' '), async () => {
      // A command with too much work is slow every time. One that was only interrupted by the machine is not.
      const fastest = new Map<string, number>()
      let slow: unknown[] = []
      for (let attempt = 0; attempt < 8; attempt++) {
        await redis.command('COPY', 'template', KEY, 'REPLACE')
        await redis.recordCommands()
        await sweepWell(redis.url, limits)
        const log = await redis.slowlog()
        assert.ok(log.filter(({ command }) => command[0] === 'XTRIM').length >= 100)

        const left = await streamIds(redis, KEY)
        assert.ok(left.length <= keeps + slack, `${left.length} left`)
        assert.deepEqual(left.slice(-keeps), newest.slice(-keeps))
        const times = timesByPlace(log)
        for (const [place, microseconds] of times) {
          fastest.set(place, Math.min(microseconds, fastest.get(place) ?? microseconds))
        }
        slow = [...times.keys()].filter((place) => (fastest.get(place) ?? 0) > 2_000)
        if (slow.length === 0) return
      }
      assert.deepEqual(slow, [])
    })
  }

  await t.test('control: one exact XTRIM of the same stream takes over 2 ms', async () => {
    await redis.recordCommands()
    await redis.command('XTRIM', 'template', 'MAXLEN', '=', '1000')
    const [xtrim] = (await redis.slowlog()).filter(({ command }) => command[0] === 'XTRIM')
    assert.ok(xtrim && xtrim.microseconds > 2_000)
  })
})

/** How long each command took, by its name and number. Sweeps of the same stream send the same commands. */
function timesByPlace(log: readonly SlowCommand[]): Map<string, number> {
  const counts = new Map<string, number>()
  return new Map(
    log.toReversed().map(({ command: [name = ''], microseconds }) => {
      const place = (counts.get(name) ?? 0) + 1
      counts.set(name, place)
      return [`${name} ${place}`, microseconds]
    }),
  )
}

test('entries younger than a day survive any number of sweeps, and nodes of older entries are removed', async (t) => {
  for (const { mode, stays } of [
    // 550 old entries are five whole nodes and half of the sixth.
    { mode: 'approx', stays: 50 + 400 },
    { mode: 'exact', stays: 400 },
  ]) {
    await t.test(`--trim ${mode}`, async (t) => {
      const redis = await startRedis(t)
      const now = await redisNow(redis)
      await fillStream(redis, KEY, { count: 550, from: now - 2 * DAY, stepMs: 1_000, bytes: 10 })
      await fillStream(redis, KEY, { count: 400, from: now - DAY + HOUR, stepMs: 1_000, bytes: 10 })
      const all = await streamIds(redis, KEY)

      const first = await sweepWell(redis.url, ['--trim', mode])
      assert.deepEqual(await streamIds(redis, KEY), all.slice(-stays))
      assert.deepEqual(first.removed, { age: all.length - stays, length: 0, bytes: 0, acked: 0 })

      for (let sweep = 2; sweep <= 4; sweep++) {
        assert.deepEqual((await sweepWell(redis.url, ['--trim', mode])).removed, {
          age: 0,
          length: 0,
          bytes: 0,
          acked: 0,
        })
      }
      assert.deepEqual(await streamIds(redis, KEY), all.slice(-stays))
    })
  }
})

test("Redis's clock decides what is old, not the program's", async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 500, from: now - 2 * DAY, stepMs: 1, bytes: 10 })
  await fillStream(redis, KEY, { count: 500, from: now - HOUR, stepMs: 1, bytes: 10 })
  const all = await streamIds(redis, KEY)

  for (const days of [-30, 30]) {
    const shift = `const now = Date.now; Date.now = () => now() + ${days * DAY}`
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shift)}`, XTRIMD_NOTHING: 'x' }
    const { report, stderr } = await sweepOnce(redis.url, ['--log-format', 'json'], { env })
    assert.equal(report.result, 'success')
    assert.deepEqual(await streamIds(redis, KEY), all.slice(500), `the program's clock is ${days} days off`)
    // The control: the time of its only log line shows that its clock was wrong.
    const { time } = JSON.parse(stderr) as { time: string }
    assert.ok(Math.abs(Date.parse(time) - (now + days * DAY)) < HOUR, time)
  }
})

test('keys that do not match, or that are not streams, stay unchanged, byte for byte', async (t) => {
  const redis = await startRedis(t)
  const old = { count: 5_000, from: (await redisNow(redis)) - 40 * DAY, stepMs: 1, bytes: 10 }
  await redis.command('SET', 'string', 'value')
  await redis.command('HSET', 'hash', 'a', '1', 'b', '2')
  await redis.command('RPUSH', 'list', 'a', 'b')
  await redis.command('SADD', 'set', 'a', 'b')
  await redis.command('ZADD', 'zset', '1', 'a')
  for (const type of ['SET', 'RPUSH', 'SADD']) await redis.command(type, `stream:conversation:${type}`, 'a')
  await redis.command('HSET', 'stream:conversation:HSET', 'a', '1')
  const untouched = ['stream:fanout:1', 'stream:conversatio', 'a:stream:conversation:1', 'Stream:conversation:1']
  for (const key of untouched) await fillStream(redis, key, old)
  await redis.command('XGROUP', 'CREATE', 'stream:fanout:1', 'group', '0')
  await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '5', 'STREAMS', 'stream:fanout:1', '>')
  await fillStream(redis, KEY, old)

  const before = await dumps(redis)
  const report = await sweepWell(redis.url)
  const after = await dumps(redis)

  assert.equal(report.streams, 1)
  assert.equal(before.size, 14)
  const changed = [...before].filter(([key, dump]) => !dump.equals(after.get(key) ?? Buffer.of()))
  // The control: a change shows in DUMP.
  assert.deepEqual(
    changed.map(([key]) => key),
    [KEY],
  )
})

async function dumps(redis: RedisServer): Promise<Map<string, Buffer>> {
  const keys = ((await redis.command('KEYS', '*')) as string[]).sort()
  const client = redis.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  return new Map(
    await Promise.all(
      keys.map(async (key) => [key, (await client.sendCommand(['DUMP', key])) as unknown as Buffer] as const),
    ),
  )
}

test('a stream whose key is not UTF-8 is trimmed like any other, and its key is shown escaped', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  const filling = { count: 3_000, from: now - HOUR, stepMs: 1, bytes: 10 }
  const keys = [
    { key: Buffer.from([0xff, 0xfe, 0x00, 0x41]), shownAs: '\\xff\\xfe\\x00A' },
    { key: Buffer.from([0xc3]), shownAs: '\\xc3' },
    { key: Buffer.from('ä \n"\\'), shownAs: 'ä \\x0a"\\\\' },
  ]
  const prefix = Buffer.from('stream:conversation:')
  for (const { key } of keys) await fillStream(redis, Buffer.concat([prefix, key]), filling)

  const report = await sweepWell(redis.url)

  assert.deepEqual(
    report.longest.map(({ stream }) => stream).sort(),
    keys.map(({ shownAs }) => `${prefix}${shownAs}`).sort(),
  )
  for (const { key } of keys) assert.equal(await lengthOf(redis, Buffer.concat([prefix, key])), 1_000)
})

test('a stream with custom IDs is not trimmed by age but counted, and other limits apply', async (t) => {
  const redis = await startRedis(t)
  for (const [key, length] of [
    [`${KEY}:short`, 500],
    [`${KEY}:long`, 3_000],
  ] as const) {
    await redis.command(
      'EVAL',
      "for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], i .. '-1', 'a', 'b') end",
      '1',
      key,
      String(length),
    )
  }

  const report = await sweepWell(redis.url)

  assertToldAs('a stream has custom IDs', report)
  assert.equal(await lengthOf(redis, `${KEY}:short`), 500)
  assert.equal(await lengthOf(redis, `${KEY}:long`), 1_000)
  assert.deepEqual(report.removed, { age: 0, length: 2_000, bytes: 0, acked: 0 })
  assert.deepEqual(report.skipped, { custom_ids: 2, not_a_stream: 0 })

  // The control: Redis's own trim by the same age would remove all of them.
  const now = await redisNow(redis)
  assert.equal(await redis.command('XTRIM', `${KEY}:short`, 'MINID', '=', String(now - DAY)), 500)
})

test('a first ID like 0-1 before IDs with times does not exempt a stream from its age limit', async (t) => {
  const redis = await startRedis(t)
  await redis.command('XADD', KEY, '0-1', 'first', 'entry')
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 499, from: now - 2 * DAY, stepMs: 1, bytes: 10 })
  await fillStream(redis, KEY, { count: 100, from: now - HOUR, stepMs: 1, bytes: 10 })
  const young = await streamIds(redis, KEY, 100)

  const report = await sweepWell(redis.url)

  assert.deepEqual(await streamIds(redis, KEY), young)
  assert.deepEqual(report.removed, { age: 500, length: 0, bytes: 0, acked: 0 })
  assert.deepEqual(report.skipped, { custom_ids: 0, not_a_stream: 0 })
})

test('a stream with the single ID 0-1 has an unknown age and stays', async (t) => {
  const redis = await startRedis(t)
  await redis.command('XADD', KEY, '0-1', 'first', 'entry')
  assert.equal((await sweepWell(redis.url)).skipped.custom_ids, 1)
  assert.equal(await lengthOf(redis, KEY), 1)
})

test('--max-bytes trims a stream until Redis reports less memory than the limit, and keeps the newest entries', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 1_000 })
  const newest = await streamIds(redis, KEY, 400)
  const limits = ['--max-length', 'off', '--max-bytes', '512kb']
  assert.ok(Number(await redis.command('MEMORY', 'USAGE', KEY)) > 3_000_000)

  const report = await sweepWell(redis.url, limits)

  assert.ok(Number(await redis.command('MEMORY', 'USAGE', KEY)) <= 512 * 1024 + 4_096)
  const left = await streamIds(redis, KEY)
  assert.deepEqual(left.slice(-400), newest, 'not more than needed was removed')
  assert.deepEqual(report.removed, { age: 0, length: 0, bytes: 3_000 - left.length, acked: 0 })
})

test('the first matching policy applies to a stream, and the plain flags if none matches', async (t) => {
  const redis = await startRedis(t)
  const filling = { count: 5_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 }
  const keys = ['stream:fanout:vip:1', 'stream:fanout:1', 'stream:conversation:1', 'stream:other:1']
  for (const key of keys) await fillStream(redis, key, filling)

  const report = await sweepWell(redis.url, [
    ...['--policy', 'stream:fanout:vip:*,name=vip,max-length=4000'],
    ...['--policy', 'stream:fanout:*,max-length=2000,max-age=1d'],
  ])

  const lengths = await Promise.all(keys.map((key) => lengthOf(redis, key)))
  assert.deepEqual(lengths, [4_000, 2_000, 1_000, 5_000])
  assert.deepEqual(
    report.policies.map(({ policy, streams, removed }) => [policy, streams, removed.length]),
    [
      ['vip', 1, 1_000],
      ['stream:fanout:*', 1, 3_000],
      ['stream:conversation:*', 1, 4_000],
    ],
  )
})

test('policies apply even if their patterns begin with characters that share half of their UTF-16 encoding', async (t) => {
  const redis = await startRedis(t)
  const filling = { count: 1_500, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 }
  // In UTF-16 the two characters begin with the same unit, with which no key begins.
  for (const key of ['😀:1', '😁:1']) await fillStream(redis, key, filling)

  const report = await sweepWell(redis.url, ['--match', '😀:*', '--policy', '😁:*'])

  assert.deepEqual(
    report.policies.map(({ policy, streams, removed }) => [policy, streams, removed.length]),
    [
      ['😁:*', 1, 500],
      ['😀:*', 1, 500],
    ],
  )
})

test('without protection, entries that a consumer group has not read are removed and counted', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', KEY, 'slow', '0')
  await redis.command('XGROUP', 'CREATE', KEY, 'done', '$')
  await redis.command('XREADGROUP', 'GROUP', 'slow', 'me', 'COUNT', '500', 'STREAMS', KEY, '>')

  const report = await sweepWell(redis.url)

  assert.equal(report.removed.length, 2_000)
  assert.equal(report.unread, 1_500)
})

test('--dry-run counts but sends no command that writes', async (t) => {
  const redis = await startRedis(t)
  const old = { count: 5_000, from: (await redisNow(redis)) - 40 * DAY, stepMs: 1, bytes: 10 }
  await fillStream(redis, KEY, old)
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  const args = ['--trim', 'exact', '--max-bytes', '1kb', '--delete-empty', '--hard-max-age', '2d']
  const dry = await startMonitor(t, redis)

  const report = await sweepWell(redis.url, [...args, '--dry-run'])

  const seen = await dry.commands()
  assert.ok(seen.some(({ name }) => name === 'XLEN'))
  assert.deepEqual(await writesAmong(redis, seen), [])
  assert.deepEqual(report.removed, { age: 0, length: 0, bytes: 0, acked: 0 })
  assert.deepEqual(report.overLimit, { age: 1, length: 1, bytes: 1 })
  assert.deepEqual(report.entries, { before: 5_000, after: 5_000 })

  // The control: without --dry-run the same sweep writes, and the monitor sees it.
  const wet = await startMonitor(t, redis)
  await sweepWell(redis.url, args)
  assert.ok((await writesAmong(redis, await wet.commands())).includes('XTRIM'))
})

test('a sweep that exceeds --sweep-timeout stops, fails, and reports what it did', async (t) => {
  const redis = await startRedis(t)
  const { proxy, args, surplus, gone } = await prepareSlowSweep(t, redis)

  const { report, code } = await sweepOnce(proxy.url, [...args, '--sweep-timeout', '1500ms'])

  assert.equal(code, 1)
  assertToldAs('a sweep exceeds `--sweep-timeout`', report)
  const disappeared = await gone()
  assert.ok(disappeared > 0 && disappeared < surplus, `${disappeared} gone`)
  assert.equal(report.removed.length, disappeared)
})

test('a sweep is partial and exits with 1 if Redis refuses some streams, and the others are trimmed', async (t) => {
  const redis = await startRedis(t)
  const from = (await redisNow(redis)) - HOUR
  for (const key of ['stream:conversation:mine', 'stream:conversation:theirs']) {
    await fillStream(redis, key, { count: 3_000, from, stepMs: 1, bytes: 10 })
  }
  await redis.command('ACL', 'SETUSER', 'ops', 'on', '>pass', '+@all', '~stream:conversation:mine')
  const url = `redis://ops:pass@127.0.0.1:${redis.port}`

  const { report, code } = await sweepOnce(url)

  assert.equal(code, 1)
  assert.equal(report.result, 'partial')
  assert.equal(report.cause, 'NOPERM')
  assert.deepEqual(report.errors, { NOPERM: 1 })
  assert.equal(report.removed.length, 2_000)
  assert.equal(await lengthOf(redis, 'stream:conversation:mine'), 1_000)
  assert.equal(await lengthOf(redis, 'stream:conversation:theirs'), 3_000)

  // If Redis refuses all streams, the sweep has failed.
  await redis.command('ACL', 'SETUSER', 'ops', 'resetkeys')
  const refused = await sweepOnce(url)
  assert.deepEqual([refused.code, refused.report.result, refused.report.cause], [1, 'failed', 'NOPERM'])
  assert.deepEqual(refused.report.errors, { NOPERM: 2 })
})

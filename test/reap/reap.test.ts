/** What streams leave behind, and the reaper that removes it: consumers, groups, pending references, and streams. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { readOutput } from '../harness/output.ts'
import { runXtrimd } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fieldsOf } from '../harness/replies.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const KEY = 'stream:conversation:1'
const HOUR = 3_600_000
const DAY = 24 * HOUR
const OFF = ['--max-length', '1000000', '--max-age', 'off']

interface Report {
  readonly result: string
  readonly unread: number
  readonly deletedStreams: number
  readonly removed: Readonly<Record<string, number>>
  readonly reaped: { readonly consumers: number; readonly groups: number; readonly pending: number }
}

async function run(redis: RedisServer, command: 'plan' | 'sweep', args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await runXtrimd([command, '--redis-url', redis.url, '--output', 'json', ...args])
  assert.equal(code, 0, stderr + stdout)
  return readOutput(command, stdout)
}

/** Plans, then sweeps: what the plan says is reaped and lost unread is what the sweep reaps and loses. */
async function sweepOnce(redis: RedisServer, ...args: string[]): Promise<Report> {
  type Planned = { readonly reap: Report['reaped'] & { streams: number }; readonly unread: number }
  const { reap, unread } = (await run(redis, 'plan', args)) as Planned
  const report = (await run(redis, 'sweep', args)) as Report
  assert.deepEqual({ ...reap, unread }, { ...report.reaped, streams: report.deletedStreams, unread: report.unread })
  return report
}

/** Every group of the stream by its name, with what Redis says of it. */
async function groupsOf(redis: RedisServer, key = KEY): Promise<Map<string, Map<string, unknown>>> {
  const groups = (await redis.command('XINFO', 'GROUPS', key)) as unknown[]
  return new Map(groups.map((fields) => [String(fieldsOf(fields).get('name')), fieldsOf(fields)]))
}

async function fresh(redis: RedisServer, count: number, agoMs = 60_000, key = KEY): Promise<void> {
  await fillStream(redis, key, { count, from: (await redisNow(redis)) - agoMs, stepMs: 1, bytes: 20 })
}

const read = (redis: RedisServer, group: string, consumer: string, count: number, key = KEY) =>
  redis.command('XREADGROUP', 'GROUP', group, consumer, 'COUNT', String(count), 'STREAMS', key, '>')

test('3,000 dead consumers go, 20 with pending entries stay, and nothing pending is lost', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 100)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  for (let i = 0; i < 20; i++) await read(redis, 'g', `busy-${i}`, 2)
  const create = "for i = 1, 3000 do redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'g', 'dead-' .. i) end"
  await redis.command('EVAL', create, '1', KEY)
  await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'g', 'alive')
  const idle = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`dead-${i + 1}`, 2 * DAY]))
  await makeIdle(redis, KEY, {
    ...idle,
    ...Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`busy-${i}`, 2 * DAY])),
  })
  const before = await redis.command('XPENDING', KEY, 'g')

  const report = await sweepOnce(redis, ...OFF, '--reap-consumers-after', '1d')

  assert.deepEqual(report.reaped, { consumers: 3_000, groups: 0, pending: 0 })
  assert.equal((await groupsOf(redis)).get('g')?.get('consumers'), 21)
  assert.deepEqual(await redis.command('XPENDING', KEY, 'g'), before)
  // The control: without the flag nobody goes.
  assert.deepEqual((await sweepOnce(redis, ...OFF)).reaped, { consumers: 0, groups: 0, pending: 0 })
})

test('only dead groups whose name matches are destroyed, and with --delete-empty their stream goes in the same sweep', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const day = 2 * DAY
  for (const [key, group] of [
    ['stream:conversation:a', 'ephemeral-1'],
    ['stream:conversation:b', 'ephemeral-2'],
    ['stream:conversation:c', 'orders'],
  ] as const) {
    await fresh(redis, 50, day, key)
    await redis.command('XGROUP', 'CREATE', key, group, '0')
    await read(redis, group, `${group}-reader`, 50, key)
  }
  await makeIdle(redis, 'stream:conversation:a', { 'ephemeral-1-reader': 8 * DAY })
  await makeIdle(redis, 'stream:conversation:c', { 'orders-reader': 8 * DAY })

  const report = await sweepOnce(redis, '--reap-groups', 'ephemeral-*', '--delete-empty')

  assert.deepEqual([report.reaped.groups, report.deletedStreams], [1, 1])
  assert.equal(await redis.command('EXISTS', 'stream:conversation:a'), 0)
  assert.deepEqual([...(await groupsOf(redis, 'stream:conversation:b')).keys()], ['ephemeral-2'])
  assert.deepEqual([...(await groupsOf(redis, 'stream:conversation:c')).keys()], ['orders'])
})

test('a group without consumers that was made a moment ago is never destroyed, however old what it has not read', async (t) => {
  const redis = await startRedis(t)
  await fresh(redis, 50, 30 * DAY)
  await redis.command('XGROUP', 'CREATE', KEY, 'new', '0')
  const report = await sweepOnce(redis, ...OFF, '--reap-groups', '*')
  assert.equal(report.reaped.groups, 0)
  assert.deepEqual([...(await groupsOf(redis)).keys()], ['new'])
})

test('references to trimmed entries are dropped, and those to living entries stay', async (t) => {
  const redis = await startRedis(t)
  await fresh(redis, 5_000, 30 * HOUR)
  await fresh(redis, 50, 10_000)
  for (const group of ['a', 'b']) {
    await redis.command('XGROUP', 'CREATE', KEY, group, '0')
    await read(redis, group, 'reader', 5_040)
  }
  const report = await sweepOnce(redis, '--trim', 'exact', '--reap-pending')
  assert.deepEqual(report.reaped, { consumers: 0, groups: 0, pending: 10_000 })
  for (const group of ['a', 'b']) {
    assert.equal((await groupsOf(redis)).get(group)?.get('pending'), 40)
    const again = (await redis.command('XREADGROUP', 'GROUP', group, 'reader', 'STREAMS', KEY, '0')) as [
      string,
      [string, string[] | null][],
    ][]
    const entries = again[0]?.[1] ?? []
    assert.deepEqual([entries.length, entries.filter(([, fields]) => fields === null).length], [40, 0])
  }
})

test('references to entries deleted in between are dropped too, without touching their neighbours', async (t) => {
  const redis = await startRedis(t)
  await fresh(redis, 400)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  await read(redis, 'g', 'reader', 300)
  const entries = (await redis.command('XRANGE', KEY, '-', '+')) as [string, unknown][]
  const odd = entries.filter((_, i) => i % 2 === 1).map(([id]) => id)
  await redis.command('XDEL', KEY, ...odd)
  const report = await sweepOnce(redis, ...OFF, '--reap-pending')
  assert.equal(report.reaped.pending, 150)
  const left = (await redis.command('XPENDING', KEY, 'g', '-', '+', '1000')) as [string][]
  assert.deepEqual(
    left.map(([id]) => id),
    entries.slice(0, 300).flatMap(([id], i) => (i % 2 === 0 ? [id] : [])),
  )
})

test('idle streams go with all their entries: without a group and with a dead one, never with a living one or custom IDs', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const key = (name: string): string => `stream:conversation:${name}`
  for (const name of ['alone', 'dead', 'living']) await fresh(redis, 50, 3 * DAY, key(name))
  await fresh(redis, 50, 1_000, key('fresh'))
  for (let i = 1; i <= 50; i++) await redis.command('XADD', key('custom'), `${i}-1`, 'm', 'x')
  for (const name of ['dead', 'living']) {
    await redis.command('XGROUP', 'CREATE', key(name), 'g', '0')
    await read(redis, 'g', `${name}-reader`, 10, key(name))
  }
  await makeIdle(redis, key('dead'), { 'dead-reader': 8 * DAY })
  const report = await sweepOnce(redis, ...OFF, '--delete-idle', '2d')
  assert.equal(report.deletedStreams, 2)
  assert.equal(report.unread, 40, 'entries that the dead group had not read')
  const left = ((await redis.command('KEYS', '*')) as string[]).sort()
  assert.deepEqual(left, [key('custom'), key('fresh'), key('living')])
})

test('a lag that counts what others trimmed does not count as unread of an idle stream that goes', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 3_000, 3 * DAY)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  await read(redis, 'g', 'reader', 100)
  await redis.command('XTRIM', KEY, 'MAXLEN', '=', '2000')
  await read(redis, 'g', 'reader', 1_500)
  await makeIdle(redis, KEY, { reader: 8 * DAY })
  // The control: Redis 7.0 says 1,400.
  const lag = Number((await groupsOf(redis)).get('g')?.get('lag'))
  assert.ok(lag === 1_400 || lag === 500, `${lag}`)
  const { unread, deletedStreams } = await sweepOnce(redis, ...OFF, '--delete-idle', '2d')
  assert.deepEqual({ unread, deletedStreams }, { unread: 500, deletedStreams: 1 })
})

test('before Redis 7.2 a group that is quiet as a whole keeps its consumers, and later those go that no longer try to read', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 10)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '$')
  for (const name of ['quiet-1', 'quiet-2', 'gone-1']) await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'g', name)
  await makeIdle(redis, KEY, { 'quiet-1': 3 * DAY, 'quiet-2': 3 * DAY + HOUR, 'gone-1': 9 * DAY })
  const [consumer] = (await redis.command('XINFO', 'CONSUMERS', KEY, 'g')) as unknown[]
  const countsAttempts = fieldsOf(consumer).has('inactive')
  const { reaped } = await sweepOnce(redis, ...OFF, '--reap-consumers-after', '1d')
  assert.equal(reaped.consumers, countsAttempts ? 3 : 1)
})

test('names are bytes: consumers and groups go whose names are not UTF-8', async (t) => {
  const redis = await startRedis(t)
  await fresh(redis, 10)
  const group = Buffer.from([0x67, 0x3a, 0xff, 0x00, 0xfe])
  await redis.command('XGROUP', 'CREATE', KEY, group, '0')
  for (const byte of [0x80, 0x81, 0xff]) {
    // The last one reads later, and before Redis 7.2 the others are judged against it.
    if (byte === 0xff) await new Promise((resolve) => setTimeout(resolve, 100))
    await redis.command('XGROUP', 'CREATECONSUMER', KEY, group, Buffer.from([0x63, byte]))
    await redis.command('XREADGROUP', 'GROUP', group, Buffer.from([0x63, byte]), 'COUNT', '1', 'STREAMS', KEY, '>')
  }
  await redis.command('XTRIM', KEY, 'MAXLEN', '8')
  const groups = ['--reap-groups', 'g:*', '--stale-group-after', '1h']
  const { reaped } = await sweepOnce(redis, ...OFF, '--reap-consumers-after', '50ms', '--reap-pending', ...groups)
  assert.deepEqual(reaped, { consumers: 2, groups: 0, pending: 2 })
  await new Promise((resolve) => setTimeout(resolve, 20))
  const gone = await sweepOnce(redis, ...OFF, '--reap-groups', 'g:*', '--stale-group-after', '10ms')
  assert.deepEqual(gone.reaped, { consumers: 0, groups: 1, pending: 0 })
})

test('a policy that destroys dead groups keeps the consumer that tells when a group was alive', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 40)
  for (const [group, days] of [
    ['jobs-quiet', 2],
    ['jobs-dead', 8],
  ] as const) {
    await redis.command('XGROUP', 'CREATE', KEY, group, '0')
    await read(redis, group, `${group}-crashed.`, 1)
    for (let i = 0; i < 5; i++) await read(redis, group, `${group}-pod-${i}.`, 1)
    const read40 = (await redis.command('XRANGE', KEY, '-', '+')) as [string][]
    await redis.command('XACK', KEY, group, ...read40.slice(1).map(([id]) => id))
    await redis.command('XGROUP', 'CREATECONSUMER', KEY, group, `${group}-pod-5.`)
    const idle: Record<string, number> = { [`${group}-crashed.`]: 30 * DAY }
    for (let i = 0; i <= 5; i++) idle[`${group}-pod-${i}.`] = days * DAY + (5 - i) * HOUR
    await makeIdle(redis, KEY, idle)
  }
  const settings = [...OFF, '--reap-consumers-after', '1d', '--reap-groups', 'jobs-*']
  const { reaped } = await sweepOnce(redis, ...settings)
  const countsAttempts = fieldsOf(((await redis.command('XINFO', 'CONSUMERS', KEY, 'jobs-quiet')) as unknown[])[0]).has(
    'inactive',
  )
  assert.deepEqual(reaped, { consumers: countsAttempts ? 5 : 0, groups: 1, pending: 0 })
  // With the crashed consumer alone the group would have looked dead for a month.
  assert.deepEqual((await sweepOnce(redis, ...settings)).reaped.groups, 0)
  assert.deepEqual([...(await groupsOf(redis)).keys()], ['jobs-quiet'])
})

test('of a dead group with many references those to missing entries go first; one with many to living entries stays', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const [dangling, living] = ['stream:conversation:a', 'stream:conversation:b']
  for (const [key, count] of [
    [dangling, 30_000],
    [living, 20_001],
  ] as const) {
    await fresh(redis, count, 60_000, key)
    await redis.command('XGROUP', 'CREATE', key, 'g', '0')
    await read(redis, 'g', 'dead-reader', count, key)
    await makeIdle(redis, key, { 'dead-reader': 8 * DAY })
  }
  await redis.command('XTRIM', dangling, 'MAXLEN', '100')
  const { reaped } = await sweepOnce(redis, ...OFF, '--reap-groups', '*')
  assert.deepEqual(reaped, { consumers: 0, groups: 1, pending: 0 })
  assert.equal((await groupsOf(redis, living)).get('g')?.get('pending'), 20_001)
  // Once trimming has removed its entries, that group goes too.
  await redis.command('XTRIM', living, 'MAXLEN', '1000')
  assert.equal((await sweepOnce(redis, ...OFF, '--reap-groups', '*')).reaped.groups, 1)
})

test('of a dead group with many consumers those with nothing pending go first, since one script asks for all that are left', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 10)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  const idle: Record<string, number> = {}
  for (let i = 0; i < 5; i++) await read(redis, 'g', `busy-${i}.`, 2)
  const create = "for i = 1, 3000 do redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'g', 'dead-' .. i .. '.') end"
  await redis.command('EVAL', create, '1', KEY)
  for (let i = 0; i < 3_005; i++) idle[i < 5 ? `busy-${i}.` : `dead-${i - 4}.`] = 8 * DAY
  await makeIdle(redis, KEY, idle)
  const { reaped } = await sweepOnce(redis, ...OFF, '--reap-groups', '*')
  assert.deepEqual(reaped, { consumers: 0, groups: 1, pending: 0 }, 'they went with their group')
  const deleted = await redis.callsOf('xgroup|delconsumer')
  assert.ok(deleted >= 2_999 && deleted <= 3_000, `${deleted}`)
})

test('a group without consumers is dead by the entry that it left unread, also where the same sweep trims that entry', async (t) => {
  const redis = await startRedis(t)
  await fresh(redis, 5, 9 * DAY)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  await read(redis, 'g', 'reader', 2)
  await redis.command('XGROUP', 'DELCONSUMER', KEY, 'g', 'reader')
  await fresh(redis, 5)
  const settings = ['--trim', 'exact', '--max-age', '1d', '--reap-groups', '*']
  const { removed, reaped } = await sweepOnce(redis, ...settings)
  assert.deepEqual([removed.age, reaped.groups], [5, 1])
})

test('a group without consumers whose first unread entry has a custom ID stays in the sweep that trims that entry, as plan says', async (t) => {
  const redis = await startRedis(t)
  for (let i = 1; i <= 10; i++) await redis.command('XADD', KEY, `${i}-1`, 'm', 'x')
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  await read(redis, 'g', 'reader', 5)
  await redis.command('XGROUP', 'DELCONSUMER', KEY, 'g', 'reader')
  await fresh(redis, 10, 9 * DAY)
  const settings = ['--trim', 'exact', '--max-age', 'off', '--max-length', '5', '--reap-groups', '*']
  assert.equal((await sweepOnce(redis, ...settings)).reaped.groups, 0)
  // The control: the first entry that it has not read now was written nine days ago.
  assert.equal((await sweepOnce(redis, ...settings)).reaped.groups, 1)
})

test('a thousand dead groups of one stream go in a few scripts', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 1)
  const create =
    "for i = 1, 1000 do redis.call('XGROUP', 'CREATE', KEYS[1], 'g-' .. i, '0') redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], 'g-' .. i, 'c-' .. i .. '.') end"
  await redis.command('EVAL', create, '1', KEY)
  await makeIdle(redis, KEY, Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`c-${i + 1}.`, 8 * DAY])))
  await redis.command('CONFIG', 'RESETSTAT')
  const report = (await run(redis, 'sweep', [...OFF, '--reap-groups', 'g-*'])) as Report
  assert.equal(report.reaped.groups, 1_000)
  assert.ok((await redis.callsOf('eval')) <= 50, `${await redis.callsOf('eval')} scripts`)
})

test('--delete-idle keeps a stream whose first ID is custom, and one with a group that may have been made a moment ago', async (t) => {
  const redis = await startRedis(t)
  const key = (name: string): string => `stream:conversation:${name}`
  const old = (await redisNow(redis)) - 30 * DAY
  for (const id of ['1-1', '2-1', `${old}-0`]) await redis.command('XADD', key('custom'), id, 'm', 'x')
  await fresh(redis, 5, 30 * DAY, key('new-group'))
  await redis.command('XGROUP', 'CREATE', key('new-group'), 'g', '0')
  await fresh(redis, 5, 30 * DAY, key('alone'))
  const report = await sweepOnce(redis, ...OFF, '--delete-idle', '2d')
  assert.equal(report.deletedStreams, 1)
  assert.deepEqual(((await redis.command('KEYS', '*')) as string[]).sort(), [key('custom'), key('new-group')])
})

test('with consumers reaped too, an idle stream goes once its group is dead', async (t) => {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  await fresh(redis, 5, 30 * DAY)
  await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
  for (const name of ['pod-1.', 'pod-2.']) await read(redis, 'g', name, 1)
  await redis.command('XGROUP', 'SETID', KEY, 'g', '$')
  const entries = (await redis.command('XRANGE', KEY, '-', '+')) as [string][]
  await redis.command('XACK', KEY, 'g', ...entries.map(([id]) => id))
  await makeIdle(redis, KEY, { 'pod-1.': 6 * DAY, 'pod-2.': 5 * DAY })
  const settings = [...OFF, '--reap-consumers-after', '1d', '--delete-idle', '2d']
  assert.equal((await sweepOnce(redis, ...settings)).deletedStreams, 0)
  await makeIdle(redis, KEY, { 'pod-2.': 3 * DAY })
  assert.equal((await sweepOnce(redis, ...settings)).deletedStreams, 1)
})

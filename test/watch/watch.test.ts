/** The watch bounds streams between sweeps, also when the subscription, the lease or the primaries change. */

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { FileStore } from '../../src/store/file_store.ts'
import { readContents } from '../harness/archived.ts'
import { temporaryFolder } from '../harness/files.ts'
import { type Daemon, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { migrate, openSlot, startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const MAX_LENGTH = 20
const EVERY = 10

const NOTIFYING = { 'notify-keyspace-events': 'Et' }
/** No sweeps, so that only the watch can bound a stream. */
const NO_SWEEPS = [...HARDLY_EVER, '--run-on-start=false']
const CAPPED = ['--max-length', String(MAX_LENGTH), '--watch-every', String(EVERY)]

async function startWatching(t: TestContext, url: string, more: readonly string[] = []): Promise<Daemon> {
  const daemon = await startDaemon(t, ['--redis-url', url, ...NO_SWEEPS, ...CAPPED, '--watch', ...more])
  await daemon.waitForLog('watching')
  return daemon
}

/** Writes entries one by one, as a producer of one stream does. */
async function write(redis: RedisServer, key: string, count: number, bytes = 10): Promise<void> {
  for (let i = 0; i < count; i++) await redis.command('XADD', key, '*', 'body', 'x'.repeat(bytes))
}

async function lengthBecomes(redis: RedisServer, key: string, length: number): Promise<void> {
  await waitUntil(async () => Number(await redis.command('XLEN', key)) === length, {
    timeoutMs: 60_000,
    what: `${key} to have ${length} entries`,
  })
}

// Concurrent, because each test mostly waits.
suite('the watch', { concurrency: 3 }, () => {
  test('entries written before the watch began are trimmed too, without another write', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--trim', 'exact', '--lease-ttl', '3s']
    await write(redis, 'stream:conversation:a', 100)
    const first = await startDaemon(t, [...args, '--watch'])
    await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
    // A burst between the terms of two leaders.
    await first.stop('SIGKILL')
    await write(redis, 'stream:conversation:b', 100)
    // The control: without the watch nothing trims it.
    const other = await startDaemon(t, [...args, '--watch=false', '--lease=false'])
    await other.waitForLog('listening')
    await pause(500)
    assert.equal(await redis.command('XLEN', 'stream:conversation:b'), 100)
    await startDaemon(t, [...args, '--watch'])
    await lengthBecomes(redis, 'stream:conversation:b', MAX_LENGTH)
  })

  test('entries written while Redis was unreachable are trimmed after reconnecting, without another write', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const proxy = await startProxy(t, redis.port)
    const daemon = await startWatching(t, proxy.url, ['--trim', 'exact'])
    await proxy.refuse()
    proxy.dropAll()
    await daemon.waitForLog('watch lost')
    await write(redis, 'stream:conversation:a', 100)
    await pause(1_500)
    assert.equal(await redis.command('XLEN', 'stream:conversation:a'), 100, 'the control: Redis is unreachable')
    await proxy.heal()
    await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
  })

  test('the watch archives what it removes; while the archive fails it removes nothing, and says so once', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const folder = temporaryFolder(t, 'archive')
    const key = 'stream:conversation:a'
    writeFileSync(join(folder, 'v1'), 'a file where the folder should be')
    const daemon = await startWatching(t, redis.url, ['--trim', 'exact', '--archive', `file://${folder}`])
    const failures = () => daemon.logs.filter(({ msg }) => msg === 'archive failed').length
    const page = async () => (await daemon.get('/')).text()
    await write(redis, key, 100)
    assert.equal((await daemon.waitForLog('archive failed')).cause, 'missing')
    // Writes that come later fail too.
    await write(redis, key, 50)
    await daemon.waitForMetric('xtrimd_archive_failures_total', { cause: 'missing' }, (n) => n >= 2)
    assert.deepEqual([await redis.command('XLEN', key), failures()], [150, 1])
    assert.match(await page(), /<dt>archive error<\/dt><dd>since .*could not store/)

    rmSync(join(folder, 'v1'))
    await write(redis, key, 10)
    await lengthBecomes(redis, key, MAX_LENGTH)
    await daemon.waitForMetric('xtrimd_archive_entries_total', {}, (entries) => entries === 160 - MAX_LENGTH)
    const stored = await readContents(new FileStore(folder))
    assert.equal(new Set(stored.map(({ id }) => id)).size, 160 - MAX_LENGTH)
    assert.doesNotMatch(await page(), /archive error/)
    assert.match(await page(), /<dt>removed by watch<\/dt><dd>140 entries in \d+ checks of a stream; 140 archived</)
  })

  test('a stream with a long backlog does not keep others waiting', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const proxy = await startProxy(t, redis.port)
    // A byte limit is trimmed node by node, which takes longest.
    const policy = ['--policy', 'stream:big:*,max-length=off,max-bytes=64kb', '--pace', '100', '--trim', 'exact']
    await startWatching(t, proxy.url, policy)
    proxy.delay(20)
    const big = 'stream:big:a'
    await fillStream(redis, big, { count: 200_000, from: await redisNow(redis), stepMs: 0, bytes: 10 })
    const left = async (): Promise<number> => Number(await redis.command('XLEN', big))
    await waitUntil(async () => (await left()) < 199_000, { timeoutMs: 60_000, what: 'the trim to start' })
    for (let i = 0; i < 3; i++) {
      await write(redis, 'stream:conversation:a', 100)
      await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
    }
    assert.ok((await left()) > 20_000, 'the control: the trim is still running')
  })

  test('while Redis is down, each reason is logged once, however often the watch reconnects', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const daemon = await startWatching(t, redis.url)
    await redis.kill()
    await daemon.waitForMetric('xtrimd_watch_lost_total', {}, (lost) => lost >= 6)
    const reasons = daemon.logs.filter(({ msg }) => msg === 'watch lost').map(({ reason }) => String(reason))
    assert.ok(reasons.length > 0)
    assert.deepEqual(reasons, [...new Set(reasons)])
  })

  test('if Redis does not report writes, the log says what to set, and the watch starts once it is set', async (t) => {
    const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Kx' } })
    const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--trim', 'exact', '--watch']
    const daemon = await startDaemon(t, args)
    const { cause, reason } = await daemon.waitForLog('watch lost')
    assert.equal(cause, 'other')
    const [, command = ''] =
      /report writes to streams: run (CONFIG SET notify-keyspace-events \w+)/.exec(String(reason)) ?? []
    assert.equal(await daemon.metric('xtrimd_watch_up'), 0)
    await redis.command(...command.split(' '))
    await daemon.waitForLog('watching')
    await write(redis, 'stream:conversation:a', 100)
    await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
    assert.match(
      String(await redis.command('CONFIG', 'GET', 'notify-keyspace-events')),
      /^(?=.*K)(?=.*x)(?=.*E)(?=.*t)/,
    )
  })

  test('the watch notices when notifications are turned off, and the status page says why', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const daemon = await startWatching(t, redis.url, ['--trim', 'exact'])
    await redis.command('CONFIG', 'SET', 'notify-keyspace-events', '')
    const lost = await daemon.waitForLog('watch lost')
    assert.equal(lost.reason, 'notify-keyspace-events was changed: Redis no longer reports writes')
    await daemon.waitForLog(({ reason }) => /^--watch: Redis does not report writes/.test(String(reason)))
    assert.equal(await daemon.metric('xtrimd_watch_up'), 0)
    const page = async (): Promise<string> => (await daemon.get('/')).text()
    assert.match(
      await page(),
      /<dt>watch error<\/dt><dd>--watch: Redis does not report writes to streams: run CONFIG SET/,
    )
    await write(redis, 'stream:conversation:a', 100)
    await pause(1_000)
    assert.equal(await redis.command('XLEN', 'stream:conversation:a'), 100, 'the control: writes go unheard')
    await redis.command('CONFIG', 'SET', 'notify-keyspace-events', 'Et')
    await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
    assert.doesNotMatch(await page(), /watch error/)

    // With --watch-configure, the watch turns them on again.
    const other = await startWatching(t, redis.url, ['--lease=false', '--watch-configure'])
    await redis.command('CONFIG', 'SET', 'notify-keyspace-events', '')
    await other.waitForLog('watch lost')
    await other.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
    assert.match(String(await redis.command('CONFIG', 'GET', 'notify-keyspace-events')), /^(?=.*E)(?=.*t)/)
  })

  test('--watch-configure turns notifications on and keeps those that were on; a dry run sets nothing', async (t) => {
    const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Kx' } })
    const flags = async (): Promise<string> =>
      ((await redis.command('CONFIG', 'GET', 'notify-keyspace-events')) as string[])[1] ?? ''
    const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--watch', '--watch-configure']
    const dry = await startDaemon(t, [...args, '--dry-run'])
    assert.match(
      String((await dry.waitForLog('watch lost')).reason),
      /notify-keyspace-events \w+; a dry run sets nothing$/,
    )
    assert.equal([...(await flags())].sort().join(''), 'Kx')
    const daemon = await startDaemon(t, args)
    await daemon.waitForLog('watching')
    assert.equal([...(await flags())].sort().join(''), 'EKtx')
    // Now that they are on, the dry run listens too, and writes nothing.
    await dry.waitForLog('watching')
    assert.equal((await daemon.stop()).code, 0)
    await write(redis, 'stream:conversation:a', 300)
    await dry.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === 300)
    assert.equal(await redis.command('XLEN', 'stream:conversation:a'), 300)
  })

  test('unread entries are kept, byte limits are enforced, and streams without a policy are left alone', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const policies = [
      ...['--policy', 'stream:read:*,protect=unread,trim=exact'],
      ...['--policy', 'stream:big:*,max-length=off,max-bytes=64kb'],
    ]
    const daemon = await startWatching(t, redis.url, policies)
    await write(redis, 'stream:read:a', 1)
    await redis.command('XGROUP', 'CREATE', 'stream:read:a', 'slow', '0')
    await write(redis, 'stream:read:a', 99)
    await write(redis, 'stream:big:a', 200, 1_000)
    await write(redis, 'other', 200)
    await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === 300)
    await waitUntil(async () => Number(await redis.command('MEMORY', 'USAGE', 'stream:big:a')) <= (64 + 4) * 1024, {
      timeoutMs: 60_000,
      what: 'the stream to be inside its byte limit',
    })
    await daemon.waitForMetric('xtrimd_entries_trimmed_total', { reason: 'bytes' }, (trimmed) => trimmed > 100)
    assert.equal((await streamIds(redis, 'stream:read:a')).length, 100, 'all entries are unread')
    assert.equal(await redis.command('XLEN', 'other'), 200)
    // The control: once read, the entries are removed.
    await redis.command('XREADGROUP', 'GROUP', 'slow', 'me', 'COUNT', '1000', 'STREAMS', 'stream:read:a', '>')
    await write(redis, 'stream:read:a', EVERY)
    await lengthBecomes(redis, 'stream:read:a', MAX_LENGTH)
  })

  test('only the leader watches, and its successor takes over', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const listeners = async (): Promise<number> =>
      Number(((await redis.command('PUBSUB', 'NUMSUB', '__keyevent@0__:xadd')) as [string, number])[1])
    const first = await startWatching(t, redis.url, ['--lease-ttl', '3s', '--trim', 'exact'])
    const args = ['--redis-url', redis.url, ...NO_SWEEPS, ...CAPPED, '--watch', '--trim', 'exact', '--lease-ttl', '3s']
    const second = await startDaemon(t, args)
    await second.waitForLog('another copy holds the lease')
    assert.equal(await listeners(), 1)
    await first.stop('SIGKILL')
    await second.waitForLog('watching')
    assert.equal(await listeners(), 1)
    await write(redis, 'stream:conversation:a', 50)
    await lengthBecomes(redis, 'stream:conversation:a', MAX_LENGTH)
    // A former leader stops listening.
    await redis.command('SET', 'xtrimd:lease', 'somebody')
    await waitUntil(async () => (await listeners()) === 0, { timeoutMs: 60_000, what: 'nobody to listen' })
  })

  test('losing the lease clears the streams that are waiting', async (t) => {
    const redis = await startRedis(t, { config: NOTIFYING })
    const daemon = await startWatching(t, redis.url, ['--lease-ttl', '3s', '--pace', '1'])
    const writeAll = "for i = 1, 5000 do for _ = 1, 30 do redis.call('XADD', KEYS[1] .. i, '*', 'a', 'b') end end"
    await redis.command('EVAL', writeAll, '1', 'stream:conversation:')
    // The control: at this pace they would wait for a long time.
    await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting > 1000)
    await redis.command('SET', 'xtrimd:lease', 'somebody')
    await daemon.waitForMetric('xtrimd_watch_waiting', {}, (waiting) => waiting === 0)
    assert.equal(await daemon.metric('xtrimd_leader'), 0)
    const removed = await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })
    assert.ok(removed < 50_000, `${removed} of 50,000 and more were removed`)
    assert.equal((await daemon.stop()).code, 0)
  })

  test('in a cluster every primary is watched, and after a failover the new one', async (t) => {
    const cluster = await startCluster(t, { config: NOTIFYING, withReplicas: true })
    const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...NO_SWEEPS, ...CAPPED, '--trim', 'exact']
    const daemon = await startDaemon(t, [...args, '--watch', '--lease=false'])
    await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
    const homes = new Map<number, string>()
    for (let i = 0; homes.size < 3; i++) {
      const key = `stream:conversation:${i}`
      homes.set(await cluster.homeOf(key), key)
    }
    for (const [home, key] of homes) {
      const primary = cluster.primaries[home] as RedisServer
      await write(primary, key, 100)
      await lengthBecomes(primary, key, MAX_LENGTH)
    }
    const surplus = 3 * (100 - MAX_LENGTH)
    await daemon.waitForMetric('xtrimd_entries_trimmed_total', { reason: 'length' }, (trimmed) => trimmed === surplus)

    const [gone, ...others] = cluster.primaries as [RedisServer, ...RedisServer[]]
    const [successor] = cluster.replicas as [RedisServer]
    await gone.kill()
    await daemon.waitForLog('watch lost')
    await cluster.untilServing([successor, ...others])
    await daemon.waitForLog(({ msg, address }) => msg === 'watching' && String(address).endsWith(`:${successor.port}`))
    const key = String(homes.get(0))
    await write(successor, key, 100)
    await lengthBecomes(successor, key, MAX_LENGTH)
    await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
    assert.equal((await daemon.stop()).code, 0)
  })

  test('in a cluster a stream that moves is watched on its new primary and forgotten on the old one', async (t) => {
    const cluster = await startCluster(t, { config: NOTIFYING })
    const [source, target, third] = cluster.primaries as [RedisServer, RedisServer, RedisServer]
    const mode = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', '--lease=false']
    const daemon = await startDaemon(t, [...mode, ...NO_SWEEPS, ...CAPPED, '--trim', 'exact', '--watch'])
    await daemon.waitForMetric('xtrimd_watch_up', {}, (up) => up === 1)
    let n = 0
    while ((await cluster.homeOf(`stream:conversation:${n}`)) !== 0) n++
    const key = `stream:conversation:${n}`
    const slot = await cluster.slotOf(key)
    await write(source, key, 100)
    await lengthBecomes(source, key, MAX_LENGTH)

    await openSlot(source, target, slot)
    await migrate(source, target, [key])
    const id = String(await target.command('CLUSTER', 'MYID'))
    for (const node of [target, source, third]) await node.command('CLUSTER', 'SETSLOT', String(slot), 'NODE', id)
    await write(target, key, 100)
    await lengthBecomes(target, key, MAX_LENGTH)

    // Remembered streams are looked at again, and this one has moved. If it was looked at while it moved, Redis said ASK.
    await source.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await daemon.waitForMetric('xtrimd_stream_errors_total', {}, (moved) => moved === 1)
    await pause(1_000)
    assert.equal(await daemon.metric('xtrimd_stream_errors_total'), 1)
    assert.equal(await daemon.metric('xtrimd_watch_lost_total'), 1, 'when it was killed')
    assert.equal(await daemon.metric('xtrimd_watch_up'), 1)
  })
})

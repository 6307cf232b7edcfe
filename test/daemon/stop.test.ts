/** A daemon that is asked to stop at inconvenient moments ends in time, logs its tally and releases the lease. */
import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { hasLogged, sweepLines } from '../harness/daemon_log.ts'
import { fillOverlong, goneFrom, SURPLUS } from '../harness/overlong_streams.ts'
import { type Daemon, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { startProxy, type TcpProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const LEASE = 'xtrimd:lease'
/** It waits two seconds for replies and one for the release of the lease. The rest allows for a busy machine. */
const IN_TIME_MS = 8_000

/** Asks the daemon to stop. @returns the log line of the running sweep, which it must have written */
async function stopped(daemon: Daemon): Promise<{ removed: number }> {
  // The control: the sweep has not ended by itself.
  assert.equal(sweepLines(daemon).length, 0, 'the sweep is running')
  const ended = await daemon.stop()
  assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, ''])
  assert.ok(ended.ms < IN_TIME_MS, `${ended.ms} ms`)
  assert.equal(daemon.logs.at(-1)?.msg, 'stopped')
  const [line, ...others] = sweepLines(daemon)
  assert.deepEqual([line?.level, line?.result, line?.cause, others], ['info', 'stopped', 'stop', []])
  const removed = Object.values(line?.removed ?? {}) as number[]
  return { removed: removed.reduce((sum, n) => sum + n, 0) }
}

/** How many bytes of replies have reached the daemon: in the handshake, the greeting, the lease, the first page, later ones. */
const MOMENTS = [0, 1, 10, 60, 600, 3_000, 6_000]

// Concurrent, because each test mostly waits.
suite('asked to stop', { concurrency: 3 }, () => {
  for (const [moment, lease] of [
    ['it asks for the lease', 'true'],
    ['a sweep connects', 'false'],
  ] as const) {
    test(`SIGTERM while ${moment} and Redis does not answer`, async (t) => {
      const redis = await startRedis(t)
      const proxy = await startProxy(t, redis.port)
      proxy.blackhole()
      const args = ['--redis-url', proxy.url, '--reply-timeout', '60s', `--lease=${lease}`]
      const daemon = await startDaemon(t, [...args, ...HARDLY_EVER])
      await waitUntil(() => proxy.accepted > 0, { timeoutMs: 60_000, what: 'it to connect' })
      assert.deepEqual(await stopped(daemon), { removed: 0 })
    })
  }

  test('SIGTERM in a pause of a slow pace', async (t) => {
    const redis = await startRedis(t)
    const { gone, surplus } = await fillMany(redis)
    const args = ['--redis-url', redis.url, '--pace', '1', '--page-size', '4']
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER])
    await waitUntil(async () => (await gone()) > 0, { timeoutMs: 60_000, what: 'the sweep to make progress' })
    const { removed } = await stopped(daemon)
    assert.equal(removed, await gone(), 'the pages in flight are counted')
    assert.ok(removed < surplus, 'the sweep did not finish')
    await assertReleased(daemon, redis)
  })

  test('SIGTERM between the bites of one huge stream', async (t) => {
    const redis = await startRedis(t)
    const count = 1_200_000
    const key = 'stream:conversation:huge'
    await fillStream(redis, key, { count, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 20 })
    const daemon = await startDaemon(t, ['--redis-url', redis.url, '--pace', '1', ...HARDLY_EVER])
    const gone = async () => count - Number(await redis.command('XLEN', key))
    await waitUntil(async () => (await gone()) > 0, { timeoutMs: 60_000, what: 'the first bite' })
    const { removed } = await stopped(daemon)
    assert.equal(removed, await gone())
    assert.ok(removed < count - 1_100, 'the stream was not trimmed to its end')
    await assertReleased(daemon, redis)
  })

  test('SIGTERM while Redis is frozen: the log says that the lease could not be released and will expire', async (t) => {
    const redis = await startRedis(t)
    const { gone, surplus } = await fillMany(redis)
    const args = [
      '--redis-url',
      redis.url,
      '--pace',
      '1',
      '--page-size',
      '4',
      '--reply-timeout',
      '60s',
      '--lease-ttl',
      '60s',
    ]
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER])
    await waitUntil(async () => (await gone()) > 0, { timeoutMs: 60_000, what: 'the sweep to make progress' })
    await redis.freeze()
    const { removed } = await stopped(daemon)
    assert.ok(hasLogged(daemon, 'could not release the lease: it will expire by itself'))
    await redis.thaw()
    const disappeared = await gone()
    assert.ok(removed <= disappeared && disappeared < surplus, `${removed} told, ${disappeared} gone`)
    assert.ok(Number(await redis.command('PTTL', LEASE)) > 0, 'it does expire')
  })

  test('SIGTERM while another copy holds the lease, which keeps it', async (t) => {
    const redis = await startRedis(t)
    await redis.command('SET', LEASE, 'another')
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER])
    await daemon.waitForLog('another copy holds the lease')
    const ended = await daemon.stop()
    assert.deepEqual([ended.code, ended.stderr, sweepLines(daemon)], [0, '', []])
    assert.ok(ended.ms < IN_TIME_MS)
    assert.equal(await redis.command('GET', LEASE), 'another')
  })

  test('SIGTERM at any moment of a sweep: the tallies of several daemons add up to what was removed', async (t) => {
    const redis = await startRedis(t)
    const { gone, surplus } = await fillMany(redis)
    const stops = await Promise.all(MOMENTS.map((replyBytes) => stopAt(t, redis, replyBytes)))
    const told = stops.reduce((sum, { removed }) => sum + removed, 0)
    assert.equal(told, await gone())
    assert.ok(told > 0 && told < surplus, `${told} of ${surplus}`)
    assert.deepEqual(await redis.command('KEYS', 'lease:*'), [])
  })
})

/** Each daemon has a lease key of its own, so that all of them sweep. */
async function stopAt(t: TestContext, redis: RedisServer, replyBytes: number): Promise<{ removed: number }> {
  const proxy: TcpProxy = await startProxy(t, redis.port)
  proxy.delay(40)
  const args = ['--redis-url', proxy.url, '--lease-key', `lease:${replyBytes}`, '--page-size', '4']
  const daemon = await startDaemon(t, [...args, ...HARDLY_EVER])
  const isThere = () => proxy.accepted > 0 && proxy.replyBytes >= replyBytes
  await waitUntil(isThere, { timeoutMs: 60_000, what: `${replyBytes} bytes of replies`, everyMs: 5 })
  return stopped(daemon)
}

async function assertReleased(daemon: Daemon, redis: RedisServer): Promise<void> {
  assert.ok(hasLogged(daemon, 'acquired the lease') && hasLogged(daemon, 'released the lease'))
  assert.equal(await redis.command('EXISTS', LEASE), 0)
}

/** More streams than a slow sweep can see, each two nodes over its limit. */
async function fillMany(redis: RedisServer): Promise<{ surplus: number; gone(): Promise<number> }> {
  const keys = Array.from({ length: 200 }, (_, stream) => `stream:conversation:${stream}`)
  await fillOverlong(redis, keys)
  return { surplus: SURPLUS * keys.length, gone: () => goneFrom(redis, keys) }
}

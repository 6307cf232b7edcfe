/** Memory that fills up between sweeps. With TEST_PRESSURE_FULL=1 the writer also starts on an empty Redis. */

import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Daemon, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'

const MB = 1024 * 1024
/** A Redis that the writer would fill in 20 s. */
const MAX_MEMORY = 64 * MB
const FULL = { maxmemory: String(MAX_MEMORY), 'maxmemory-policy': 'noeviction' }
const FILLS_IN_S = 20
const STREAMS = 100
const PREFIX = 'stream:conversation:'
const ENTRY_BYTES = 10_300

/** Writes to a hundred streams at an even rate. @returns how many writes Redis refused because it was out of memory */
async function fill(redis: RedisServer, seconds: number, prefix = PREFIX): Promise<number> {
  const perSecond = MAX_MEMORY / FILLS_IN_S / ENTRY_BYTES
  let refused = 0
  let written = 0
  const begun = performance.now()
  while (performance.now() - begun < seconds * 1_000) {
    const due = Math.floor(((performance.now() - begun) / 1_000) * perSecond) - written
    refused += await write(redis, Math.max(0, due), written, prefix)
    written += Math.max(0, due)
    await pause(20)
  }
  return refused
}

/** @returns how many of the writes were refused */
async function write(redis: RedisServer, count: number, from = 0, prefix = PREFIX): Promise<number> {
  const value = 'x'.repeat(10_000)
  const writes = Array.from({ length: count }, (_, i) =>
    redis.command('XADD', `${prefix}${(from + i) % STREAMS}`, '*', 'body', value).then(
      () => 0,
      (error: Error) => {
        assert.match(error.message, /^OOM/)
        return 1
      },
    ),
  )
  return (await Promise.all(writes)).reduce((sum, one) => sum + one, 0)
}

/** Keys whose memory no trim can free. */
async function fillOtherwise(redis: RedisServer, megabytes: number): Promise<void> {
  for (let i = 0; i < megabytes; i++) await redis.command('SET', `other:${i}`, 'x'.repeat(MB - 100))
}

async function startGuarded(t: TestContext, redis: RedisServer, args: readonly string[]): Promise<Daemon> {
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER, '--max-length', '1000', ...args])
  await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'success')
  return daemon
}

// Concurrent, because each test mostly waits.
suite('Redis fills up', { concurrency: 3 }, () => {
  /** How full Redis is when the writer starts, and how long it writes: longer than Redis has room for. */
  const beginnings = [
    { name: 'in a Redis that was quiet at 60 %', before: 0.6, seconds: 12 },
    ...(process.env.TEST_PRESSURE_FULL ? [{ name: 'in an empty Redis', before: 0, seconds: 2 * FILLS_IN_S }] : []),
  ]
  for (const { name, before, seconds } of beginnings) {
    const quiet = async (redis: RedisServer): Promise<void> => {
      await write(redis, (before * MAX_MEMORY) / ENTRY_BYTES)
      // At first memory is read more often than every second. By now the time between readings has reached its maximum.
      await pause(before > 0 ? 4_000 : 0)
    }

    test(`${name} --pressure sweeps in time for every XADD to succeed, long before the next scheduled sweep`, async (t) => {
      const redis = await startRedis(t, { config: FULL })
      const daemon = await startGuarded(t, redis, ['--pressure', '80%', '--pressure-max-length', '20'])
      await quiet(redis)
      assert.equal(await daemon.metric('xtrimd_pressure_sweeps_total'), 0)
      assert.equal(await fill(redis, seconds), 0)
      const sweeps = await daemon.metric('xtrimd_pressure_sweeps_total')
      assert.ok(sweeps >= 1, `${sweeps}`)
      const { usedBytes, threshold } = await daemon.waitForLog('memory pressure')
      assert.ok(Number(usedBytes) > 0.8 * MAX_MEMORY && Math.abs(Number(threshold) - 0.8 * MAX_MEMORY) < 1)
      const line = await daemon.waitForLog(({ msg, trigger }) => msg === 'sweep' && trigger === 'pressure')
      assert.equal(line.result, 'success')
      assert.equal((await daemon.stop()).code, 0)
    })

    test(`control: ${name} Redis refuses writes without --pressure`, async (t) => {
      const redis = await startRedis(t, { config: FULL })
      const daemon = await startGuarded(t, redis, [])
      await quiet(redis)
      assert.ok((await fill(redis, seconds)) > 0)
      assert.equal(await daemon.metric('xtrimd_pressure_sweeps_total'), 0)
    })
  }

  test('in a cluster every XADD succeeds while all primaries fill up', async (t) => {
    const cluster = await startCluster(t, { config: FULL })
    const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...HARDLY_EVER]
    const daemon = await startDaemon(t, [...args, '--pressure', '80%', '--pressure-max-length', '20'])
    await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'success')
    const refused = cluster.primaries.map(async (primary, place) => {
      let tag = 0
      while ((await cluster.homeOf(`{${tag}}`)) !== place) tag++
      const prefix = `${PREFIX}{${tag}}:`
      await write(primary, (0.6 * MAX_MEMORY) / ENTRY_BYTES, 0, prefix)
      return fill(primary, 12, prefix)
    })
    assert.deepEqual(await Promise.all(refused), [0, 0, 0])
    const sweeps = await daemon.metric('xtrimd_pressure_sweeps_total')
    assert.ok(sweeps >= 1, `${sweeps}`)
  })

  const DOES_NOT_HELP = 'memory stays above --pressure although streams are trimmed'

  test('after sweeps that did not help, a burst is still trimmed in time', async (t) => {
    const redis = await startRedis(t, { config: FULL })
    await fillOtherwise(redis, 51)
    const daemon = await startGuarded(t, redis, ['--pressure', '80%', '--pressure-max-length', '5'])
    await daemon.waitForLog(DOES_NOT_HELP)
    // Without growth the next sweep would come later than the writer needs to fill the rest.
    assert.equal(await fill(redis, 8), 0)
    assert.ok((await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })) > 500)
  })

  test('if trimming does not help, sweeps become rarer and the log says so, even if each sweep finds a few entries', async (t) => {
    const redis = await startRedis(t, { config: FULL })
    await fillOtherwise(redis, 55)
    const limits = ['--pressure', '80%', '--pressure-interval', '200ms', '--pressure-max-length', '10']
    const daemon = await startGuarded(t, redis, limits)
    const told = daemon.waitForLog(DOES_NOT_HELP)
    const trickle = async (ms: number): Promise<void> => {
      for (const end = performance.now() + ms; performance.now() < end; await pause(20))
        await redis.command('XADD', 'stream:conversation:1', '*', 'body', 'x'.repeat(1_000))
    }
    await trickle(3_500)
    const said = await told
    assert.equal(said.level, 'warn')
    const sweeps = await daemon.metric('xtrimd_pressure_sweeps_total')
    // At one sweep every 200 ms there would be more than 15. Doubling the wait allows at most 5 in this time.
    assert.ok(sweeps >= 2 && sweeps <= 6, `${sweeps}`)
    assert.ok(
      (await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'length' })) > 50,
      'the trickle was trimmed',
    )
    assert.equal(daemon.logs.filter(({ msg }) => msg === said.msg).length, 1, 'said once')
    // Once memory has been freed and fills up again, it sweeps at once.
    for (let i = 0; i < 55; i++) await redis.command('DEL', `other:${i}`)
    await daemon.waitForMetric('xtrimd_redis_memory_used_bytes', {}, (bytes) => bytes < MAX_MEMORY / 4)
    const before = await daemon.metric('xtrimd_pressure_sweeps_total')
    await fillOtherwise(redis, 55)
    await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (now) => now > before)
  })

  for (const { name, user, args } of [
    { name: 'where Redis refuses the sweep', user: ['-xtrim'], args: [] },
    { name: 'in a dry run', user: [], args: ['--dry-run'] },
  ]) {
    test(`${name} the log does not say that trimming does not help`, async (t) => {
      const redis = await startRedis(t)
      for (let i = 0; i < 300; i++)
        await redis.command('XADD', 'stream:conversation:1', '*', 'body', 'x'.repeat(20_000))
      await redis.command('ACL', 'SETUSER', 'limited', 'on', '>pass', '~*', '&*', '+@all', ...user)
      const url = redis.url.replace('redis://', 'redis://limited:pass@')
      const limits = ['--max-length', '10', '--pressure', '5mb', '--pressure-interval', '200ms']
      const daemon = await startDaemon(t, [
        '--redis-url',
        url,
        ...HARDLY_EVER,
        '--run-on-start=false',
        ...limits,
        ...args,
      ])
      await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps >= 2)
      const line = await daemon.waitForLog('sweep')
      assert.deepEqual([line.trigger, line.cause], ['pressure', user.length > 0 ? 'NOPERM' : undefined])
      assert.equal(Number(await redis.command('XLEN', 'stream:conversation:1')), 300)
      assert.doesNotMatch(daemon.stdout, /although streams are trimmed/)
      assert.doesNotMatch(await (await daemon.get('/')).text(), /does not free enough/)
    })
  }

  test('in a cluster, growth is measured from the memory after the last sweep of the same primary', async (t) => {
    const cluster = await startCluster(t)
    const [first] = cluster.primaries as [RedisServer]
    let key = 'stream:conversation:0'
    for (let i = 0; (await cluster.homeOf(key)) !== 0; i++) key = `stream:conversation:${i}`
    const write = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await first.command('XADD', key, '*', 'body', 'x'.repeat(10_000))
    }
    await write(600)
    // Above the threshold even after trimming everything, and far above the other primaries.
    await first.command('SETRANGE', `{${key}}`, String(10 * MB), 'x')
    const threshold = (await first.usedMemory()) - 6_500_000
    const memories = await Promise.all(cluster.primaries.map((primary) => primary.usedMemory()))
    const before = memories.reduce((sum, used) => sum + used)
    const pressure = ['--pressure', `${threshold}b`, '--pressure-max-length', '10', '--pressure-interval', '1m']
    const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...HARDLY_EVER, '--run-on-start=false']
    const daemon = await startDaemon(t, [...args, ...pressure])
    await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps === 1)
    await daemon.waitForMetric('xtrimd_redis_memory_used_bytes', {}, (used) => used < before - 5_000_000)
    assert.ok((await first.usedMemory()) > threshold, 'memory is still above the threshold')
    await write(50)
    await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps === 2)
  })

  test('a percentage without a maxmemory is logged as an error that says what to do; a size needs no maxmemory', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startGuarded(t, redis, ['--pressure', '80%', '--pressure-interval', '200ms'])
    const { level } = await daemon.waitForLog(
      '--pressure is a percentage of maxmemory, but Redis has no maxmemory: set one, or give a size such as 2gb',
    )
    assert.equal(level, 'error')
    const sized = await startGuarded(t, redis, ['--pressure', '10mb', '--pressure-interval', '200ms', '--lease=false'])
    assert.equal(await sized.metric('xtrimd_pressure_sweeps_total'), 0)
    await redis.command('SET', 'other', 'x'.repeat(12 * 1024 * 1024))
    await sized.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps > 0)
    assert.doesNotMatch(sized.stdout, /not below maxmemory/)
    // As large as maxmemory, so memory would never pass it.
    await redis.command('CONFIG', 'SET', 'maxmemory', '10mb')
    const { maxBytes } = await sized.waitForLog(
      '--pressure is not below maxmemory: Redis refuses writes before memory reaches it',
    )
    assert.equal(maxBytes, 10 * MB)
  })

  test('in a cluster only the primaries under pressure are trimmed to the tighter length', async (t) => {
    const cluster = await startCluster(t)
    const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...HARDLY_EVER]
    const pressure = ['--pressure', '80%', '--pressure-max-length', '100', '--pressure-interval', '200ms']
    const [first] = cluster.primaries as [RedisServer]
    for (const primary of cluster.primaries) await primary.command('CONFIG', 'SET', 'maxmemory', '100mb')
    const homes = new Map<number, string>()
    for (let i = 0; homes.size < 3; i++) {
      const key = `stream:conversation:${i}`
      homes.set(await cluster.homeOf(key), key)
    }
    for (const [home, key] of homes) {
      for (let i = 0; i < 500; i++) await cluster.primaries[home]?.command('XADD', key, '*', 'body', 'x'.repeat(1_000))
    }
    const daemon = await startDaemon(t, [...args, ...pressure])
    assert.equal((await daemon.waitForLog('sweep')).result, 'success')
    const success = await daemon.metric('xtrimd_last_success_timestamp_seconds')
    await first.command('CONFIG', 'SET', 'maxmemory', String((await first.usedMemory()) + 100_000))
    const line = await daemon.waitForLog(({ msg, trigger }) => msg === 'sweep' && trigger === 'pressure')
    assert.equal(line.result, 'success')
    for (const [home, key] of homes) {
      const length = Number(await cluster.primaries[home]?.command('XLEN', key))
      if (home === 0) assert.ok(length < 200, `${length}`)
      else assert.equal(length, 500)
    }
    assert.equal(await daemon.metric('xtrimd_entries'), 1_500, 'as the last complete sweep saw them')
    assert.equal(await daemon.metric('xtrimd_last_success_timestamp_seconds'), success)
  })
})

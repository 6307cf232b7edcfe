/** Memory that fills up between sweeps. TEST_PRESSURE_FULL=1 takes the slow writer and the default interval. */

import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { PressureGauge, thresholdBytes } from '../src/retention/pressure.ts'
import { type Daemon, HARDLY_EVER, startDaemon } from './harness/program.ts'
import { startCluster } from './harness/redis_cluster.ts'
import { type RedisServer, startRedis } from './harness/redis_server.ts'

const IS_FULL = Boolean(process.env.TEST_PRESSURE_FULL)
/** How long the writer would need to fill Redis, and how long it is let write. */
const FILLS_IN_S = IS_FULL ? 20 : 10
const WRITES_S = 2 * FILLS_IN_S
const INTERVAL = IS_FULL ? [] : ['--pressure-interval', '2s']

const MAX_MEMORY = 64 * 1024 * 1024
const FULL = { maxmemory: String(MAX_MEMORY), 'maxmemory-policy': 'noeviction' }

/** Writes to a hundred streams at an even rate. @returns how many writes Redis refused for want of memory */
async function fill(redis: RedisServer): Promise<number> {
  const value = 'x'.repeat(10_000)
  const perSecond = MAX_MEMORY / FILLS_IN_S / 10_300
  let refused = 0
  let written = 0
  const begun = performance.now()
  while (performance.now() - begun < WRITES_S * 1_000) {
    const due = Math.floor(((performance.now() - begun) / 1_000) * perSecond) - written
    const writes = Array.from({ length: Math.max(0, due) }, (_, i) =>
      redis.command('XADD', `stream:conversation:${(written + i) % 100}`, '*', 'body', value).catch((error: Error) => {
        assert.match(error.message, /^OOM/)
        refused++
      }),
    )
    written += writes.length
    await Promise.all(writes)
    await pause(20)
  }
  return refused
}

async function startGuarded(t: TestContext, redis: RedisServer, args: readonly string[]): Promise<Daemon> {
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER, '--max-length', '1000', ...args])
  assert.equal((await daemon.waitForLog('sweep')).result, 'success')
  return daemon
}

// Each waits most of the time.
suite('Redis fills up', { concurrency: 3 }, () => {
  test('no XADD is refused while --pressure sweeps, though nothing else would for a long time', async (t) => {
    const redis = await startRedis(t, { config: FULL })
    const daemon = await startGuarded(t, redis, ['--pressure', '80%', '--pressure-max-length', '20', ...INTERVAL])
    assert.equal(await fill(redis), 0)
    const sweeps = await daemon.metric('xtrimd_pressure_sweeps_total')
    assert.ok(sweeps >= 1, `${sweeps}`)
    const { usedBytes, threshold } = await daemon.waitForLog('memory pressure')
    assert.ok(Number(usedBytes) > 0.8 * MAX_MEMORY && Math.abs(Number(threshold) - 0.8 * MAX_MEMORY) < 1)
    const line = await daemon.waitForLog(({ msg, trigger }) => msg === 'sweep' && trigger === 'pressure')
    assert.equal(line.result, 'success')
    assert.equal((await daemon.stop()).code, 0)
  })

  test('the control: without --pressure the same writer is refused', async (t) => {
    const redis = await startRedis(t, { config: FULL })
    const daemon = await startGuarded(t, redis, [])
    assert.ok((await fill(redis)) > 0)
    assert.equal(await daemon.metric('xtrimd_pressure_sweeps_total'), 0)
  })

  test('where trimming cannot help it is tried ever less often, and said', async (t) => {
    const redis = await startRedis(t, { config: FULL })
    for (let i = 0; i < 60; i++) await redis.command('SET', `other:${i}`, 'x'.repeat(1024 * 1024 - 100))
    const daemon = await startGuarded(t, redis, ['--pressure', '80%', '--pressure-interval', '200ms'])
    const said = await daemon.waitForLog('memory stays above --pressure, and trimming has nothing left to remove')
    assert.equal(said.level, 'warn')
    await pause(3_000)
    const sweeps = await daemon.metric('xtrimd_pressure_sweeps_total')
    // Every 200 ms it would be more than 15; doubling from there it is at most 5 in these three seconds.
    assert.ok(sweeps >= 2 && sweeps <= 6, `${sweeps}`)
    assert.equal(daemon.logs.filter(({ msg }) => msg === said.msg).length, 1, 'said once')
    // Once there is room and it is used up again, it sweeps again at once.
    for (let i = 0; i < 60; i++) await redis.command('DEL', `other:${i}`)
    await daemon.waitForMetric('xtrimd_redis_memory_used_bytes', {}, (bytes) => bytes < MAX_MEMORY / 4)
    const before = await daemon.metric('xtrimd_pressure_sweeps_total')
    for (let i = 0; i < 60; i++) await redis.command('SET', `other:${i}`, 'x'.repeat(1024 * 1024 - 100))
    await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (now) => now > before)
  })

  for (const { name, user, args } of [
    { name: 'where Redis refuses the sweep', user: ['-xtrim'], args: [] },
    { name: 'in a dry run', user: [], args: ['--dry-run'] },
  ]) {
    test(`${name} nobody says that there is nothing left to remove`, async (t) => {
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
      assert.doesNotMatch(daemon.stdout, /nothing left to remove/)
      assert.doesNotMatch(await (await daemon.get('/')).text(), /nothing left to remove/)
    })
  }

  test('in a cluster, what memory is behind a sweep is what it grows from', async (t) => {
    const cluster = await startCluster(t)
    const [first] = cluster.primaries as [RedisServer]
    let key = 'stream:conversation:0'
    for (let i = 0; (await cluster.homeOf(key)) !== 0; i++) key = `stream:conversation:${i}`
    const write = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await first.command('XADD', key, '*', 'body', 'x'.repeat(10_000))
    }
    await write(600)
    // Above the threshold also when all is trimmed that can be, and far above the other primaries.
    await first.command('SETRANGE', `{${key}}`, String(10 * MB), 'x')
    const threshold = (await first.usedMemory()) - 6_500_000
    const memories = await Promise.all(cluster.primaries.map((primary) => primary.usedMemory()))
    const before = memories.reduce((sum, used) => sum + used)
    const pressure = ['--pressure', `${threshold}b`, '--pressure-max-length', '10', '--pressure-interval', '1m']
    const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...HARDLY_EVER, '--run-on-start=false']
    const daemon = await startDaemon(t, [...args, ...pressure])
    await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps === 1)
    await daemon.waitForMetric('xtrimd_redis_memory_used_bytes', {}, (used) => used < before - 5_000_000)
    assert.ok((await first.usedMemory()) > threshold, 'it is above still')
    await write(50)
    await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps === 2)
  })

  test('a share of a maxmemory that there is not is an error that says what to do; a size needs none', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startGuarded(t, redis, ['--pressure', '80%', '--pressure-interval', '200ms'])
    const { level } = await daemon.waitForLog(
      '--pressure is a share of maxmemory, and Redis has none: set it, or give a size such as 2gb',
    )
    assert.equal(level, 'error')
    const sized = await startGuarded(t, redis, ['--pressure', '10mb', '--pressure-interval', '200ms', '--lease=false'])
    assert.equal(await sized.metric('xtrimd_pressure_sweeps_total'), 0)
    await redis.command('SET', 'other', 'x'.repeat(12 * 1024 * 1024))
    await sized.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps > 0)
  })

  test('in a cluster only the primaries under pressure are held to the tighter length', async (t) => {
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
    assert.equal(await daemon.metric('xtrimd_entries'), 1_500, 'as the last whole sweep saw them')
    assert.equal(await daemon.metric('xtrimd_last_success_timestamp_seconds'), success)
  })
})

const MB = 1024 * 1024

test('the gauge: below is calm, above sweeps, and again when there is something new to trim', () => {
  const gauge = new PressureGauge(10_000)
  assert.equal(gauge.judge(50 * MB, 80 * MB, 0).judgement, 'calm')
  assert.equal(gauge.judge(81 * MB, 80 * MB, 1_000).judgement, 'sweep')
  gauge.swept(80.5 * MB, 100, 1_100)
  assert.equal(gauge.judge(81 * MB, 80 * MB, 1_200).judgement, 'wait')
  assert.equal(gauge.judge(82.5 * MB, 80 * MB, 1_300).judgement, 'sweep', 'two percent more')
  gauge.swept(81 * MB, 0, 1_400)
  assert.ok(gauge.isHelpless)
  assert.equal(gauge.judge(99 * MB, 80 * MB, 1_500).judgement, 'wait')
  assert.equal(gauge.judge(99 * MB, 80 * MB, 1_400 + 20_000).judgement, 'sweep')
  gauge.swept(99 * MB, 0, 30_000)
  assert.equal(gauge.judge(99 * MB, 80 * MB, 30_000 + 39_999).judgement, 'wait')
  assert.equal(gauge.judge(99 * MB, 80 * MB, 30_000 + 40_000).judgement, 'sweep')
  // One that failed tells nothing of what there is to remove, and puts nothing off.
  gauge.swept(99 * MB, null, 75_000)
  assert.equal(gauge.judge(99 * MB, 80 * MB, 75_000 + 39_999).judgement, 'wait')
  assert.equal(gauge.judge(99 * MB, 80 * MB, 75_000 + 40_000).judgement, 'sweep')
  // At the threshold it is not over; well below it is.
  gauge.swept(99 * MB, 0, 120_000)
  gauge.judge(79 * MB, 80 * MB, 120_100)
  assert.equal(gauge.judge(81 * MB, 80 * MB, 120_200).judgement, 'wait')
  gauge.judge(70 * MB, 80 * MB, 120_300)
  assert.equal(gauge.isHelpless, false)
  assert.equal(gauge.judge(81 * MB, 80 * MB, 120_400).judgement, 'sweep')
})

test('the gauge looks again at the interval at the latest, and sooner where memory grows fast', () => {
  const gauge = new PressureGauge(10_000)
  let atMs = 0
  for (let i = 0; i < 10; i++) atMs += gauge.judge(10 * MB, 80 * MB, atMs).nextMs
  assert.equal(gauge.judge(10 * MB, 80 * MB, atMs).nextMs, 10_000)
  // 10 MB in 10 s: 60 MB to go take a minute.
  assert.equal(gauge.judge(20 * MB, 80 * MB, atMs + 10_000).nextMs, 10_000)
  // 40 MB in 10 s: the 20 MB to go take 5 s, half of which is waited.
  assert.equal(gauge.judge(60 * MB, 80 * MB, atMs + 20_000).nextMs, 2_500)
})

test('the threshold is a share of the maximum, or a size', () => {
  assert.equal(thresholdBytes({ share: 0.8 }, { usedBytes: 1, maxBytes: 100 }), 80)
  assert.equal(thresholdBytes({ share: 0.8 }, { usedBytes: 1, maxBytes: 0 }), null)
  assert.equal(thresholdBytes({ bytes: 70 }, { usedBytes: 1, maxBytes: 0 }), 70)
})

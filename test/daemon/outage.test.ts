/** An outage of Redis costs sweeps, never the process. */

import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { parseExposition, sumOf } from '../harness/exposition.ts'
import { temporaryFolder } from '../harness/files.ts'
import { EVERY_SECOND, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { sweepWell } from '../harness/sweep_once.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:1'

// Concurrent, because each test mostly waits for ticks.
suite('an outage of Redis', { concurrency: 3 }, () => {
  test('while Redis is down its sweeps fail and are counted, and afterwards the same process sweeps again', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)
    // The control: while Redis is there, nothing fails.
    assert.equal(await daemon.metric('xtrimd_sweep_failures_total'), 0)

    await redis.kill()
    await daemon.waitForMetric('xtrimd_sweep_failures_total', { cause: 'connect' }, (failures) => failures >= 2)
    assert.equal(await daemon.metric('xtrimd_redis_up'), 0)
    const series = parseExposition(await daemon.metrics())
    assert.equal(
      sumOf(series, 'xtrimd_sweeps_total', { result: 'failed' }),
      sumOf(series, 'xtrimd_sweep_failures_total', { cause: 'connect' }),
    )
    const failed = await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'failed')
    assert.deepEqual([failed.level, failed.cause], ['error', 'connect'])
    assert.match(String(failed.reason), new RegExp(`127\\.0\\.0\\.1:${redis.port}.*ECONNREFUSED`))
    for (const probe of ['/healthz', '/readyz']) assert.equal((await daemon.get(probe)).status, 200)

    await redis.restart()
    await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
    await daemon.waitForMetric('xtrimd_entries_trimmed_total', { reason: 'length' }, (trimmed) => trimmed === 2_000)
    await daemon.waitForMetric('xtrimd_redis_up', {}, (up) => up === 1)
    assert.equal((await daemon.stop()).code, 0)
  })

  test('while Redis is frozen each sweep ends at the reply deadline, and afterwards the same process sweeps again', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--reply-timeout', '1s'])
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 1)

    await redis.freeze()
    const from = daemon.logs.length
    await daemon.waitForMetric('xtrimd_sweep_failures_total', { cause: 'timeout' }, (failures) => failures >= 3)
    for (const probe of ['/healthz', '/readyz']) assert.equal((await daemon.get(probe)).status, 200)
    await redis.thaw()

    await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
    await daemon.waitForMetric('xtrimd_entries_trimmed_total', { reason: 'length' }, (trimmed) => trimmed === 2_000)
    const timedOut = daemon.logs.slice(from).filter(({ msg, cause }) => msg === 'sweep' && cause === 'timeout')
    assert.ok(timedOut.length >= 3)
    for (const { durationSeconds, result } of timedOut) {
      assert.equal(result, 'failed')
      // One deadline to connect and one for the first reply. The rest allows for a busy machine.
      assert.ok(Number(durationSeconds) >= 0.99 && Number(durationSeconds) < 10, `${durationSeconds} s`)
    }
  })

  test('a network that swallows replies in the middle of a sweep costs that sweep, and what it did is counted', async (t) => {
    const redis = await startRedis(t)
    const { proxy, args, surplus, gone } = await prepareSlowSweep(t, redis)
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER, '--reply-timeout', '2s', '--lease=false'])
    // By then the first trims have been counted too.
    await waitUntil(async () => (await gone()) > surplus / 20, {
      timeoutMs: 60_000,
      what: 'the sweep to make progress',
    })
    proxy.swallowReplies()

    const line = await daemon.waitForLog('sweep')
    assert.deepEqual([line.result, line.cause], ['failed', 'timeout'])
    const removed = (line.removed as { length: number }).length
    const disappeared = await gone()
    // Trims whose reply did not arrive are not counted: at most those of the pages in flight.
    assert.ok(removed > 0 && removed <= disappeared && disappeared < surplus, `${removed} counted, ${disappeared} gone`)
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total'), removed)
  })

  test('after a password change sweeps fail until the password file has the new password', async (t) => {
    const folder = temporaryFolder(t, 'outage')
    const file = join(folder, 'password')
    await writeFile(file, 'first\n')
    const redis = await startRedis(t, { config: { requirepass: 'first' } })
    const daemon = await startDaemon(t, ['--redis-url', redis.url, '--redis-password-file', file, ...EVERY_SECOND])
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 1)

    await redis.command('CONFIG', 'SET', 'requirepass', 'second')
    await daemon.waitForMetric('xtrimd_sweep_failures_total', { cause: 'WRONGPASS' }, (failures) => failures >= 1)
    await rm(file)
    await daemon.waitForMetric('xtrimd_sweep_failures_total', { cause: 'connect' }, (failures) => failures >= 1)
    const line = await daemon.waitForLog(({ msg, cause }) => msg === 'sweep' && cause === 'connect')
    assert.equal(line.reason, '--redis-password-file: must be a readable file (ENOENT)')

    await writeFile(file, 'second')
    await daemon.waitForSuccesses(1)
    assert.doesNotMatch(daemon.stdout, /first|second/)
  })

  test('trimming works while Redis is out of memory', async (t) => {
    const redis = await startRedis(t)
    const now = await redisNow(redis)
    const filling = { count: 5_000, stepMs: 1, bytes: 10 }
    await fillStream(redis, 'stream:conversation:long', { ...filling, from: now - HOUR })
    await fillStream(redis, 'stream:conversation:old', { ...filling, from: now - 48 * HOUR })
    // A group whose position is known, so that every bite counts the entries it had not read.
    await redis.command('XGROUP', 'CREATE', 'stream:conversation:long', 'group', '0')
    const read = ['GROUP', 'group', 'me', 'COUNT', '4500', 'NOACK', 'STREAMS', 'stream:conversation:long', '>']
    await redis.command('XREADGROUP', ...read)
    await redis.command('CONFIG', 'SET', 'maxmemory', '100kb')
    // The control: producers cannot write.
    const write = () => redis.command('XADD', KEY, '*', 'a', 'b')
    await assert.rejects(write, /^Error: OOM/)

    for (const args of [
      ['--protect', 'none', '--max-length', '3000'],
      ['--protect', 'unacked', '--max-length', '2000'],
      ['--protect', 'unread', '--max-length', '1000', '--trim', 'exact', '--delete-empty'],
    ]) {
      const report = await sweepWell(redis.url, args)
      assert.equal(report.removed.length, args.includes('3000') ? 2_000 : 1_000)
    }
    assert.equal(await redis.command('XLEN', 'stream:conversation:long'), 1_000)
    assert.equal(await redis.command('XLEN', 'stream:conversation:old'), 0)
    await assert.rejects(write, /^Error: OOM/)
  })
})

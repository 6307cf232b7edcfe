/** How the daemon ends. */

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { sweepLines } from '../harness/daemon_log.ts'
import { assertToldAs } from '../harness/faults.ts'
import { readOutput } from '../harness/output.ts'
import { type Daemon, EVERY_SECOND, HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { waitUntil } from '../harness/waiting.ts'

// Concurrent, because each test mostly waits.
suite('the end of a daemon', { concurrency: 3 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`${signal} ends an idle daemon with exit code 0`, async (t) => {
      const redis = await startRedis(t)
      const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER])
      await daemon.waitForLog('sweep')
      const ended = await daemon.stop(signal)
      assert.deepEqual([ended.code, ended.signal, ended.stderr], [0, null, ''])
      assert.ok(ended.ms < 10_000)
      assert.equal(daemon.logs.at(-1)?.msg, 'stopped')
      assert.equal(sweepLines(daemon).length, 1)
    })

    test(`${signal} while Redis is frozen ends a daemon well within 10 s, with exit code 0 and a tally`, async (t) => {
      const redis = await startRedis(t)
      const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--reply-timeout', '60s'])
      await daemon.waitForLog('sweep')
      await redis.freeze()
      // The control: nothing else ends the sweep, which is still running two ticks later.
      await untilSkipping(daemon)

      const ended = await daemon.stop(signal)
      assert.deepEqual([ended.code, ended.signal], [0, null])
      assert.ok(ended.ms < 8_000, `${ended.ms} ms`)
      const last = sweepLines(daemon).at(-1)
      assert.deepEqual([last?.result, last?.cause], ['stopped', 'stop'])
      assert.deepEqual(last?.removed, { age: 0, length: 0, bytes: 0, acked: 0 })
    })

    test(`a second ${signal} ends a stopping daemon at once, with the signal's exit code`, async (t) => {
      const redis = await startRedis(t)
      const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--reply-timeout', '60s'])
      await daemon.waitForLog('sweep')
      await redis.freeze()
      await untilSkipping(daemon)
      process.kill(daemon.pid, signal)
      await daemon.waitForLog('stopping')
      const ended = await daemon.stop(signal)
      assert.equal(ended.code, signal === 'SIGTERM' ? 143 : 130)
      assert.doesNotMatch(ended.stdout, /"stopped"/)
    })
  }

  test('a sweep that is asked to stop starts no new page, and counts the pages in flight', async (t) => {
    const redis = await startRedis(t)
    const { args, surplus, gone } = await prepareSlowSweep(t, redis)
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER])
    await waitUntil(async () => (await gone()) > 0, { timeoutMs: 60_000, what: 'the sweep to make progress' })

    const ended = await daemon.stop()

    assert.equal(ended.code, 0)
    const line = await daemon.waitForLog('sweep')
    assertToldAs('SIGTERM or SIGINT', line)
    assert.equal(line.level, 'info')
    const disappeared = await gone()
    assert.deepEqual(line.removed, { age: 0, length: disappeared, bytes: 0, acked: 0 })
    assert.ok(disappeared < surplus, 'the sweep did not finish')
  })

  test('SIGTERM in the middle of `xtrimd sweep`: it reports what it did, and that it was stopped', async (t) => {
    const redis = await startRedis(t)
    const { args, surplus, gone } = await prepareSlowSweep(t, redis)
    const madeProgress = waitUntil(async () => (await gone()) > 0, {
      timeoutMs: 60_000,
      what: 'the sweep to make progress',
    })
    const { code, signal, stdout } = await runXtrimd(['sweep', '--output', 'json', ...args], {
      stopAfter: madeProgress,
    })
    const report = readOutput('sweep', stdout)
    assert.deepEqual([code, signal, report.result, report.cause], [1, null, 'stopped', 'stop'])
    const disappeared = await gone()
    assert.deepEqual(report.removed, { age: 0, length: disappeared, bytes: 0, acked: 0 })
    assert.ok(disappeared < surplus, 'the sweep did not finish')
  })

  test('SIGTERM after Redis froze in the middle of a sweep: the tally has everything that Redis had answered', async (t) => {
    const redis = await startRedis(t)
    const { args, surplus, gone } = await prepareSlowSweep(t, redis)
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER, '--reply-timeout', '60s'])
    await waitUntil(async () => (await gone()) > surplus / 20, {
      timeoutMs: 60_000,
      what: 'the sweep to make progress',
    })
    await redis.freeze()

    const ended = await daemon.stop()

    assert.equal(ended.code, 0)
    assert.ok(ended.ms < 8_000, `${ended.ms} ms`)
    const line = await daemon.waitForLog('sweep')
    assert.deepEqual([line.result, line.cause], ['stopped', 'stop'])
    const { length } = line.removed as { length: number }
    await redis.thaw()
    const disappeared = await gone()
    // Redis executes commands that were on their way once it thaws, when nobody is left to read the replies.
    assert.ok(length > 0 && length <= disappeared && disappeared < surplus, `${length} told, ${disappeared} gone`)
  })
})

/** Waits until a sweep has started and is waiting for the frozen Redis: later ticks were skipped because of it. */
async function untilSkipping(daemon: Daemon): Promise<void> {
  const before = await daemon.metric('xtrimd_sweeps_total', { result: 'skipped' })
  await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= before + 2)
}

/** Sentinel: every sweep asks for the primary, so a failover costs only the sweeps in progress. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sweep } from '../../src/sweep/sweep.ts'
import { sweepLines } from '../harness/daemon_log.ts'
import { assertToldAs } from '../harness/faults.ts'
import { overfill, SURPLUS } from '../harness/overlong_streams.ts'
import { EVERY_SECOND, type LogLine, startDaemon } from '../harness/program.ts'
import { MASTER, startWatchedRedis } from '../harness/redis_sentinel.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import { isPrimary, untilInSync } from '../harness/replication.ts'
import { streamIds } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'
import { sweepOnce, sweepWell } from '../harness/sweep_once.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const KEYS = Array.from({ length: 60 }, (_, i) => `stream:conversation:${i}`)

const SENTINEL = ['--redis-mode', 'sentinel', '--sentinel-master']
/** Causes of failure with a server that is not yet, or no longer, the primary. */
const FAILING_OVER = ['connect', 'timeout', 'READONLY', 'MASTERDOWN', 'LOADING']

/** Fills every stream to two nodes over its limit, and waits for the replica. @returns the IDs that must stay, by key */
async function overfillBoth(primary: RedisServer): Promise<Map<string, string[]>> {
  const kept = await overfill(primary, KEYS)
  const reached = async () => Number(await primary.command('WAIT', '1', '1000')) >= 1
  await waitUntil(reached, { timeoutMs: 60_000, what: 'the replica to have everything' })
  return kept
}

async function assertTrimmed(server: RedisServer, kept: ReadonlyMap<string, string[]>): Promise<void> {
  for (const [key, ids] of kept) assert.deepEqual(await streamIds(server, key), ids, key)
}

describe('behind sentinels', { concurrency: 2 }, () => {
  test('every sweep looks up the primary, and a failover during a sweep costs that sweep', async (t) => {
    const redis = await startWatchedRedis(t)
    const { primary, replica } = redis

    await t.test('any sentinel will do, and the sweep does not wait for dead or silent ones', async (inner) => {
      const kept = await overfillBoth(primary)
      const [url] = redis.urls.split(',')
      const silent = await startProxy(inner, primary.port)
      silent.blackhole()
      const dead = await startProxy(inner, primary.port)
      await dead.refuse()
      const args = [...SENTINEL, MASTER, '--reply-timeout', '30s']
      const report = await sweepWell(`${dead.url},${silent.url},${url}`, args)
      assert.equal(report.removed.length, KEYS.length * SURPLUS)
      assert.ok(report.durationSeconds < 20, `${report.durationSeconds} s`)
      await assertTrimmed(primary, kept)
    })

    await t.test('a master name that no sentinel knows is reported', async () => {
      const { report, code } = await sweepOnce(redis.urls, [...SENTINEL, 'nobody'])
      assert.equal(code, 1)
      assertToldAs('the sentinels do not know the name of the master', report)
      assert.match(String(report.reason), /^sentinel 127\.0\.0\.1:\d+ does not know --sentinel-master /)
    })

    await t.test('the replica is promoted in the middle of a sweep', async () => {
      const kept = await overfillBoth(primary)
      const task = taskOf(redis.urls, [...SENTINEL, MASTER, '--page-size', '4', '--pace', '20'])
      let promoted: Promise<void> | undefined
      let looks = 0
      const report = await sweep(
        {
          ...task,
          // Fail over at the first page; the sweep asks for the primary again only once every sentinel names the new one.
          onProgress: () => {
            promoted ??= redis.failOver().then(() => redis.untilPrimaryIs(replica))
          },
          findPrimaries: async (stop) => {
            if (++looks > 1) await promoted
            return task.findPrimaries(stop)
          },
        },
        new AbortController().signal,
      )
      await promoted
      // The old primary is demoted only seconds later, so the sweep may finish on it.
      const wentOn = report.result === 'partial' && report.cause === 'MOVED'
      const wasCut = report.result === 'failed' && FAILING_OVER.includes(String(report.cause))
      assert.ok(wentOn || wasCut, `${report.result} ${report.cause} ${report.message}`)
      assert.ok(report.total.removed.length > 0)

      await sweepWell(redis.urls, [...SENTINEL, MASTER])
      await assertTrimmed(replica, kept)
    })

    await t.test('the primary is frozen: its sweep fails, and the next one finds the new primary', async () => {
      await waitUntil(async () => !(await isPrimary(primary)), { timeoutMs: 60_000, what: 'the old one to follow' })
      await untilInSync(primary)
      const kept = await overfillBoth(replica)
      await replica.freeze()
      const { report, code } = await sweepOnce(redis.urls, [...SENTINEL, MASTER, '--reply-timeout', '1s'])
      assert.deepEqual([code, report.result, report.cause, report.removed.length], [1, 'failed', 'timeout', 0])
      await redis.untilPrimaryIs(primary)
      assert.equal((await sweepWell(redis.urls, [...SENTINEL, MASTER])).removed.length, KEYS.length * SURPLUS)
      await assertTrimmed(primary, kept)
      await replica.thaw()
    })
  })

  test('when the primary is killed, the daemon continues with the new one, and also logs in to sentinels', async (t) => {
    const password = 'watched'
    const redis = await startWatchedRedis(t, { password })
    const { primary, replica } = redis
    const refused = await sweepOnce(redis.urls, [...SENTINEL, MASTER])
    assert.deepEqual([refused.report.result, refused.report.cause], ['failed', 'NOAUTH'], 'the control: without it')

    const args = ['--redis-url', redis.urls, ...SENTINEL, MASTER, ...EVERY_SECOND, '--lease-ttl', '5s']
    const daemon = await startDaemon(t, args, { env: { XTRIMD_REDIS_PASSWORD: password } })
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)
    assert.equal(await daemon.metric('xtrimd_sweep_failures_total'), 0)

    const killedAt = daemon.logs.length
    await primary.kill()
    // Either may notice first: a tick, or the renewal of the lease, whose loss ends the sweep in progress.
    const meets = ({ msg, result }: LogLine) =>
      msg === 'could not acquire the lease' || (msg === 'sweep' && result !== 'success')
    await daemon.waitForLog(meets, undefined, killedAt)
    await redis.untilPrimaryIs(replica)
    // Skip everything logged before this point: reading the metrics waits for it.
    await daemon.metrics()
    const from = daemon.logs.length
    await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'success', undefined, from)
    const failed = sweepLines(daemon, killedAt).filter(({ result }) => result !== 'success')
    for (const { result, cause } of failed) {
      const wasSeen = (result === 'partial' && cause === 'MOVED') || (result === 'stopped' && cause === 'lease-lost')
      assert.ok(wasSeen || (result === 'failed' && FAILING_OVER.includes(String(cause))), `${result} ${cause}`)
    }
    const since = sweepLines(daemon, from).filter(({ result }) => result !== 'success')
    assert.ok(since.length <= 1, 'only the sweep that was running failed')

    const kept = await overfill(replica, KEYS)
    await daemon.waitForMetric(
      'xtrimd_entries_trimmed_total',
      { reason: 'length' },
      (trimmed) => trimmed === KEYS.length * SURPLUS,
    )
    await assertTrimmed(replica, kept)
    await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    assert.doesNotMatch(daemon.stdout, new RegExp(password))
    assert.equal((await daemon.stop()).code, 0)
  })
})

/** Sweeps that are stopped while their archive is slow: nothing goes, and the archive is not to blame. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type SweepReport, sweep } from '../../src/sweep/sweep.ts'
import { LEASE_LOST, PAUSED, PRESSURE } from '../../src/walk/walk.ts'
import { startRedis } from '../harness/redis_server.ts'
import { S3_CREDENTIALS, startS3 } from '../harness/s3_server.ts'
import { fillStream, lengthOf, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'
import { waitUntil } from '../harness/waiting.ts'

const KEY = 'stream:conversation:1'

/** A sweep whose store takes a segment and never answers. `interrupt` is called once it has it. */
async function sweepSilently(
  t: TestContext,
  further: readonly string[],
  interrupt: (stop: AbortController) => void,
): Promise<{ report: SweepReport; length: number; ms: number }> {
  const redis = await startRedis(t)
  const s3 = await startS3(t)
  Object.assign(process.env, S3_CREDENTIALS)
  await fillStream(redis, KEY, { count: 1000, from: (await redisNow(redis)) - 60_000, stepMs: 1, bytes: 20 })
  s3.behave('silent')
  const limits = ['--max-age', 'off', '--max-length', '100', '--hard-max-length', '500', '--trim', 'exact']
  const archive = ['--archive', `s3://${s3.bucket}/chat`, '--archive-s3-endpoint', s3.endpoint]
  const stop = new AbortController()
  const start = performance.now()
  const sweeping = sweep(taskOf(redis.url, [...limits, ...archive, ...further]), stop.signal)
  await waitUntil(() => (s3.requests.PUT ?? 0) > 0, { timeoutMs: 60_000, what: 'the segment to be sent' })
  interrupt(stop)
  const report = await sweeping
  return { report, length: await lengthOf(redis, KEY), ms: performance.now() - start }
}

for (const reason of [undefined, LEASE_LOST, PAUSED, PRESSURE])
  test(`a stop (${reason ?? 'SIGTERM'}) ends a sweep that waits for its archive; nothing goes, and no failure of the archive is counted`, async (t) => {
    const { report, length, ms } = await sweepSilently(t, [], (stop) => stop.abort(reason))
    assert.deepEqual([report.result, report.cause, report.archiveFault], ['stopped', reason ?? 'stop', null])
    assert.deepEqual([length, report.total.unarchived], [1000, 0])
    assert.ok(ms < 15_000, `${ms} ms`)
  })

test('--sweep-timeout ends a sweep that waits for its archive, and nothing goes', async (t) => {
  const { report, length } = await sweepSilently(t, ['--sweep-timeout', '3s'], () => {})
  assert.deepEqual([report.result, report.cause, report.failure], ['stopped', 'sweep-timeout', 'timeout'])
  assert.equal(report.archiveFault, null)
  assert.deepEqual([length, report.total.unarchived], [1000, 0])
})

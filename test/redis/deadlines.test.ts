/** Reply deadlines limit Redis's silence, not a pause of our own process. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { waitUntil } from '../harness/waiting.ts'

const REPLY_TIMEOUT_MS = 2_000

describe('deadlines', { concurrency: 3 }, () => {
  for (const [who, ends] of [
    ['the daemon', ['success', undefined]],
    // The control: the same silence of Redis does end the sweep.
    ['Redis', ['failed', 'timeout']],
  ] as const) {
    test(`${who} pauses during a sweep for longer than --reply-timeout and less than --lease-ttl: ${ends[0]}`, async (t) => {
      const redis = await startRedis(t)
      const { proxy, args, surplus, gone } = await prepareSlowSweep(t, redis)
      const patience = ['--reply-timeout', `${REPLY_TIMEOUT_MS}ms`, '--lease-ttl', '60s', '--pace', '100']
      const daemon = await startDaemon(t, [...args, ...HARDLY_EVER, ...patience])
      await waitUntil(async () => (await gone()) > surplus / 40, { timeoutMs: 60_000, what: 'the sweep to get on' })
      if (who === 'Redis') await redis.freeze()
      else process.kill(daemon.pid, 'SIGSTOP')
      await pause(REPLY_TIMEOUT_MS * 1.5)
      if (who === 'Redis') await redis.thaw()
      else process.kill(daemon.pid, 'SIGCONT')
      await proxy.heal()
      const line = await daemon.waitForLog('sweep')
      assert.deepEqual([line.result, line.cause], ends)
      if (who === 'the daemon') assert.equal(await gone(), surplus)
    })
  }
})

/** Sweeps in the test's own process, for tests that need hundreds of sweeps. */

import assert from 'node:assert/strict'
import { configure } from '../../src/config/config.ts'
import { sweepTask } from '../../src/daemon/task.ts'
import { type SweepReport, type SweepTask, sweep } from '../../src/sweep/sweep.ts'
import { makeLog } from '../../src/telemetry/log.ts'

const log = await makeLog('silent', 'json', 2, false)

/** The task of a sweep with these arguments. @throws if the program would reject them */
export function taskOf(redisUrl: string, args: readonly string[]): SweepTask {
  const configured = configure(['sweep', '--redis-url', redisUrl, '--pace', '100', ...args], {}, '0')
  if (configured.kind !== 'config') throw new Error(`refused: ${JSON.stringify(configured)}`)
  return sweepTask(configured.config, log, () => process.cpuUsage().user / 1000)
}

export function sweepHere(redisUrl: string, args: readonly string[]): Promise<SweepReport> {
  return sweep(taskOf(redisUrl, args), new AbortController().signal)
}

/** A sweep that must succeed. @returns the totals over all policies */
export async function sweepWhole(redisUrl: string, args: readonly string[]): Promise<SweepReport['total']> {
  const { result, cause, message, total } = await sweepHere(redisUrl, args)
  assert.deepEqual({ result, cause, message }, { result: 'success', cause: null, message: null })
  return total
}

/** One `xtrimd sweep` on a test's own Redis, as the script of an operator would run and read it. */

import assert from 'node:assert/strict'
import type { sweepJson } from '../../src/report/json.ts'
import { readOutput } from './output.ts'
import { type Ended, runXtrimd } from './program.ts'

/** The JSON object of a sweep, in the contract's names. */
export type SweepObject = ReturnType<typeof sweepJson>

export interface SweepOnce extends Ended {
  readonly report: SweepObject
}

/** Runs `xtrimd sweep --output json` with these further arguments, and reads the one object it prints. */
export async function sweepOnce(
  redisUrl: string,
  args: readonly string[] = [],
  options: Parameters<typeof runXtrimd>[1] = {},
): Promise<SweepOnce> {
  const ended = await runXtrimd(['sweep', '--output', 'json', '--redis-url', redisUrl, ...args], options)
  return { ...ended, report: readOutput('sweep', ended.stdout) as unknown as SweepObject }
}

/** The same where it must be a success: exit code 0 and nothing said on stderr. */
export async function sweepWell(redisUrl: string, args: readonly string[] = []): Promise<SweepObject> {
  const { report, code, stderr } = await sweepOnce(redisUrl, args)
  assert.deepEqual({ result: report.result, code, stderr }, { result: 'success', code: 0, stderr: '' })
  return report
}

/** One `xtrimd sweep`, run and read as by an operator's script. */

import assert from 'node:assert/strict'
import type { sweepJson } from '../../src/report/json.ts'
import { readOutput } from './output.ts'
import { type Ended, runXtrimd } from './program.ts'

/** The JSON object of a sweep. */
export type SweepObject = ReturnType<typeof sweepJson>

export interface SweepOnce extends Ended {
  readonly report: SweepObject
}

/** Runs `xtrimd sweep --output json` with these further arguments, and reads the object it prints. */
export async function sweepOnce(
  redisUrl: string,
  args: readonly string[] = [],
  options: Parameters<typeof runXtrimd>[1] = {},
): Promise<SweepOnce> {
  const ended = await runXtrimd(['sweep', '--output', 'json', '--redis-url', redisUrl, ...args], options)
  return { ...ended, report: readOutput('sweep', ended.stdout) as unknown as SweepObject }
}

/** A sweep that must succeed, exit with 0 and leave stderr empty. */
export async function sweepWell(redisUrl: string, args: readonly string[] = []): Promise<SweepObject> {
  const { report, code, stderr } = await sweepOnce(redisUrl, args)
  assert.deepEqual({ result: report.result, code, stderr }, { result: 'success', code: 0, stderr: '' })
  return report
}

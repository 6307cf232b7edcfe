/** One `xtrimd plan`, run and read as by an operator's script. */

import assert from 'node:assert/strict'
import type { planJson } from '../../src/report/json.ts'
import { readOutput } from './output.ts'
import { runXtrimd } from './program.ts'

/** The JSON object of a plan. */
export type PlanObject = ReturnType<typeof planJson>

/** A plan that must succeed, exit with 0 and leave stderr empty. */
export async function planWell(redisUrl: string, args: readonly string[] = []): Promise<PlanObject> {
  const { code, stdout, stderr } = await runXtrimd(['plan', '--output', 'json', '--redis-url', redisUrl, ...args])
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
  return readOutput('plan', stdout) as unknown as PlanObject
}

/** One `xtrimd explain`, as an operator types it, or inside the test's own process. */

import assert from 'node:assert/strict'
import { configure } from '../../src/config/config.ts'
import { type ExplainTask, type Explanation, explain } from '../../src/explain/explain.ts'
import type { explainJson } from '../../src/report/explain_json.ts'
import { makePaces } from '../../src/walk/pace.ts'
import { readOutput } from './output.ts'
import { runXtrimd } from './program.ts'

export type ExplainObject = ReturnType<typeof explainJson>

/** Runs `xtrimd explain <key> --output json`, which must exit with this code. */
export async function explainKey(
  redisUrl: string,
  key: string,
  args: readonly string[] = [],
  expected = 0,
): Promise<ExplainObject> {
  const ended = await runXtrimd(['explain', key, '--output', 'json', '--redis-url', redisUrl, ...args])
  assert.equal(ended.code, expected, ended.stdout + ended.stderr)
  return readOutput('explain', ended.stdout) as unknown as ExplainObject
}

/** The same without a process of its own, for tests that need many. */
export function explainHere(redisUrl: string, key: string, args: readonly string[]): Promise<Explanation> {
  const configured = configure(['explain', key, '--redis-url', redisUrl, '--pace', '100', ...args], {}, '0')
  if (configured.kind !== 'config') throw new Error(`refused: ${JSON.stringify(configured)}`)
  const { redis, policies } = configured.config
  const task: ExplainTask = {
    topology: redis.topology,
    reach: redis.reach,
    policies,
    paceOf: makePaces(100, () => 0),
  }
  return explain(key, task, new AbortController().signal)
}

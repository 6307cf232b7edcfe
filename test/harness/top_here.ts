/** One snapshot of `xtrimd top`, as an operator's script takes it. */

import assert from 'node:assert/strict'
import { configure } from '../../src/config/config.ts'
import type { topJson } from '../../src/report/top_report.ts'
import { type TopView, topOnce } from '../../src/top/top.ts'
import { readOutput } from './output.ts'
import { runXtrimd } from './program.ts'
import { taskOf } from './sweep_here.ts'

export type TopObject = ReturnType<typeof topJson>

/** Runs `xtrimd top --output json`, which must exit with 0. The interval is short unless given. */
export async function topWell(redisUrl: string, args: readonly string[] = []): Promise<TopObject> {
  const interval = args.includes('--interval') ? [] : ['--interval', '200ms']
  const flags = ['top', '--output', 'json', '--pace', '100', '--redis-url', redisUrl, ...interval, ...args]
  const { code, stdout, stderr } = await runXtrimd(flags)
  assert.equal(code, 0, stdout + stderr)
  return readOutput('top', stdout) as unknown as TopObject
}

/** The same inside the test's own process. */
export function topHere(redisUrl: string, args: readonly string[]): Promise<TopView> {
  const configured = configure(['top', '--redis-url', redisUrl, ...args], {}, '0')
  if (configured.kind !== 'config') throw new Error(`refused: ${JSON.stringify(configured)}`)
  const { policies, top } = configured.config
  return topOnce({ ...taskOf(redisUrl, []), policies, ...top }, new AbortController().signal)
}

/** What `/proc` tells about processes. */

import { readFileSync } from 'node:fs'

/** The processes that this one has started and that are still there. @throws if there is no such process */
export function childrenOf(pid: number): number[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  return pids.filter((text) => text !== '').map(Number)
}

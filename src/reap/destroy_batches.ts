/** How many groups one script may check and destroy, so that it does not hold Redis for long. */

import { costOfConsumers } from '../look/consumer_groups.ts'
import { LEAST_COST } from '../retention/bites.ts'
import type { Group } from '../retention/groups.ts'

/** Most groups in one script. */
const GROUPS_AT_ONCE = 100
/** A group with at most this many references is destroyed as it is. */
export const REFERENCES_DESTROYED_AT_ONCE = 1000

/** The cost of checking and destroying one group: its consumers are asked inside a script, which costs ten times as much. */
export function costOfDestroying({ consumers, pending }: Group): number {
  return 3 * LEAST_COST + 10 * costOfConsumers(consumers) + pending / 3000
}

/** Splits groups so that one script holds Redis for about half a millisecond, unless one group alone takes longer. */
export function inBatches(groups: readonly Group[]): readonly (readonly Group[])[] {
  const batches: Group[][] = []
  let cost = Number.POSITIVE_INFINITY
  for (const group of groups) {
    const more = costOfDestroying(group)
    const batch = batches.at(-1)
    if (batch === undefined || batch.length >= GROUPS_AT_ONCE || cost + more > 0.5) {
      batches.push([group])
      cost = more
    } else {
      batch.push(group)
      cost += more
    }
  }
  return batches
}

/** How many groups one script may check and destroy, so that it does not hold Redis for long. */

import { LEAST_COST } from '../entries/bites.ts'
import type { Group } from '../retention/groups.ts'

/** A group with at most this many references is destroyed as it is. */
export const REFERENCES_DESTROYED_AT_ONCE = 1000

/** A group with at most this many consumers is checked as it is: a script that asks for 1,000 takes Redis 1.2 ms. */
export const CONSUMERS_CHECKED_AT_ONCE = 200

/** The cost of checking and destroying one group. Asking for a consumer inside a script takes Redis 2 to 3 microseconds. */
function costOf({ consumers, pending }: Group): number {
  return 3 * LEAST_COST + consumers / 400 + pending / 3000
}

/** Some groups, and what the script that destroys them costs. */
interface Batch {
  readonly groups: Group[]
  cost: number
}

/**
 * Splits dead groups so that one script holds Redis for about half a millisecond, unless one group alone takes longer. But
 * each script has to ask for all groups of the stream, `all` of them: where these are many, larger batches hold Redis for less
 * time in sum.
 */
export function inBatches(dead: readonly Group[], all: number): readonly Batch[] {
  const asking = 3 * LEAST_COST * all
  const most = Math.max(0.5, asking / 4)
  const batches: Batch[] = []
  for (const group of dead) {
    const cost = costOf(group)
    const batch = batches.at(-1)
    if (batch === undefined || batch.cost - asking + cost > most) batches.push({ groups: [group], cost: asking + cost })
    else {
      batch.groups.push(group)
      batch.cost += cost
    }
  }
  return batches
}

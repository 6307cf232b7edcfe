/** Goes through the pending references of a group, bite by bite. */

import { costOfReferences, missingCommand, type ReferenceRange, readBitten } from '../groups/missing_references.ts'
import { accepted } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { ReapContext } from './reaped.ts'

/** Counts or drops references to missing entries, until the end or a stop. @returns how many there were. @throws Refused, Fault */
export async function goThroughReferences(
  act: 'count' | 'drop',
  key: Buffer,
  { rawName, pending }: Group,
  range: ReferenceRange,
  { ask, stop }: ReapContext,
): Promise<number> {
  let sum = 0
  let rest: ReferenceRange | null = range
  while (rest !== null && !stop.aborted) {
    const command = missingCommand(act, 'EVAL', key, rawName, rest)
    const [reply] = await ask([command], costOfReferences(pending))
    const bitten = readBitten(accepted(reply, command), rest)
    sum += bitten.missing
    rest = bitten.rest
  }
  return sum
}

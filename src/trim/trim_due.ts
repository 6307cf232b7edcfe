/** Trims the due streams of a page: short ones together, all others one by one. */

import type { Found } from '../look/found.ts'
import type { Batching } from '../look/in_batches.ts'
import type { Fault } from '../redis/refusal.ts'
import type { Policy } from '../retention/policy.ts'
import { isOneBiteEnough, trimTogether } from './trim_short_streams.ts'
import { trimStream } from './trim_stream.ts'
import type { TrimContext, Trimmed } from './trimmed.ts'

export interface TrimDueContext extends Omit<TrimContext, 'limits'> {
  readonly policies: readonly Policy[]
  readonly batching?: Batching
  /** Called for each stream when it is trimmed; some take far longer than others. May return a fault that ends the sweep. */
  readonly onTrimmed: (stream: Found, trimmed: Trimmed) => Promise<Fault | null>
}

/**
 * Brings the streams inside their policies. Never throws what Redis or the connection did.
 * @returns a fault that ends the sweep, or null
 */
export async function trimDue(due: readonly Found[], context: TrimDueContext): Promise<Fault | null> {
  const { policies, batching, onTrimmed } = context
  const work: Promise<(Fault | null)[]>[] = []
  for (const [policy, streams] of Map.groupBy(due, ({ policy }) => policy)) {
    const limits = policies[policy] as Policy
    const { short = [], long = [] } = Object.groupBy(streams, (stream) =>
      batching?.isAllowed && isOneBiteEnough(stream, limits) ? 'short' : 'long',
    )
    if (batching && short.length > 0) {
      const trimmed = trimTogether(short, { ...context, limits }, batching.mostAtOnce)
      work.push(trimmed.then((all) => Promise.all(short.map((stream, i) => onTrimmed(stream, all[i] as Trimmed)))))
    }
    for (const stream of long)
      work.push(trimStream(stream, { ...context, limits }).then(async (trimmed) => [await onTrimmed(stream, trimmed)]))
  }
  const faults = (await Promise.all(work)).flat()
  return faults.find((fault) => fault !== null) ?? null
}

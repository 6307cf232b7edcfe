/** The last stations of one stream: reaped and counted. */

import type { LivingGroups } from '../groups/living_groups.ts'
import { isReapDue } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import { readDeserted } from '../reap/deserted_groups.ts'
import type { ReapMemory } from '../reap/reap_memory.ts'
import { reapStream } from '../reap/reap_stream.ts'
import { NOTHING_REAPED, type Reaped } from '../reap/reaped.ts'
import type { Ask } from '../redis/ask.ts'
import { Fault, isServerWide } from '../redis/refusal.ts'
import type { Group } from '../retention/groups.ts'
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import type { Trimmed } from '../trim/trimmed.ts'
import { type CountContext, countOutcome } from './count.ts'

export interface FinishContext extends CountContext {
  readonly ask: Ask
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  /** Given where groups may be reaped: remembered from sweep to sweep. */
  readonly reapMemory?: ReapMemory
  /** Groups seen alive, remembered from sweep to sweep. */
  readonly living?: LivingGroups
}

/**
 * Reaps a stream that was trimmed, and counts it. `deserted` are its dead groups as they were before it was trimmed.
 * @returns a fault that ends the sweep, or null
 */
export async function finishStream(
  stream: Found,
  trimmed: Trimmed,
  deserted: readonly Group[],
  context: FinishContext,
): Promise<Fault | null> {
  const reaped = await reap(stream, trimmed, deserted, context)
  countOutcome(stream, trimmed, reaped, context)
  return faultOf(trimmed) ?? faultOf(reaped)
}

/** The dead groups of a stream that is about to be trimmed, which may remove what shows that they are dead. */
export function desertedOf(stream: Found, { ask, nowMs, policies, reapMemory }: FinishContext) {
  const none: readonly Group[] = []
  return reapMemory === undefined ? none : readDeserted(stream, policies[stream.policy] as Policy, ask, nowMs)
}

/** The dead groups as they were judged before the stream was trimmed; null if nothing was: then they can be judged as they are. */
export function ifTrimmed(
  deserted: readonly Group[],
  trimmed: Pick<Trimmed, 'removed'> | null,
): readonly Group[] | null {
  return trimmed !== null && sumOfReasons(trimmed.removed) > 0 ? deserted : null
}

/** Reaps what the stream leaves behind once it is trimmed; nothing where trimming it did not come to its end. */
async function reap(
  stream: Found,
  trimmed: Trimmed,
  deserted: readonly Group[],
  context: FinishContext,
): Promise<Reaped> {
  const { ask, nowMs, stop, policies, reapMemory, living } = context
  const limits = policies[stream.policy] as Policy
  const { archivedBefore = null } = stream
  const { length, oldest = length === 0 ? null : stream.state.oldest } = trimmed.state
  const { hasGroups } = stream.state
  // Trimming takes time, in which groups read on.
  const groups = trimmed.attempted ? undefined : stream.state.groups
  const state: State = {
    ...{ length, oldest },
    ...(hasGroups === undefined ? {} : { hasGroups }),
    ...(groups === undefined ? {} : { groups }),
  }
  const left: Found = { ...stream, state }
  const isCutShort = trimmed.fault !== null || trimmed.refused !== null || stop.aborted
  if (isCutShort || !reapMemory || !living || !isReapDue(left, limits, nowMs)) return NOTHING_REAPED
  const judged = { living, deserted: ifTrimmed(deserted, trimmed) }
  return reapStream(left, { ask, limits, nowMs, stop, reapMemory, ...judged, archivedBefore })
}

/** The first fault of several streams, or null. */
export function firstFault(faults: readonly (Fault | null)[]): Fault | null {
  return faults.find((fault) => fault !== null) ?? null
}

/** The fault that ends the sweep, or null: a lost connection, or a refusal of the whole server. */
export function faultOf({ refused, fault }: Pick<Trimmed, 'refused' | 'fault'>): Fault | null {
  return refused !== null && isServerWide(refused.refusal) ? Fault.of(refused.refusal) : fault
}

/** Which of a stream's oldest entries a trim would remove. Each limit covers the oldest entries up to some point, so the range has one end. */

import { NODE_ENTRIES } from '../entries/bites.ts'
import { earlierOf, isBefore, laterOf, type StreamId, timeId } from '../entries/stream_id.ts'
import type { Found } from '../look/found.ts'
import { ackedFloor, type Group, type Hold } from '../retention/groups.ts'
import type { Limits } from '../retention/policy.ts'

export interface DueRange {
  /** Entries before this ID go. */
  readonly before: StreamId
  /** So many of the oldest go, in spite of groups. */
  readonly hardCount: number
  /** So many of the oldest go, as far as groups allow. */
  readonly count: number
  /** The first ID that a group keeps; null where none does. */
  readonly floor: StreamId | null
}

const NONE: StreamId = { ms: 0n, seq: 0n }

/** The range of a stream as it was found, with its groups and what they hold back. How many go for `--max-bytes` is an estimate. */
export function dueRange(
  { state: { length }, memoryBytes, hasTimeIds }: Found,
  limits: Limits,
  groups: readonly Group[],
  hold: Hold | null,
  nowMs: number,
): DueRange {
  const floor = hold?.floor ?? null
  const upTo = (id: StreamId): StreamId => (floor === null ? id : earlierOf(id, floor))
  const ofAge = hasTimeIds ? laterOf(upTo(timeId(nowMs - limits.maxAgeMs)), timeId(nowMs - limits.hardMaxAgeMs)) : NONE
  const excess = (most: number): number => (Number.isFinite(most) ? Math.max(0, length - most) : 0)
  const isTooLarge = memoryBytes > limits.maxBytes
  // Nodes are not all of one size: one more than by proportion. The newest entry stays.
  const forBytes = isTooLarge ? Math.ceil(length * (1 - limits.maxBytes / memoryBytes)) + NODE_ENTRIES : 0
  return {
    before: laterOf(ofAge, ackedBefore(groups, limits, hasTimeIds, nowMs)),
    hardCount: excess(limits.hardMaxLength),
    count: Math.max(excess(limits.maxLength), Math.min(forBytes, length - 1)),
    floor,
  }
}

function ackedBefore(groups: readonly Group[], limits: Limits, hasTimeIds: boolean, nowMs: number): StreamId {
  const { ackedAfterMs, staleGroupAfterMs } = limits
  if (ackedAfterMs === Number.POSITIVE_INFINITY || (ackedAfterMs > 0 && !hasTimeIds)) return NONE
  const acked = ackedFloor(groups, staleGroupAfterMs, nowMs)
  if (acked === null) return NONE
  return ackedAfterMs === 0 ? acked : earlierOf(acked, timeId(nowMs - ackedAfterMs))
}

/** Whether the entry goes that has this ID and so many older ones before it. */
export function goes({ before, hardCount, count, floor }: DueRange, older: number, id: StreamId): boolean {
  return isBefore(id, before) || older < hardCount || (older < count && (floor === null || isBefore(id, floor)))
}

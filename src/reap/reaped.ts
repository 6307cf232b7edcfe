/** What reaping one stream needs, and what it results in. */

import type { StreamId } from '../entries/stream_id.ts'
import type { LivingGroups } from '../groups/living_groups.ts'
import type { Ask } from '../redis/ask.ts'
import type { Fault } from '../redis/refusal.ts'
import type { Refused } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { Limits } from '../retention/policy.ts'
import type { ReapMemory } from './reap_memory.ts'

export interface ReapContext {
  readonly ask: Ask
  readonly limits: Limits
  /** Redis's own clock when the sweep began. */
  readonly nowMs: number
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  readonly reapMemory: ReapMemory
  readonly living: LivingGroups
  /** Dead groups without consumers, as they were judged before the stream was trimmed; null if nothing was trimmed. */
  readonly deserted: readonly Group[] | null
  /** Entries before this ID are archived; null where the policy archives nothing. A stream goes only with archived entries. */
  readonly archivedBefore: StreamId | null
}

/** Why a stream was unlinked. */
export const DELETE_REASONS = ['empty', 'idle'] as const
export type DeleteReason = (typeof DELETE_REASONS)[number]

/** How many things of each kind were reaped. */
export interface ReapCounts {
  consumers: number
  groups: number
  /** Pending references whose entry no longer existed. */
  pending: number
}

/** The result of reaping one stream. It is complete even when a refusal, a fault or a stop cut the work short. */
export interface Reaped {
  readonly counts: Readonly<ReapCounts>
  readonly deleted: DeleteReason | null
  /** Of the entries that went with an idle stream, those that a dead group had not read. */
  readonly unread: number
  readonly refused: Refused | null
  readonly fault: Fault | null
}

export const NOTHING_REAPED: Reaped = {
  counts: { consumers: 0, groups: 0, pending: 0 },
  deleted: null,
  unread: 0,
  refused: null,
  fault: null,
}

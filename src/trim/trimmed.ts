/** What trimming a stream needs, and what it results in. */

import type { LivingGroups } from '../groups/living_groups.ts'
import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Fault } from '../redis/refusal.ts'
import type { Missing, Refused } from '../redis/refused.ts'
import type { Hold } from '../retention/groups.ts'
import { forEachReason, type Limits, type Reason } from '../retention/policy.ts'

export interface TrimContext {
  readonly ask: Ask
  readonly limits: Limits
  /** Redis's own clock when the sweep began. */
  readonly nowMs: number
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  /** Called for each command that Redis denied and the work can do without. */
  readonly missing: Missing
  /** Remembered from sweep to sweep. */
  readonly living?: LivingGroups
  /** Whether hard limits remove what is not archived: only while the archive fails. */
  readonly mayTrimUnarchived?: boolean
}

/** The result of trimming one stream. It is complete even when a refusal, a fault or a stop cut the work short. */
export interface Trimmed {
  readonly state: State
  readonly memoryBytes: number
  readonly removed: Readonly<Record<Reason, number>>
  /** How many of them some group had not been delivered. */
  readonly unread: number
  /** How many of them were not archived, where the policy archives: only hard limits remove those. */
  readonly unarchived: number
  readonly hold: Hold | null
  /** The refused command that ended the work on this stream. */
  readonly refused: Refused | null
  /** What ended the connection. */
  readonly fault: Fault | null
  /** Whether trimming was attempted at all. */
  readonly attempted: boolean
}

/** The result for a stream that is left alone. */
export function leftAsFound({ state, memoryBytes }: Found): Trimmed {
  return {
    state,
    memoryBytes,
    removed: forEachReason(0),
    unread: 0,
    unarchived: 0,
    hold: null,
    refused: null,
    fault: null,
    attempted: false,
  }
}

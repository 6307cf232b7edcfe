/** What a trim is given beside the stream, and what it says became of it. */

import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Fault } from '../redis/refusal.ts'
import type { Missing, Refused } from '../redis/refused.ts'
import type { Hold } from '../retention/groups.ts'
import { forEachReason, type Limits, type Reason } from '../retention/policy.ts'

/** What trimming needs to know beside the stream. */
export interface TrimContext {
  readonly ask: Ask
  readonly limits: Limits
  /** Redis's own clock when the sweep began. */
  readonly nowMs: number
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  /** Told of a command that an ACL refused where the work could go on without it. */
  readonly missing: Missing
}

/** What became of one stream. Complete also when a refusal, a fault or a stop cut the work short. */
export interface Trimmed {
  readonly state: State
  readonly memoryBytes: number
  readonly removed: Readonly<Record<Reason, number>>
  /** Of those, how many some group had not been delivered. */
  readonly unread: number
  readonly deleted: boolean
  readonly hold: Hold | null
  /** The command Redis refused, which ended the work on this stream. */
  readonly refused: Refused | null
  /** The end of the connection. */
  readonly fault: Fault | null
  /** Whether trimming was tried at all. */
  readonly attempted: boolean
}

/** The outcome of leaving a stream as it was found. */
export function leftAsFound({ state, memoryBytes }: Found): Trimmed {
  return {
    state,
    memoryBytes,
    removed: forEachReason(0),
    unread: 0,
    deleted: false,
    hold: null,
    refused: null,
    fault: null,
    attempted: false,
  }
}

/** What became of one stream. */
import type { DeleteReason, ReapCounts } from '../reap/reaped.ts'
import type { Hold } from '../retention/groups.ts'
import type { LimitName, Reason } from '../retention/policy.ts'

/** Why a stream was not held to every limit, though Redis refused nothing. */
export const SKIP_REASONS = ['custom_ids', 'not_a_stream'] as const
export type SkipReason = (typeof SKIP_REASONS)[number]

/** The outcome for a stream that was not simply found inside its policy. */
export interface Outcome {
  readonly key: Buffer
  readonly before: number
  readonly after: number
  readonly removed: Readonly<Record<Reason, number>>
  readonly unread: number
  readonly unarchived: number
  /** Why the stream was unlinked; null if it was not. */
  readonly deleted: DeleteReason | null
  readonly reaped: Readonly<ReapCounts>
  readonly skipped: SkipReason | null
  readonly over: Readonly<Record<LimitName, boolean>>
  /** The group that held the trim back. */
  readonly held: Hold | null
  /** The command that Redis refused. */
  readonly refused: RefusedFields | null
}

export interface RefusedFields {
  /** The first word of Redis's error. */
  readonly word: string
  readonly command: string
  readonly message: string
}

/** A stream that a group holds back. */
export interface HeldStream {
  readonly key: Buffer
  readonly policy: string
  readonly hold: Hold
}

/** Most held-back streams named in a report. */
export const HELD_NAMED = 20

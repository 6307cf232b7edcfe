/** What a stream carries from one round of archiving and trimming to the next. Pure. */

import type { StreamId } from '../entries/stream_id.ts'
import type { Found } from '../look/found.ts'
import type { Group } from '../retention/groups.ts'
import { REASONS } from '../retention/policy.ts'
import type { Trimmed } from '../trim/trimmed.ts'

/** A stream that waits until a segment is durable. */
export interface Waiting {
  readonly key: Buffer
  readonly policy: number
  readonly length: number
  readonly hasTimeIds: boolean
  readonly before: StreamId
  readonly segment: number
  /** Whether more of it is to be archived afterwards. */
  readonly isCutShort: boolean
  readonly soFar: SoFar
}

/** What earlier rounds did to a stream. */
export interface SoFar {
  /** How long it was at first. */
  readonly length: number
  /** Its dead groups without consumers, before anything was removed. */
  readonly deserted: readonly Group[]
  /** Null in the first round. */
  readonly trimmed: Trimmed | null
}

/** Both together; the state is the later one's. */
export function added({ trimmed: before }: SoFar, trimmed: Trimmed): Trimmed {
  if (before === null) return trimmed
  const removed = { ...trimmed.removed }
  for (const reason of REASONS) removed[reason] += before.removed[reason]
  return {
    ...trimmed,
    removed,
    unread: before.unread + trimmed.unread,
    unarchived: before.unarchived + trimmed.unarchived,
    attempted: true,
  }
}

/** The stream as the trim left it. */
export function after(stream: Found, { state, memoryBytes }: Trimmed): Found {
  return { ...stream, state, memoryBytes }
}

/** A stream that waits, as far as it is remembered. */
export function asFound({ key, policy, length, hasTimeIds }: Waiting): Found {
  return { key, policy, state: { length, oldest: undefined }, memoryBytes: 0, hasTimeIds }
}

/** Whether a stream, as it was found, is beyond its policy. */

import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import { ageLimitMs, type Limits, lengthLimit, REASONS, type Reason } from '../retention/policy.ts'
import { isBefore, parseStreamId, type StreamId } from '../retention/stream_id.ts'

/** Whether the stream's oldest entry, as far as it is known, is before this ID. */
export function isOlderThan({ oldest }: State, id: StreamId): boolean {
  return !!oldest && isBefore(parseStreamId(oldest.id), id)
}

/** Whether trimming is called for at all: cheap, for the many streams where it is not. */
export function isDue(found: Found, limits: Limits, nowMs: number): boolean {
  // By number, and without an object for each: an eighth of all that a sweep leaves to the garbage collector was made here.
  for (let i = 0; i < REASONS.length; i++) if (isOver(REASONS[i] as Reason, found, limits, nowMs)) return true
  return limits.deleteEmpty && found.state.length === 0
}

function isOver(reason: Reason, { state, memoryBytes, hasTimeIds }: Found, limits: Limits, nowMs: number): boolean {
  switch (reason) {
    case 'age':
      return hasTimeIds && !!state.oldest && state.oldest.ms < nowMs - ageLimitMs(limits)
    case 'length':
      return state.length > lengthLimit(limits)
    case 'bytes':
      return memoryBytes > limits.maxBytes && state.length > 1
  }
}

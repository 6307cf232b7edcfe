/** Whether a stream, as it was found, is beyond its policy. */

import { ageLimitMs, type Limits, lengthLimit, REASONS, type Reason } from '../retention/policy.ts'
import { isBefore, parseStreamId, type StreamId } from '../retention/stream_id.ts'
import type { Found } from './look.ts'
import type { State } from './stream.ts'

/** Whether the stream's oldest entry, as far as it is known, is before this ID. */
export function isOlderThan({ oldest }: State, id: StreamId): boolean {
  return !!oldest && isBefore(parseStreamId(oldest.id), id)
}

/** Whether trimming is called for at all: cheap, for the many streams where it is not. */
export function isDue({ state, memoryBytes, byAge }: Found, limits: Limits, nowMs: number): boolean {
  const isOver: Readonly<Record<Reason, boolean>> = {
    age: byAge && !!state.oldest && state.oldest.ms < nowMs - ageLimitMs(limits),
    length: state.length > lengthLimit(limits),
    bytes: memoryBytes > limits.maxBytes && state.length > 1,
  }
  return REASONS.some((reason) => isOver[reason]) || (limits.deleteEmpty && state.length === 0)
}

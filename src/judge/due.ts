/** Whether a stream, as it was found, is over a limit of its policy. */

import { isBefore, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import { ageLimitMs, type Limits, lengthLimit, REASONS, type Reason, reapsGroups } from '../retention/policy.ts'

/** Whether the stream's oldest entry is known and before this ID. */
export function isOlderThan({ oldest }: State, id: StreamId): boolean {
  return !!oldest && isBefore(parseStreamId(oldest.id), id)
}

/** Whether there is anything to trim. Cheap, since for most streams there is not. */
export function isDue(found: Found, limits: Limits, nowMs: number): boolean {
  // A plain loop without allocation: an iterator here made an eighth of all garbage of a sweep.
  for (let i = 0; i < REASONS.length; i++) if (isOver(REASONS[i] as Reason, found, limits, nowMs)) return true
  return false
}

/** Whether there may be something to reap from a stream in this state. Custom IDs do not tell whether it is idle. */
export function isReapDue(
  { state, hasTimeIds }: Pick<Found, 'state' | 'hasTimeIds'>,
  limits: Limits,
  nowMs: number,
): boolean {
  if (state.length === 0 && (limits.deleteEmpty || Number.isFinite(limits.deleteIdleMs))) return true
  if (state.hasGroups !== false && !state.isQuiet && reapsGroups(limits)) return true
  return hasTimeIds && !!state.oldest && state.oldest.ms < nowMs - limits.deleteIdleMs
}

/** Whether the oldest entry would go if every group has acknowledged it. Custom IDs tell no age: only `0s` covers them. */
function isOldEnoughToAck({ oldest }: State, hasTimeIds: boolean, { ackedAfterMs }: Limits, nowMs: number): boolean {
  return ackedAfterMs === 0 || (hasTimeIds && !!oldest && oldest.ms < nowMs - ackedAfterMs)
}

function isOver(reason: Reason, { state, memoryBytes, hasTimeIds }: Found, limits: Limits, nowMs: number): boolean {
  switch (reason) {
    case 'age':
      return hasTimeIds && !!state.oldest && state.oldest.ms < nowMs - ageLimitMs(limits)
    case 'length':
      return state.length > lengthLimit(limits)
    case 'bytes':
      return memoryBytes > limits.maxBytes && state.length > 1
    case 'acked':
      return state.length > 0 && state.hasGroups !== false && isOldEnoughToAck(state, hasTimeIds, limits, nowMs)
  }
}

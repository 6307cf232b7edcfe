/** Which limits a stream is still over after the work on it. */

import { NODE_BYTES, NODE_ENTRIES } from '../entries/bites.ts'
import { isBefore, timeId } from '../entries/stream_id.ts'
import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import type { Hold } from '../retention/groups.ts'
import { ageLimitMs, type LimitName, type Limits, lengthLimit } from '../retention/policy.ts'

/** A stream after the work on it. */
export interface Left {
  readonly state: State
  readonly memoryBytes: number
  readonly hold: Hold | null
  /** Whether trimming was tried, and Redis carried it out. */
  readonly wasTrimmed: boolean
  /** Whether trimming was tried at all. */
  readonly attempted: boolean
}

/**
 * Judges what is left of a stream. `approx` may leave one node, whose size cannot be seen from outside. By length, a node
 * of Redis's default size is allowed for; by age, the stream counts as over only where a group held the trim back.
 */
export function overLimits(stream: Found, left: Left, limits: Limits, nowMs: number): Record<LimitName, boolean> {
  const { state, memoryBytes, hold } = left
  const isApprox = limits.trim === 'approx' && left.wasTrimmed
  const cutOffMs = nowMs - ageLimitMs(limits)
  const isTooOld = stream.hasTimeIds && state.oldest ? state.oldest.ms < cutOffMs : false
  const isHeldBack = hold !== null && isBefore(hold.floor, timeId(cutOffMs))
  return {
    age: isTooOld && (!isApprox || isHeldBack),
    length: state.length > lengthLimit(limits) + (isApprox ? NODE_ENTRIES : 0),
    bytes: memoryBytes > limits.maxBytes + (left.attempted ? NODE_BYTES : 0),
  }
}

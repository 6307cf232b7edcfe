/** Streams and limits for tests that judge without Redis. */

import type { Found } from '../../src/look/found.ts'
import type { State } from '../../src/look/stream_state.ts'
import type { Limits } from '../../src/retention/policy.ts'

export const HOUR = 3_600_000
export const DAY = 24 * HOUR
export const NOW = 1_750_000_000_000
export const OFF = Number.POSITIVE_INFINITY

/** Every limit is off. */
export const LIMITS: Limits = {
  ...{ maxAgeMs: OFF, maxLength: OFF, maxBytes: OFF, hardMaxAgeMs: OFF, hardMaxLength: OFF },
  ...{ trim: 'approx', protect: 'none', staleGroupAfterMs: OFF, ackedAfterMs: OFF, deleteEmpty: false },
  ...{ deleteIdleMs: OFF, reapConsumersAfterMs: OFF, reapGroups: null, reapPending: false },
}

/** A stream as a look finds it; its oldest entry is unknown by default. */
export function foundStream(state: Partial<State>, more: Partial<Found> = {}): Found {
  return {
    key: Buffer.from('stream:a'),
    policy: 0,
    memoryBytes: 0,
    hasTimeIds: true,
    ...more,
    state: { length: 1, oldest: undefined, ...state },
  }
}

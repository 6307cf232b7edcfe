/** What each limit of a policy finds in a stream, and what the next sweep removes for it. Pure. */
import type { limitFlags } from '../flags/flags.ts'
import type { Forecast } from '../forecast/forecast_stream.ts'
import type { Limits } from '../retention/policy.ts'

export interface Finding {
  readonly limit: keyof typeof limitFlags
  /** Entries beyond the limit, or bytes for `max-bytes`; null if that cannot be told. */
  readonly over: number | null
  /** Entries that the next sweep removes for it. */
  readonly removes: number
  /** Entries beyond the limit that the next sweep removes for a limit that comes first. */
  readonly removedBefore: number
  /** Why it leaves entries beyond the limit; null if it leaves none. */
  readonly rest: 'held' | 'node' | null
}

/** The stream as it is. */
export interface Figures {
  readonly length: number
  /** Null where the ACL denies it. */
  readonly bytes: number | null
  /** Entries past each age limit; null for custom IDs. */
  readonly older: number | null
  readonly olderThanHard: number | null
}

/**
 * One finding for each limit that is on and can remove entries, in the order in which a sweep applies them. `isHeld` says
 * whether some group keeps entries that a limit would remove.
 */
export function findingsOf(limits: Limits, figures: Figures, { removed }: Forecast, isHeld: boolean): Finding[] {
  const { length, bytes, older, olderThanHard } = figures
  const found: Finding[] = []
  const add = (limit: Finding['limit'], isOn: number, over: number | null, removes: number, before: number): void => {
    if (!Number.isFinite(isOn)) return
    const left = (over ?? 0) - before - removes
    const rest = limit === 'max-bytes' || left <= 0 ? null : isHeld && !limit.startsWith('hard') ? 'held' : 'node'
    found.push({ limit, over, removes, removedBefore: before, rest })
  }
  const tooMany = (most: number): number => Math.max(0, length - most)
  add('max-age', limits.maxAgeMs, older, removed.age, 0)
  add('hard-max-age', limits.hardMaxAgeMs, olderThanHard, Math.min(removed.age, olderThanHard ?? 0), 0)
  for (const [limit, most] of [
    ['max-length', limits.maxLength],
    ['hard-max-length', limits.hardMaxLength],
  ] as const) {
    const over = tooMany(most)
    const before = Math.min(over, removed.age)
    add(limit, most, over, Math.min(removed.length, over - before), before)
  }
  const excess = bytes === null ? null : Math.max(0, bytes - limits.maxBytes)
  add('max-bytes', limits.maxBytes, excess, removed.bytes, 0)
  add('acked-after', limits.ackedAfterMs, removed.acked, removed.acked, 0)
  return found
}

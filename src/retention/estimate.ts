/** Estimates what a sweep would remove from a stream, from a few figures. */
import { NODE_ENTRIES } from './bites.ts'
import type { Hold } from './groups.ts'
import { type Limits, type Reason, sumOfReasons } from './policy.ts'

/** What is known about one stream. Times are in ms of Redis's clock. */
export interface Measured {
  readonly length: number
  /** The times of its oldest and newest entry; null for custom IDs or an empty stream. */
  readonly oldestMs: number | null
  readonly newestMs: number | null
  /** Entries older than the effective age limit, if they were counted one by one; null too if a group holds any of them. */
  readonly countedOlder: number | null
  /** Memory of all its entries, as Redis reports it. */
  readonly memoryBytes: number
}

/** What a sweep would remove. */
export interface Estimate {
  readonly removed: Readonly<Record<Reason, number>>
  /** Approximate bytes freed. */
  readonly bytes: number
  /** Whether every entry of `removed` is certain. */
  readonly isExact: boolean
}

/** Applies age, then length, then bytes, each to what the one before left, and never past what a group holds. */
export function estimateTrim(stream: Measured, limits: Limits, hold: Hold | null, nowMs: number): Estimate {
  const { length, memoryBytes } = stream
  const holdMs = hold === null ? Number.POSITIVE_INFINITY : Number(hold.floor.ms)
  /** Entries that no group holds. Only the hard limits remove more than these. */
  const free = hold === null ? length : Math.round(entriesBefore(stream, holdMs))

  let left = length
  const take = (upTo: number): number => {
    const removed = Math.max(0, Math.min(left, Math.round(upTo)))
    left -= removed
    return removed
  }
  const olderThanLimit =
    stream.countedOlder ??
    Math.max(
      entriesBefore(stream, Math.min(nowMs - limits.maxAgeMs, holdMs)),
      entriesBefore(stream, nowMs - limits.hardMaxAgeMs),
    )
  const age = stream.oldestMs === null ? 0 : take(olderThanLimit)
  const byLength = Math.max(Math.min(left - limits.maxLength, free - age), left - limits.hardMaxLength)
  const removedByLength = take(byLength)
  const bytesLeft = length === 0 ? 0 : (memoryBytes * left) / length
  const overBytes = bytesLeft > limits.maxBytes ? (left * (bytesLeft - limits.maxBytes)) / bytesLeft : 0
  const bytes = take(Math.min(overBytes, left - 1, Math.max(0, free - age - removedByLength)))

  const removed = { age, length: removedByLength, bytes }
  const total = sumOfReasons(removed)
  const countedAge = age === 0 || age === length || stream.countedOlder !== null
  return {
    removed: limits.trim === 'approx' && total < length ? wholeNodes(removed) : removed,
    bytes: length === 0 ? 0 : Math.round((memoryBytes * total) / length),
    isExact:
      total === 0 || (countedAge && bytes === 0 && hold === null && (limits.trim === 'exact' || total === length)),
  }
}

/** `approx` leaves the node that is only partly due: on average half a node of Redis's default size. */
function wholeNodes(removed: Record<Reason, number>): Record<Reason, number> {
  const last = removed.bytes > 0 ? 'bytes' : removed.length > 0 ? 'length' : 'age'
  return { ...removed, [last]: Math.max(0, removed[last] - NODE_ENTRIES / 2) }
}

/** How many entries are older than a time, if they were written at an even rate. A limit that is off has the cut-off -Infinity. */
function entriesBefore({ length, oldestMs, newestMs }: Measured, cutOffMs: number): number {
  if (oldestMs === null || newestMs === null || cutOffMs <= oldestMs) return 0
  if (cutOffMs > newestMs) return length
  return (length * (cutOffMs - oldestMs)) / Math.max(1, newestMs - oldestMs)
}

/** Consumer groups: how far they let a trim go, and what of it they had not been delivered. */
import type { Limits } from './policy.ts'
import { earlierOf, isBefore, isTime, nextStreamId, type StreamId } from './stream_id.ts'

/** What Redis says of one consumer group. */
export interface Group {
  /** As shown to people. */
  readonly name: string
  /** As Redis knows it. */
  readonly rawName: Uint8Array
  readonly lastDelivered: StreamId
  /** Entries not delivered yet; null where Redis does not know (before 7.0, or after an XDEL in between). */
  readonly lag: number | null
  readonly consumers: number
  /** The lowest ID that is delivered and not acknowledged, where it was asked for. */
  readonly oldestPending: StreamId | null
  /** How long the least idle of its consumers has been idle; null for a group without consumers. */
  readonly idleMs: number | null
  /** The first entry it has not been delivered, where it was asked for (groups without consumers). */
  readonly firstUndelivered: StreamId | null
}

/** How far a stream may be trimmed: entries below `floor` are nobody's. */
export interface Hold {
  readonly floor: StreamId
  /** The group that holds the floor where it is. */
  readonly group: string
  /** When the group last showed life, by Redis's clock; null where that cannot be known. */
  readonly lastAliveMs: number | null
}

/**
 * When a group was last alive, in milliseconds of Redis's clock. A consumer tells by its idle time. A group without
 * consumers has no clock of its own: it counts as alive at the moment at which the first entry it was not delivered
 * was written, since before that it had nothing to read. Null where that ID is no time: nothing is known.
 */
export function lastAlive(group: Group, nowMs: number): number | null {
  if (group.idleMs !== null) return nowMs - group.idleMs
  if (group.firstUndelivered === null) return nowMs
  const ms = Number(group.firstUndelivered.ms)
  return isTime(ms, nowMs) ? ms : null
}

/** Whether the group has been dead for `staleGroupAfterMs` and so protects nothing. One that cannot be judged is alive. */
export function isStale(group: Group, staleGroupAfterMs: number, nowMs: number): boolean {
  const alive = lastAlive(group, nowMs)
  return alive !== null && nowMs - alive >= staleGroupAfterMs
}

/** The lowest ID a living group still needs, and whose it is; null where no group holds anything. */
export function holdOf(groups: readonly Group[], limits: Limits, nowMs: number): Hold | null {
  if (limits.protect === 'none') return null
  let hold: Hold | null = null
  for (const group of groups) {
    if (isStale(group, limits.staleGroupAfterMs, nowMs)) continue
    const unread = nextStreamId(group.lastDelivered)
    const floor =
      limits.protect === 'unacked' && group.oldestPending !== null ? earlierOf(group.oldestPending, unread) : unread
    if (hold === null || earlierOf(floor, hold.floor) === floor) {
      hold = { floor, group: group.name, lastAliveMs: lastAlive(group, nowMs) }
    }
  }
  return hold
}

/**
 * How many of `removed` oldest entries, out of a stream that held `length`, some group had not been delivered. Groups
 * read in order, so the one that is furthest behind lost what any other lost. Where Redis does not know a group's lag,
 * that group counts nothing. `head` are the oldest entries there were, as many as were looked at: a lag may be too large
 * (Redis before 8.0 goes on counting what was gone before the group could read it), they cannot. `next` is the oldest
 * entry there is now: who was delivered that was delivered all that went before it.
 */
export function unreadAmong(
  removed: number,
  length: number,
  groups: readonly Group[],
  head: readonly StreamId[],
  next: StreamId | null,
): number {
  let unread = 0
  for (const { lag, lastDelivered } of groups) {
    if (lag === null || (next !== null && !isBefore(lastDelivered, next))) continue
    const firstUnread = head.findIndex((id) => isBefore(lastDelivered, id))
    const isSeen = firstUnread >= 0 || removed <= head.length
    const read = isSeen ? (firstUnread < 0 ? removed : firstUnread) : Math.max(head.length, length - lag)
    unread = Math.max(unread, removed - read)
  }
  return unread
}

/** What the groups were delivered of a stream's oldest entries: all; some; or, those that are behind in them, none. */
export type Delivery = 'delivered' | 'partly' | 'undelivered'

/**
 * What they were delivered of the `most` oldest of `length` entries, by their lag, which is never too small. `oldest` is
 * the first of them, null where it is not known. A group without a lag counts as if it were delivered all.
 */
export function deliveryOf(most: number, length: number, oldest: StreamId | null, groups: readonly Group[]): Delivery {
  const behind = groups.filter(({ lag }) => lag !== null && most > length - lag)
  if (behind.length === 0) return 'delivered'
  return oldest !== null && behind.every(({ lastDelivered }) => isBefore(lastDelivered, oldest))
    ? 'undelivered'
    : 'partly'
}

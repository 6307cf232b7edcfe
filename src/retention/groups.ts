/** Consumer groups: how far they let a trim go, and how many removed entries they had not read. */

import { earlierOf, isBefore, isTime, nextStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Limits } from './policy.ts'

/** What Redis reports about one consumer group. */
export interface Group {
  /** Printable, for people. */
  readonly name: string
  /** The bytes that Redis knows it by. */
  readonly rawName: Uint8Array
  readonly lastDelivered: StreamId
  /** Entries not delivered yet; null if Redis does not know (before 7.0, or after an XDEL in between). */
  readonly lag: number | null
  readonly consumers: number
  /** Entries delivered and not acknowledged, references to removed entries included. */
  readonly pending: number
  /** Entries it has read since it was created; null if Redis does not know (before 7.0, or after an XDEL in between). */
  readonly entriesRead: number | null
  /** The lowest ID that was delivered and not acknowledged. Read only for some policies. */
  readonly oldestPending: StreamId | null
  /** How long its most recently active consumer has been idle; null for a group without consumers. */
  readonly idleMs: number | null
  /** The first entry not delivered to it. Read only for groups without consumers. */
  readonly firstUndelivered: StreamId | null
}

/** What groups keep: every entry from `floor` on. */
export interface Hold {
  readonly floor: StreamId
  /** The name of the group that needs the entry at the floor. */
  readonly group: string
  /** When the group was last active, in ms of Redis's clock; null if unknown. */
  readonly lastAliveMs: number | null
}

/**
 * When a group was last alive, in milliseconds of Redis's clock, by the idle time of its consumers. A group without
 * consumers counts as alive when its first undelivered entry was written, since before that it had nothing to read. Null
 * if that entry has a custom ID: then nothing is known.
 */
export function lastAlive(group: Group, nowMs: number): number | null {
  if (group.idleMs !== null) return nowMs - group.idleMs
  if (group.firstUndelivered === null) return nowMs
  const ms = Number(group.firstUndelivered.ms)
  return isTime(ms, nowMs) ? ms : null
}

/** Whether the group has been dead for `staleGroupAfterMs` and so protects nothing. If that is unknown, it is alive. */
export function isStale(group: Group, staleGroupAfterMs: number, nowMs: number): boolean {
  const alive = lastAlive(group, nowMs)
  return alive !== null && nowMs - alive >= staleGroupAfterMs
}

/**
 * The groups as they are now, judged by what was seen before: of a group without consumers, the entry that tells since when
 * it has read nothing may have been trimmed meanwhile. A group that was delivered something is judged anew.
 */
export function withEarlierSigns(groups: readonly Group[], earlier: readonly Group[]): readonly Group[] {
  const nameOf = ({ rawName }: Group): string => Buffer.from(rawName).toString('latin1')
  const known = new Map(earlier.map((group) => [nameOf(group), group]))
  return groups.map((group) => {
    const before = known.get(nameOf(group))
    const isSame = before?.consumers === 0 && group.consumers === 0 && isAt(group, before.lastDelivered)
    return isSame && before.firstUndelivered !== null ? { ...group, firstUndelivered: before.firstUndelivered } : group
  })
}

/** Whether the group's last delivered entry has this ID. */
export function isAt({ lastDelivered }: Group, { ms, seq }: StreamId): boolean {
  return lastDelivered.ms === ms && lastDelivered.seq === seq
}

/** The lowest ID that a living group still needs, and which group; null if no group needs any. */
export function holdOf(groups: readonly Group[], limits: Limits, nowMs: number): Hold | null {
  if (limits.protect === 'none') return null
  let hold: Hold | null = null
  for (const group of groups) {
    if (isStale(group, limits.staleGroupAfterMs, nowMs)) continue
    const floor = floorOf(group, limits)
    if (hold === null || isBefore(floor, hold.floor)) {
      hold = { floor, group: group.name, lastAliveMs: lastAlive(group, nowMs) }
    }
  }
  return hold
}

/** A stream whose groups are to be judged. */
export interface Pressed {
  readonly length: number
  /** The first entry that the age limit keeps, or null if it removes none. */
  readonly cutOff: StreamId | null
  readonly isTooBig: boolean
}

/**
 * Whether a group, if it is alive, may keep entries that the limits would remove. One that has acknowledged all of them
 * keeps none. A lag is never too small.
 */
export function mayHoldBack(group: Group, { length, cutOff, isTooBig }: Pressed, limits: Limits): boolean {
  if (limits.protect === 'none') return false
  if (cutOff !== null && isBefore(floorOf(group, limits), cutOff)) return true
  const hasPending = limits.protect === 'unacked' && group.oldestPending !== null
  const kept = group.lag === null || hasPending ? length : group.lag
  return kept > 0 && (isTooBig || (length > limits.maxLength && kept > limits.maxLength))
}

/** The first entry that a group needs, if it is alive. */
function floorOf({ lastDelivered, oldestPending }: Group, { protect }: Limits): StreamId {
  const unread = nextStreamId(lastDelivered)
  return protect === 'unacked' && oldestPending !== null ? earlierOf(oldestPending, unread) : unread
}

/** The first ID that some living group has not acknowledged; null if no group is alive. */
export function ackedFloor(groups: readonly Group[], staleGroupAfterMs: number, nowMs: number): StreamId | null {
  const living = groups.filter((group) => !isStale(group, staleGroupAfterMs, nowMs))
  const floors = living.map(({ lastDelivered, oldestPending }) => {
    const unread = nextStreamId(lastDelivered)
    return oldestPending === null ? unread : earlierOf(oldestPending, unread)
  })
  return floors.length === 0 ? null : floors.reduce(earlierOf)
}

/**
 * How many of the `removed` oldest entries of a stream that held `length` some group had not read. Groups read in order, so
 * the one furthest behind lost every entry that any other lost. A group without a lag counts 0.
 *
 * A lag may be too large: Redis before 8.0 keeps counting entries that were removed before the group could read them. So
 * `head`, the oldest entries before the trim as far as they were read, takes precedence. `next` is the oldest entry now: a
 * group that has read it has read everything before it.
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

/** The group that has been delivered least. One whose lag Redis does not know counts as having read everything. */
export function furthestBehind(groups: readonly Group[]): Group | null {
  const [first = null, ...others] = groups.filter(({ lag }) => lag !== null)
  return others.reduce((a, b) => (a !== null && isBefore(b.lastDelivered, a.lastDelivered) ? b : a), first)
}

/** How much of a stream's oldest entries the groups have read: all, some, or none (by each group that is behind). */
export type Delivery = 'delivered' | 'partly' | 'undelivered'

/**
 * How much of the `most` oldest of `length` entries the groups have read, by their lag, which is never too small. `oldest`
 * is the first entry, null if unknown. A group without a lag counts as having read everything.
 */
export function deliveryOf(most: number, length: number, oldest: StreamId | null, groups: readonly Group[]): Delivery {
  const behind = groups.filter(({ lag }) => lag !== null && most > length - lag)
  if (behind.length === 0) return 'delivered'
  return oldest !== null && behind.every(({ lastDelivered }) => isBefore(lastDelivered, oldest))
    ? 'undelivered'
    : 'partly'
}

/** How much the limits need to know of groups: what `--protect` does, and for `--acked-after` what is pending too. */
export function groupDetail({ protect, ackedAfterMs }: Limits): Limits['protect'] {
  return Number.isFinite(ackedAfterMs) ? 'unacked' : protect
}

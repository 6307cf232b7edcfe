/** Foretells what a sweep does to one stream, from reads alone. */

import { leastCosts, NODE_BYTES, NODE_ENTRIES } from '../entries/bites.ts'
import {
  earlierOf,
  formatStreamId,
  isBefore,
  laterOf,
  nextStreamId,
  parseStreamId,
  type StreamId,
  timeId,
} from '../entries/stream_id.ts'
import { readGroups } from '../groups/consumer_groups.ts'
import type { Found } from '../look/found.ts'
import type { StreamEnds } from '../look/stream_ends.ts'
import { oldestCommand, readIds, readOldest } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { accepted, isGone, isMissing, type Missing, Refused, whyMissing } from '../redis/refused.ts'
import { type Counted, foretell, type Removal } from '../retention/forecast.ts'
import { ackedFloor, furthestBehind, type Group, groupDetail, type Hold, holdOf, isStale } from '../retention/groups.ts'
import {
  ageLimitMs,
  forEachLimit,
  forEachReason,
  type LimitName,
  type Limits,
  lengthLimit,
  sumOfReasons,
} from '../retention/policy.ts'
import type { CountingWay } from './counting_way.ts'
import { EntryCounter } from './entry_counter.ts'
import { forecastReap, NOTHING_TO_REAP, type ReapForecast, readStreamEnds } from './forecast_reap.ts'

/** What a sweep would do to one stream. */
export interface Forecast extends Removal {
  /** How many of the removed entries some group has not been delivered, and which group misses most; null where none does. */
  readonly unread: { readonly entries: number; readonly group: string } | null
  /** Limits that the stream stays over, beyond the slack of `approx`. */
  readonly over: Readonly<Record<LimitName, boolean>>
  /** The group that keeps it over them; null where none does. */
  readonly hold: Hold | null
  readonly hasDeadGroup: boolean
  readonly reap: Readonly<ReapForecast>
  /** Counts on in the stream as the forecast saw it; null where it counted nothing. */
  readonly counter: EntryCounter | null
}

/** For a stream that is inside its policy, or empty. */
export const NOTHING: Forecast = {
  removed: forEachReason(0),
  bytes: 0,
  isExact: true,
  unread: null,
  over: forEachLimit(false),
  hold: null,
  hasDeadGroup: false,
  reap: NOTHING_TO_REAP,
  counter: null,
}

/** How many entries go from a stream of `length` entries: all of them if it is unlinked. */
export function entriesGone({ removed, reap }: Forecast, length: number): number {
  return reap.streams > 0 ? length : sumOfReasons(removed)
}

export interface ForecastContext {
  readonly ask: Ask
  readonly limits: Limits
  readonly nowMs: number
  readonly way: CountingWay
  /** Called for each command that Redis denied and the forecast can do without. */
  readonly missing: Missing
  /** Bytes that all entries of the stream take. */
  readonly bytes: number
}

/** Looks at a stream that is due. @throws Refused, Fault */
export async function forecastStream(stream: Found, context: ForecastContext): Promise<Forecast> {
  const { key, state, hasTimeIds } = stream
  const { ask, limits, nowMs, way, bytes } = context
  if (state.length === 0)
    return { ...NOTHING, reap: (await forecastReap(stream, { entries: 0, first: null }, context)).reap }
  const groups = await readKnownGroups(ask, key, limits, context.missing)
  const hold = holdOf(groups, limits, nowMs)
  const commands: Command[] = [['XLEN', key], oldestCommand(key), ['XREVRANGE', key, '+', '-', 'COUNT', '1']]
  const [now, first, last] = (await ask(commands, leastCosts(3))).map((reply, i) => accepted(reply, commands[i] ?? []))
  const length = Number(now)
  const oldest = readOldest(first ?? null)
  const newest = readIds(last ?? null)[0]
  if (oldest === null || newest === undefined) return NOTHING

  const ids = { oldest: parseStreamId(oldest.id), newest }
  const counter = new EntryCounter({ key, length, ...ids, entryBytes: oldest.bytes }, ask, way)
  const cutOff = hasTimeIds ? heldCutOff(limits, hold, nowMs) : null
  const isTooBig = bytes > limits.maxBytes
  const ends = limits.trim === 'approx' || isTooBig ? await readStreamEnds(key, ask, way) : null
  if (ends?.last === null) return NOTHING
  const tooOld = cutOff === null ? 0 : goneBefore(cutOff, await counter.before(cutOff), counter, ends, limits)
  const counted = {
    length,
    tooOld,
    free: hold !== null && (length > limits.maxLength || isTooBig) ? await counter.before(hold.floor) : length,
    acked: 0,
    bytes,
    nodes: ends?.nodes ?? null,
    mayHaveGaps: !!ends?.deleted && isBefore(ids.oldest, ends.deleted),
  }
  const floor = await ackedBefore(foretell(counted, limits), groups, counter, context, key, hasTimeIds)
  const acked = floor === null ? 0 : goneBefore(floor, await counter.before(floor), counter, ends, limits)
  const removal = foretell({ ...counted, acked }, limits)
  const total = sumOfReasons(removal.removed)
  const over = await overLimits(counted, total, hold, context, hasTimeIds ? counter : null)
  const left = { entries: length - total, first: await firstLeft(total, length, counter, limits) }
  const { reap, goingToo } = await forecastReap(stream, left, context, ends)
  const unread = await unreadAmong(total, groups, counter)
  return {
    ...removal,
    unread: sumOfLosses(unread, await unreadAmong(length, goingToo, counter, total)),
    over,
    hold: over.age || over.length || over.bytes ? hold : null,
    hasDeadGroup: groups.some((group) => isStale(group, limits.staleGroupAfterMs, nowMs)),
    isExact: removal.isExact && counter.isExact,
    reap,
    counter,
  }
}

/** The first entry that trimming leaves, which reaping pending references has to know; null for none. */
async function firstLeft(
  removed: number,
  length: number,
  counter: EntryCounter,
  { reapPending, reapGroups }: Limits,
): Promise<StreamId | null> {
  const isNeeded = reapPending || reapGroups !== null
  return removed === length || !isNeeded ? null : counter.idAt(removed)
}

/** The groups. Without protection they only tell what is unread, so a denied command costs that alone. @throws Refused */
async function readKnownGroups(ask: Ask, key: Buffer, limits: Limits, missing: Missing): Promise<readonly Group[]> {
  try {
    return await readGroups(ask, key, groupDetail(limits))
  } catch (error) {
    const isNeeded = groupDetail(limits) !== 'none'
    if (!(error instanceof Refused) || isNeeded || !isMissing(error.refusal)) throw error
    missing(error.command, 'the unread entries that plan shows', whyMissing(error.refusal))
    return []
  }
}

/** The ID before which entries go by age: the age limit as far as groups allow, or the hard one. */
function heldCutOff({ maxAgeMs, hardMaxAgeMs }: Limits, hold: Hold | null, nowMs: number): StreamId {
  const cutOff = timeId(nowMs - maxAgeMs)
  return laterOf(hold === null ? cutOff : earlierOf(cutOff, hold.floor), timeId(nowMs - hardMaxAgeMs))
}

/**
 * How many of the entries before `id` can go. `approx` keeps the newest node if an entry from `id` on was deleted out of it,
 * even if all that live there are older: Redis looks at the last entry of a node, deleted or not.
 */
function goneBefore(
  id: StreamId,
  entries: number,
  { length, newest }: EntryCounter,
  ends: StreamEnds | null,
  { trim }: Limits,
): number {
  const last = ends?.deleted ?? null
  const keepsNewest = trim === 'approx' && last !== null && isBefore(newest, last) && !isBefore(last, id)
  return keepsNewest ? Math.min(entries, length - 1) : entries
}

/**
 * The ID before which every living group has acknowledged all entries that are old enough, as they will stand when the other
 * limits have been applied: entries that go for those may be the ones that a group has pending now. Null if none may go.
 */
async function ackedBefore(
  before: Removal,
  groups: readonly Group[],
  counter: EntryCounter,
  { ask, limits, nowMs }: ForecastContext,
  key: Buffer,
  hasTimeIds: boolean,
): Promise<StreamId | null> {
  const { ackedAfterMs, staleGroupAfterMs } = limits
  const isAsked = ackedAfterMs < Number.POSITIVE_INFINITY && (ackedAfterMs === 0 || hasTimeIds)
  if (groups.length === 0 || !isAsked) return null
  const gone = sumOfReasons(before.removed)
  const first = gone === 0 ? null : await counter.idAt(gone)
  if (gone > 0 && first === null) return null
  const later = first === null ? groups : await readPendingFrom(ask, key, groups, first)
  const floor = ackedFloor(later, staleGroupAfterMs, nowMs)
  return floor === null || ackedAfterMs === 0 ? floor : earlierOf(floor, timeId(nowMs - ackedAfterMs))
}

/** The groups with what they have pending from `first` on. @throws Refused */
async function readPendingFrom(
  ask: Ask,
  key: Buffer,
  groups: readonly Group[],
  first: StreamId,
): Promise<readonly Group[]> {
  const from = formatStreamId(first)
  const commands = groups.map(({ rawName }): Command => ['XPENDING', key, Buffer.from(rawName), from, '+', '1'])
  const replies = await ask(commands, leastCosts(commands.length))
  return groups.flatMap((group, i) => {
    const reply = replies[i]
    if (reply instanceof Refusal && isGone(reply)) return []
    return [{ ...group, oldestPending: readIds(accepted(reply, commands[i] ?? []))[0] ?? null }]
  })
}

/**
 * The unread among the oldest `removed` entries, not counting the first `before` of them. Groups read in order, so the one that
 * is furthest behind misses whatever any other misses.
 */
async function unreadAmong(
  removed: number,
  groups: readonly Group[],
  counter: EntryCounter,
  before = 0,
): Promise<Forecast['unread']> {
  const last = furthestBehind(groups)
  if (last === null || removed === before) return null
  const read = Math.max(before, await counter.before(nextStreamId(last.lastDelivered)))
  return removed > read ? { entries: removed - read, group: last.name } : null
}

/** What is lost by trimming, and with an idle stream that goes. */
function sumOfLosses(trimmed: Forecast['unread'], gone: Forecast['unread']): Forecast['unread'] {
  return trimmed && gone ? { ...trimmed, entries: trimmed.entries + gone.entries } : (trimmed ?? gone)
}

/** Which limits the stream stays over, as a sweep will judge it. `counter` is null where age does not apply. */
async function overLimits(
  { length, bytes }: Counted,
  removed: number,
  hold: Hold | null,
  { limits, nowMs }: ForecastContext,
  counter: EntryCounter | null,
): Promise<Record<LimitName, boolean>> {
  const left = length - removed
  const cutOff = timeId(nowMs - ageLimitMs(limits))
  const isHeld = counter !== null && hold !== null && isBefore(hold.floor, cutOff)
  return {
    age: isHeld && (await counter.before(cutOff)) > removed,
    length: left > lengthLimit(limits) + (limits.trim === 'approx' ? NODE_ENTRIES : 0),
    bytes: (bytes * left) / length > limits.maxBytes + NODE_BYTES,
  }
}

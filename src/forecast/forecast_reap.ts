/** Foretells what a sweep reaps from one stream once it is trimmed, by the same rules and from reads alone. */

import { readConsumers, readGroupsToReap, withLife } from '../look/consumer_groups.ts'
import type { Found } from '../look/found.ts'
import { missingCommand, missingRange, type ReferenceRange, readBitten } from '../look/missing_references.ts'
import { endsCommand, readEnds, type StreamEnds } from '../look/stream_ends.ts'
import { readIds } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command } from '../redis/connection.ts'
import { accepted } from '../redis/refused.ts'
import { costOfReading } from '../retention/bites.ts'
import type { Group } from '../retention/groups.ts'
import { type Limits, reapsGroups } from '../retention/policy.ts'
import { isReapable, judgesLife, MOST_LIVING_REFERENCES, reapableConsumers } from '../retention/reaping.ts'
import { formatStreamId, isBefore, isTime, type StreamId } from '../retention/stream_id.ts'
import type { CountingWay } from './counting_way.ts'

/** How many things of each kind a sweep would remove, and whether it would unlink the stream. */
export interface ReapForecast {
  consumers: number
  groups: number
  pending: number
  streams: number
}

export const NOTHING_TO_REAP: Readonly<ReapForecast> = { consumers: 0, groups: 0, pending: 0, streams: 0 }

/** The stream as trimming will leave it. */
export interface LeftByTrim {
  readonly entries: number
  /** Its first entry then; null for none. */
  readonly first: StreamId | null
}

export interface ReapForecastContext {
  readonly ask: Ask
  readonly limits: Limits
  readonly nowMs: number
  readonly way: CountingWay
}

/** @throws Refused, Fault */
export async function forecastReap(
  { key, hasTimeIds }: Pick<Found, 'key' | 'hasTimeIds'>,
  left: LeftByTrim,
  context: ReapForecastContext,
): Promise<ReapForecast> {
  const { ask, limits, way } = context
  const mayBeIdle = hasTimeIds && Number.isFinite(limits.deleteIdleMs)
  const mayDelete = (limits.deleteEmpty && left.entries === 0) || mayBeIdle
  if (!reapsGroups(limits) && !mayDelete) return NOTHING_TO_REAP
  const found = await readGroupsToReap(ask, key)
  const ends = mayDelete || found.some(({ pending }) => pending > 0) ? await readStreamEnds(key, ask, way) : null
  const missingOf = (group: Group): Promise<number> => countMissing(key, group, left, ends, context)
  const reap = { ...NOTHING_TO_REAP }
  const groups: Group[] = []
  for (const group of found) {
    const isDestroyed = limits.reapGroups?.matches(group.rawName) && (await isDead(key, group, context))
    const missing = isDestroyed && group.pending > MOST_LIVING_REFERENCES ? await missingOf(group) : 0
    if (isDestroyed && group.pending - missing <= MOST_LIVING_REFERENCES) reap.groups++
    else groups.push(group)
  }
  if (mayDelete && (await isDeleted(key, left, ends, groups, mayBeIdle, context))) return { ...reap, streams: 1 }
  for (const group of groups) {
    const { rawName, consumers, pending } = group
    if (Number.isFinite(limits.reapConsumersAfterMs) && consumers > 0) {
      const all = await readConsumers(ask, key, rawName, consumers)
      reap.consumers += reapableConsumers(all, limits.reapConsumersAfterMs, judgesLife(limits, rawName)).length
    }
    if (limits.reapPending && pending > 0) reap.pending += await missingOf(group)
  }
  return reap
}

async function isDead(key: Buffer, group: Group, { ask, limits, nowMs }: ReapForecastContext): Promise<boolean> {
  const judged = await withLife(ask, key, group)
  return judged !== null && isReapable(judged, limits, nowMs)
}

/** Whether the stream goes: empty without a group, or idle without a living one. */
async function isDeleted(
  key: Buffer,
  left: LeftByTrim,
  ends: StreamEnds | null,
  groups: readonly Group[],
  mayBeIdle: boolean,
  context: ReapForecastContext,
): Promise<boolean> {
  const { limits, nowMs } = context
  const lastMs = Number(ends?.last?.ms ?? Number.NaN)
  if (!isTime(lastMs, nowMs)) return false
  if (limits.deleteEmpty && left.entries === 0 && groups.length === 0 && lastMs < nowMs - limits.maxAgeMs) return true
  if (!mayBeIdle || lastMs >= nowMs - limits.deleteIdleMs) return false
  const dead = await Promise.all(groups.map((group) => isDead(key, group, context)))
  return dead.every(Boolean)
}

/** The ends; null where scripts are not allowed. @throws Refused, Fault */
export async function readStreamEnds(key: Buffer, ask: Ask, way: CountingWay): Promise<StreamEnds | null> {
  const reply = await way.evaluate(ask, (evaluate) => endsCommand(evaluate, key))
  return reply === null ? null : readEnds(reply)
}

/** References that will be dangling: all before the first entry that trimming leaves, and after it those to deleted ones. */
export async function countMissing(
  key: Buffer,
  { rawName }: Group,
  left: LeftByTrim,
  ends: StreamEnds | null,
  { ask, way }: Pick<ReapForecastContext, 'ask' | 'way'>,
): Promise<number> {
  const isUnknown = left.first === null && left.entries > 0
  if (ends === null || isUnknown) return 0
  // Entries that trimming will remove still exist: what stands before the first one left is counted as it is.
  const before = left.first === null ? '+' : `(${formatStreamId(left.first)}`
  let sum = await countListed(key, rawName, before, ask)
  if (left.first === null || (ends.deleted !== null && isBefore(ends.deleted, left.first))) return sum
  let rest: ReferenceRange | null = { ...missingRange(left.first, ends.deleted), from: formatStreamId(left.first) }
  while (rest !== null) {
    const range: ReferenceRange = rest
    const reply = await way.evaluate(ask, (evaluate) => missingCommand('count', evaluate, key, rawName, range))
    if (reply === null) return sum
    const bitten = readBitten(reply, range)
    sum += bitten.missing
    rest = bitten.rest
  }
  return sum
}

/** References that one look goes through. */
const LISTED_AT_ONCE = 500

/** How many references a group has before an ID. */
async function countListed(key: Buffer, group: Uint8Array, to: string, ask: Ask): Promise<number> {
  let sum = 0
  for (let from = '-'; ; ) {
    const command: Command = ['XPENDING', key, Buffer.from(group), from, to, String(LISTED_AT_ONCE)]
    const [reply] = await ask([command], costOfReading(LISTED_AT_ONCE))
    const listed = readIds(accepted(reply, command))
    sum += listed.length
    const last = listed.at(-1)
    if (listed.length < LISTED_AT_ONCE || last === undefined) return sum
    from = `(${formatStreamId(last)}`
  }
}

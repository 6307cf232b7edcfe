/** Foretells what a sweep reaps from one stream once it is trimmed, by the same rules and from reads alone. */

import { isTime } from '../entries/stream_id.ts'
import { readConsumers, readGroupsToReap, withLife } from '../groups/consumer_groups.ts'
import type { Found } from '../look/found.ts'
import { endsCommand, readEnds, type StreamEnds } from '../look/stream_ends.ts'
import type { Ask } from '../redis/ask.ts'
import type { Group } from '../retention/groups.ts'
import { type Limits, reapsGroups } from '../retention/policy.ts'
import { isReapable, judgesLife, MOST_LIVING_REFERENCES, reapableConsumers } from '../retention/reaping.ts'
import { countMissing, type LeftByTrim, type MissingReferences, NO_MISSING } from './count_missing.ts'
import type { CountingWay } from './counting_way.ts'

/** How many things of each kind a sweep would remove, and whether it would unlink the stream. */
export interface ReapForecast {
  consumers: number
  groups: number
  pending: number
  streams: number
}

export const NOTHING_TO_REAP: Readonly<ReapForecast> = { consumers: 0, groups: 0, pending: 0, streams: 0 }

export interface ReapForecastContext {
  readonly ask: Ask
  readonly limits: Limits
  readonly nowMs: number
  readonly way: CountingWay
}

/** What a sweep reaps, and the groups that go with the stream if it is unlinked: dead, and perhaps behind. */
export interface ReapForecasted {
  readonly reap: ReapForecast
  readonly goingToo: readonly Group[]
}

/** `known` are the ends of the stream, if they have been read. @throws Refused, Fault */
export async function forecastReap(
  { key, hasTimeIds }: Pick<Found, 'key' | 'hasTimeIds'>,
  left: LeftByTrim,
  context: ReapForecastContext,
  known: StreamEnds | null = null,
): Promise<ReapForecasted> {
  const { ask, limits, way } = context
  const mayBeIdle = hasTimeIds && Number.isFinite(limits.deleteIdleMs)
  const mayDelete = (limits.deleteEmpty && left.entries === 0) || mayBeIdle
  if (!reapsGroups(limits) && !mayDelete) return { reap: NOTHING_TO_REAP, goingToo: [] }
  const found = await readGroupsToReap(ask, key)
  const needsEnds = mayDelete || found.some(({ pending }) => pending > 0)
  const ends = known ?? (needsEnds ? await readStreamEnds(key, ask, way) : null)
  const missingOf = (group: Group): Promise<MissingReferences> => countMissing(key, group, left, ends, context)
  const reap = { ...NOTHING_TO_REAP }
  const groups: Group[] = []
  for (const group of found) {
    const isDestroyed = limits.reapGroups?.matches(group.rawName) && (await isDead(key, group, context))
    const isLarge = isDestroyed && group.pending > MOST_LIVING_REFERENCES
    const living = isLarge ? group.pending - (await missingOf(group)).total : 0
    if (isDestroyed && living <= MOST_LIVING_REFERENCES) reap.groups++
    else groups.push(group)
  }
  if (mayDelete && (await isDeleted(key, left, ends, groups, mayBeIdle, context)))
    return { reap: { ...reap, streams: 1 }, goingToo: groups }
  for (const group of groups) {
    const { rawName, consumers, pending } = group
    const missing = limits.reapPending && pending > 0 ? await missingOf(group) : NO_MISSING
    reap.pending += missing.total
    if (!Number.isFinite(limits.reapConsumersAfterMs) || consumers === 0) continue
    const all = (await readConsumers(ask, key, rawName, consumers)).map((consumer) => ({
      ...consumer,
      pending: consumer.pending - missing.of(consumer.name),
    }))
    reap.consumers += reapableConsumers(all, limits.reapConsumersAfterMs, judgesLife(limits, rawName)).length
  }
  return { reap, goingToo: [] }
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

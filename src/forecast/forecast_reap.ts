/** Foretells what a sweep reaps from one stream once it is trimmed, by the same rules and from reads alone. */

import { readConsumers, readGroupsToReap, withLife } from '../look/consumer_groups.ts'
import { endsCommand, readEnds, type StreamEnds } from '../look/stream_ends.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command } from '../redis/connection.ts'
import { accepted } from '../redis/refused.ts'
import { leastCosts } from '../retention/bites.ts'
import { type Group, isStale } from '../retention/groups.ts'
import { type Limits, reapsGroups } from '../retention/policy.ts'
import { isReapable, reapableConsumers } from '../retention/reaping.ts'
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
export async function forecastReap(key: Buffer, left: LeftByTrim, context: ReapForecastContext): Promise<ReapForecast> {
  const { ask, limits, nowMs, way } = context
  const mayDelete = (limits.deleteEmpty && left.entries === 0) || Number.isFinite(limits.deleteIdleMs)
  if (!reapsGroups(limits) && !mayDelete) return NOTHING_TO_REAP
  const found = await readGroupsToReap(ask, key)
  const ends = mayDelete || (limits.reapPending && found.length > 0) ? await readStreamEnds(key, ask, way) : null
  const reap = { ...NOTHING_TO_REAP }
  const groups: Group[] = []
  for (const group of found) {
    const judged = limits.reapGroups?.matches(group.rawName) ? await withLife(ask, key, group) : null
    if (judged !== null && isReapable(judged, limits, nowMs)) reap.groups++
    else groups.push(group)
  }
  for (const { rawName, consumers, pending } of groups) {
    if (Number.isFinite(limits.reapConsumersAfterMs) && consumers > 0) {
      const all = await readConsumers(ask, key, rawName)
      reap.consumers += reapableConsumers(all, limits.reapConsumersAfterMs).length
    }
    if (limits.reapPending && pending > 0 && ends !== null)
      reap.pending += await countDangling(key, rawName, left, ends, context)
  }
  if (ends !== null && mayDelete && (await isDeleted(key, left, ends, groups, context))) reap.streams = 1
  return reap
}

/** Whether the stream goes: empty without a group, or idle without a living one. */
async function isDeleted(
  key: Buffer,
  left: LeftByTrim,
  { last }: StreamEnds,
  groups: readonly Group[],
  { ask, limits, nowMs }: ReapForecastContext,
): Promise<boolean> {
  const lastMs = last === null ? Number.NaN : Number(last.ms)
  if (!isTime(lastMs, nowMs)) return false
  if (limits.deleteEmpty && left.entries === 0 && groups.length === 0 && lastMs < nowMs - limits.maxAgeMs) return true
  if (lastMs >= nowMs - limits.deleteIdleMs) return false
  const judged = await Promise.all(groups.map((group) => withLife(ask, key, group)))
  return judged.every((group) => group === null || isStale(group, limits.staleGroupAfterMs, nowMs))
}

async function readStreamEnds(key: Buffer, ask: Ask, way: CountingWay): Promise<StreamEnds | null> {
  const reply = await way.evaluate(ask, (evaluate) => endsCommand(evaluate, key))
  return reply === null ? null : readEnds(reply)
}

/** References that one look goes through. */
const REFERENCES_AT_ONCE = 200

/** Counts references to missing entries in a range; `all` means that none of them exists. */
const COUNT_DANGLING_LUA = `
local listed = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if listed.err then return string.find(listed.err, 'NOGROUP', 1, true) and {0, ''} or listed end
local gone = 0
for _, reference in ipairs(listed) do
  if ARGV[5] == 'all' or #redis.call('XRANGE', KEYS[1], reference[1], reference[1]) == 0 then gone = gone + 1 end
end
local last = listed[#listed]
return {gone, #listed == tonumber(ARGV[4]) and last[1] or ''}`

/** References that will be dangling: all before the first entry that trimming leaves, and after it those to deleted ones. */
async function countDangling(
  key: Buffer,
  group: Uint8Array,
  left: LeftByTrim,
  ends: StreamEnds,
  context: ReapForecastContext,
): Promise<number> {
  const first = left.first === null ? null : formatStreamId(left.first)
  const before = await countRange(key, group, '-', first === null ? '+' : `(${first}`, 'all', context)
  if (left.first === null || first === null) return before
  const hasHoles = ends.deleted === null || !isBefore(ends.deleted, left.first)
  if (!hasHoles) return before
  const to = ends.deleted === null ? '+' : formatStreamId(ends.deleted)
  return before + (await countRange(key, group, first, to, 'missing', context))
}

async function countRange(
  key: Buffer,
  group: Uint8Array,
  from: string,
  to: string,
  which: 'all' | 'missing',
  { ask, way }: ReapForecastContext,
): Promise<number> {
  let sum = 0
  for (let next = from; ; ) {
    const args = [key, Buffer.from(group), next, to, String(REFERENCES_AT_ONCE)]
    const reply = await way.evaluate(ask, (evaluate) => [evaluate, COUNT_DANGLING_LUA, '1', ...args, which])
    if (reply === null) return sum + (which === 'all' ? await countPlainly(args, ask) : 0)
    const [gone, last] = reply as [number, Buffer]
    sum += gone
    if (last.length === 0) return sum
    next = `(${last}`
  }
}

/** The same where scripts are not allowed, and nothing in the range exists. */
async function countPlainly([key, group, from, to, count]: readonly (string | Buffer)[], ask: Ask): Promise<number> {
  let sum = 0
  for (let next: string | Buffer = from ?? '-'; ; ) {
    const command: Command = ['XPENDING', key ?? '', group ?? '', next, to ?? '+', count ?? '']
    const [reply] = await ask([command], leastCosts(1))
    const listed = accepted(reply, command) as readonly (readonly [Buffer])[]
    sum += listed.length
    const last = listed.at(-1)?.[0]
    if (listed.length < Number(count) || last === undefined) return sum
    next = `(${last}`
  }
}

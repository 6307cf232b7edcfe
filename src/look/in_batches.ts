/** Looks at many streams in one command, where Redis knows how and the ACL allows it. */

import { isAscii } from 'node:buffer'
import { LEAST_COST, leastCosts } from '../entries/bites.ts'
import { EARLIEST_TIME_MS, latestTimeId, millisecondsOf, timeId } from '../entries/stream_id.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault, isServerWide, Refusal } from '../redis/refusal.ts'
import type { FutureIds } from '../remembered/future_ids.ts'
import type { GroupedStreams } from '../remembered/grouped_streams.ts'
import type { QuietStreams } from '../remembered/quiet_streams.ts'
import { type Limits, lengthLimit, lookAgeMs, reapsGroups } from '../retention/policy.ts'
import { lengthsOfMany, lookAtMany } from './look_scripts.ts'
import { asQuiet, type State } from './stream_state.ts'

export interface Batching {
  /** Becomes false once Redis refuses a batch, or a batch finds IDs in the future; the rest is looked at one by one. */
  isAllowed: boolean
  /** Highest cost that one command should have. */
  readonly mostAtOnce: number
  readonly futureIds: FutureIds
  readonly groupedStreams: GroupedStreams
  /** Given where a sweep may rely on earlier ones to tell which streams have nothing to reap. */
  readonly quietStreams?: QuietStreams
}

/** What was seen of a key: its state, that it is not a stream, or that it must be looked at by itself. */
export type Seen = State | 'no stream' | 'look again'

interface Chunk {
  readonly keys: readonly Buffer[]
  /** Whether to ask for IDs in the future. */
  readonly asksForFuture: boolean
}

/** Most keys in one command; more save nothing. */
const MOST_KEYS = 32

/**
 * Looks at streams that share the same limits. It reads the oldest entry only where the stream is over a limit, and whether
 * there are groups only there or with `asksGroups`.
 * @returns what was seen, in the order of the keys; null where Redis refused to answer in batches
 * @throws Fault when the connection fails or the whole server refuses
 */
async function lookTogether(
  ask: Ask,
  keys: readonly Buffer[],
  limits: Limits,
  nowMs: number,
  batching: Batching,
  asksGroups: boolean,
): Promise<Seen[] | null> {
  // IDs before any plausible time are reported whatever the limit: they are custom IDs.
  const cutOff = timeId(Math.max(nowMs - lookAgeMs(limits), EARLIEST_TIME_MS))
  const latest = latestTimeId(nowMs)
  const seen: Seen[] = []
  let rest = chunks(keys, batching)
  while (rest.length > 0) {
    const commands = rest.map(({ keys, asksForFuture }) =>
      lookAtMany(keys.map(argument), cutOff, lengthLimit(limits), asksForFuture ? latest : null, asksGroups),
    )
    const replies = await ask(
      commands,
      rest.map(({ keys }) => costOf(keys)),
    )
    const refusal = replies.find((reply) => reply instanceof Refusal)
    if (refusal !== undefined) {
      if (isServerWide(refusal)) throw Fault.of(refusal)
      batching.isAllowed = false
      return null
    }
    const parts = rest.map((chunk, i) => read(replies[i] as LookReply, chunk, batching, asksGroups))
    // Where a script ended early, ask again for what it left and for everything after it: rare, and it keeps the order.
    const cut = rest.findIndex(({ keys }, i) => (parts[i]?.length ?? 0) < keys.length)
    seen.push(...(cut < 0 ? parts : parts.slice(0, cut + 1)).flat())
    rest = cut < 0 ? [] : chunks(keys.slice(seen.length), batching)
  }
  return seen
}

/**
 * The same, where groups are reaped with the groups of streams that had some in the last look. The others are only asked
 * whether they have groups now. Quiet streams are asked neither.
 */
export async function lookWithGroups(
  ask: Ask,
  keys: readonly Buffer[],
  limits: Limits,
  nowMs: number,
  batching: Batching,
): Promise<Seen[] | null> {
  if (!reapsGroups(limits)) return lookTogether(ask, keys, limits, nowMs, batching, false)
  const { groupedStreams, quietStreams } = batching
  const quietLengths = keys.map((key) => quietStreams?.lengthIfQuiet(key, nowMs) ?? null)
  const ways = keys.map(
    (key, i): GroupQuestion => (quietLengths[i] !== null ? 'none' : groupedStreams.has(key) ? 'own' : 'inside'),
  )
  const [inside, plain, groups] = await Promise.all([
    lookTogether(
      ask,
      keys.filter((_, i) => ways[i] === 'inside'),
      limits,
      nowMs,
      batching,
      true,
    ),
    lookTogether(
      ask,
      keys.filter((_, i) => ways[i] !== 'inside'),
      limits,
      nowMs,
      batching,
      false,
    ),
    askGroups(
      ask,
      keys.filter((_, i) => ways[i] === 'own'),
    ),
  ])
  if (inside === null || plain === null) return null
  const next = { inside: 0, plain: 0, groups: 0 }
  return keys.map((key, i) => {
    const seen = (ways[i] === 'inside' ? inside[next.inside++] : plain[next.plain++]) as Seen
    if (ways[i] === 'none') return typeof seen === 'object' ? asQuiet(seen, quietLengths[i] ?? null) : seen
    const state = ways[i] === 'own' ? withGroups(seen, groups[next.groups++]) : seen
    if (typeof state !== 'object') return state
    groupedStreams.set(key, state.hasGroups !== false)
    // A new group has nothing to reap at first.
    if (state.hasGroups === false) quietStreams?.set(key, 0, nowMs, Number.POSITIVE_INFINITY)
    return state
  })
}

/** How to ask for the groups of a stream: not at all, by a command of its own, or inside the script that looks. */
type GroupQuestion = 'none' | 'own' | 'inside'

function withGroups(seen: Seen, groups: Reply | undefined): Seen {
  // Where the stream is gone or the command is denied, whoever needs the groups asks, and is told why.
  if (typeof seen !== 'object' || !Array.isArray(groups)) return seen
  return { ...seen, hasGroups: groups.length > 0, groups }
}

async function askGroups(ask: Ask, keys: readonly Buffer[]): Promise<readonly Reply[]> {
  if (keys.length === 0) return []
  const commands = keys.map((key): Command => ['XINFO', 'GROUPS', argument(key)])
  return ask(commands, leastCosts(keys.length))
}

/** The key as an argument. node-redis writes a command made of strings in one piece, and one with a Buffer in three. */
export function argument(key: Buffer): Buffer | string {
  return isAscii(key) ? key.toString('latin1') : key
}

type LookReply = readonly [
  lengths: readonly number[],
  due: readonly (number | Buffer)[],
  inFuture: readonly Buffer[],
  grouped: readonly number[],
]

function read(
  [lengths, due, inFuture, grouped]: LookReply,
  { keys, asksForFuture }: Chunk,
  batching: Batching,
  asksGroups: boolean,
): Seen[] {
  const hasGroups = asksGroups ? new Set(grouped) : null
  const seen: Seen[] = lengths.map((length, i) =>
    length < 0
      ? 'no stream'
      : {
          ...{ length, oldest: length === 0 ? null : undefined },
          ...(hasGroups === null ? {} : { hasGroups: hasGroups.has(i + 1) }),
        },
  )
  for (let i = 0; i < due.length; i += 4) {
    const [place, id, bytes, groups] = due.slice(i, i + 4) as [number, Buffer, number, number]
    const oldest = { id: id.toString('latin1'), ms: millisecondsOf(id), bytes }
    seen[place - 1] = { length: lengths[place - 1] ?? 0, oldest, hasGroups: groups !== 0 }
  }
  if (asksForFuture) for (const key of keys) batching.futureIds.set(key, false)
  for (const key of inFuture) {
    // Each such key made Redis carry an entry of any size, and they come in numbers: look at the rest one by one.
    batching.isAllowed = false
    seen[keys.findIndex((candidate) => candidate.equals(key))] = 'look again'
  }
  return seen
}

function chunks(keys: readonly Buffer[], { futureIds, mostAtOnce }: Batching): Chunk[] {
  return inChunks(keys, mostAtOnce).map((keys) => ({ keys, asksForFuture: futureIds.shouldAsk(keys.length) }))
}

/** A key costs the script as much as a command of its own. */
function costOf(keys: readonly Buffer[]): number {
  return keys.length * LEAST_COST
}

function inChunks(keys: readonly Buffer[], mostAtOnce: number): (readonly Buffer[])[] {
  const most = Math.max(1, Math.min(MOST_KEYS, Math.floor(mostAtOnce / LEAST_COST)))
  const all: (readonly Buffer[])[] = []
  for (let from = 0; from < keys.length; from += most) all.push(keys.slice(from, from + most))
  return all
}

/** The streams' lengths, in order; -1 for a key that is not a stream. Null where Redis refused to answer in batches. @throws Fault */
export async function lengthsTogether(
  ask: Ask,
  keys: readonly Buffer[],
  mostAtOnce: number,
): Promise<readonly number[] | null> {
  const parts = inChunks(keys, mostAtOnce)
  const replies = await ask(
    parts.map((keys) => lengthsOfMany(keys.map(argument))),
    parts.map(costOf),
  )
  return replies.some((reply) => reply instanceof Refusal) ? null : (replies as number[][]).flat()
}

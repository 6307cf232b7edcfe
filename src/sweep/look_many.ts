/** Looks at many streams in one command, where Redis knows how and the ACL allows it. */

import { isAscii } from 'node:buffer'

import { endsSweep, Fault, Refusal } from '../redis/refusal.ts'
import { LEAST_SHARE } from '../retention/bites.ts'
import { ageLimitMs, type Limits, lengthLimit } from '../retention/policy.ts'
import { EARLIEST_TIME_MS, latestTimeId, millisecondsOf, timeId } from '../retention/stream_id.ts'
import type { AheadStreams } from './ahead.ts'
import { lengthsOfMany, lookAtMany } from './scripts.ts'
import type { Ask, State } from './stream.ts'

export interface Batching {
  /** Once it was refused, or found IDs that are behind all times, a walk goes on without. */
  isAllowed: boolean
  /** What of Redis's time one command should take at most, as a share of what a bite may. */
  readonly mostAtOnce: number
  readonly ahead: AheadStreams
}

/** What was seen of a key: its state, that it is no stream, or that it must be looked at by itself. */
export type Seen = State | 'no stream' | 'look again'

interface Chunk {
  readonly keys: readonly Buffer[]
  /** Whether to ask for IDs behind all times. */
  readonly asksAhead: boolean
}

/** More in one command spare us nothing. */
const MOST_KEYS = 32

/**
 * Looks at streams that are to be held to the same limits. The oldest entry is told only where the stream is over one of
 * them. @returns what was seen, in the order of the keys; null where it is not to be had this way
 * @throws Fault when the connection fails, or when the whole server refuses
 */
export async function lookTogether(
  ask: Ask,
  keys: readonly Buffer[],
  limits: Limits,
  nowMs: number,
  batching: Batching,
): Promise<Seen[] | null> {
  // An ID from before any time is told whatever the limit: it is a custom one.
  const cutOff = timeId(Math.max(nowMs - ageLimitMs(limits), EARLIEST_TIME_MS))
  const latest = latestTimeId(nowMs)
  const seen: Seen[] = []
  let rest = chunks(keys, batching)
  while (rest.length > 0) {
    const commands = rest.map(({ keys, asksAhead }) =>
      lookAtMany(keys.map(argument), cutOff, lengthLimit(limits), asksAhead ? latest : null),
    )
    const replies = await ask(
      commands,
      rest.map(({ keys }) => shareOf(keys)),
    )
    const refusal = replies.find((reply) => reply instanceof Refusal)
    if (refusal !== undefined) {
      if (endsSweep(refusal)) throw Fault.of(refusal)
      batching.isAllowed = false
      return null
    }
    const parts = rest.map((chunk, i) => read(replies[i] as LookReply, chunk, batching))
    // Where one ended early, what it left and all behind it is asked again: that is rare, and keeps the order.
    const cut = rest.findIndex(({ keys }, i) => (parts[i]?.length ?? 0) < keys.length)
    seen.push(...(cut < 0 ? parts : parts.slice(0, cut + 1)).flat())
    rest = cut < 0 ? [] : chunks(keys.slice(seen.length), batching)
  }
  return seen
}

/** node-redis writes a command of texts in one piece, and one with a Buffer in three. */
export function argument(key: Buffer): Buffer | string {
  return isAscii(key) ? key.toString('latin1') : key
}

type LookReply = readonly [lengths: readonly number[], due: readonly (number | Buffer)[], ahead: readonly Buffer[]]

function read([lengths, due, ahead]: LookReply, { keys, asksAhead }: Chunk, batching: Batching): Seen[] {
  const seen: Seen[] = lengths.map((length) =>
    length < 0 ? 'no stream' : { length, oldest: length === 0 ? null : undefined },
  )
  for (let i = 0; i < due.length; i += 4) {
    const [place, id, bytes, groups] = due.slice(i, i + 4) as [number, Buffer, number, number]
    const oldest = { id: id.toString('latin1'), ms: millisecondsOf(id), bytes }
    seen[place - 1] = { length: lengths[place - 1] ?? 0, oldest, isGroupless: groups === 0 }
  }
  if (asksAhead) for (const key of keys) batching.ahead.set(key, false)
  for (const key of ahead) {
    // Each carried an entry, of whatever size, and where there is one there are many: the rest is looked at one by one.
    batching.isAllowed = false
    seen[keys.findIndex((candidate) => candidate.equals(key))] = 'look again'
  }
  return seen
}

function chunks(keys: readonly Buffer[], { ahead, mostAtOnce }: Batching): Chunk[] {
  return inChunks(keys, mostAtOnce).map((keys) => ({ keys, asksAhead: ahead.isToAsk(keys.length) }))
}

/** Each key takes the script as long as a command of its own takes. */
function shareOf(keys: readonly Buffer[]): number {
  return keys.length * LEAST_SHARE
}

function inChunks(keys: readonly Buffer[], mostAtOnce: number): (readonly Buffer[])[] {
  const most = Math.max(1, Math.min(MOST_KEYS, Math.floor(mostAtOnce / LEAST_SHARE)))
  const all: (readonly Buffer[])[] = []
  for (let from = 0; from < keys.length; from += most) all.push(keys.slice(from, from + most))
  return all
}

/** How long these streams are now, in their order: -1 for what is no stream. Null where it is not to be had this way. @throws Fault */
export async function lengthsTogether(
  ask: Ask,
  keys: readonly Buffer[],
  mostAtOnce: number,
): Promise<readonly number[] | null> {
  const parts = inChunks(keys, mostAtOnce)
  const replies = await ask(
    parts.map((keys) => lengthsOfMany(keys.map(argument))),
    parts.map(shareOf),
  )
  return replies.some((reply) => reply instanceof Refusal) ? null : (replies as number[][]).flat()
}

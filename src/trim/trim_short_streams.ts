/** Trims the many short streams of a page in a few round trips, which are most of what trimming a short stream takes. */

import { batchesWithin, biteOf, costOfBite } from '../entries/bites.ts'
import { formatStreamId, timeId } from '../entries/stream_id.ts'
import { isOlderThan } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import { argument, lengthsTogether } from '../look/in_batches.ts'
import type { State } from '../look/stream_state.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { Refused } from '../redis/refused.ts'
import {
  ageLimitMs,
  forEachReason,
  type Limits,
  lengthLimit,
  needOnlyLengthAndAge,
  REASONS,
  type Reason,
  sumOfReasons,
} from '../retention/policy.ts'
import { trimStream } from './trim_stream.ts'
import type { TrimContext, Trimmed } from './trimmed.ts'

/**
 * Whether one bite for each limit is enough: the stream fits into one bite, whole nodes go, and there is no group whose
 * unread entries must be counted or kept, nor an archive that has not confirmed all of them.
 */
export function isOneBiteEnough(
  { state: { length, oldest, hasGroups }, archivedBefore }: Found,
  limits: Limits,
): boolean {
  return (
    archivedBefore === undefined &&
    hasGroups === false &&
    limits.trim === 'approx' &&
    limits.protect === 'none' &&
    needOnlyLengthAndAge(limits) &&
    Boolean(oldest) &&
    length <= biteOf(oldest?.bytes ?? 0)
  )
}

/** One XTRIM of one stream. */
interface Bite {
  readonly work: Work
  readonly reason: Reason
  readonly command: Command
  readonly cost: number
}

/** The work on one stream. */
interface Work {
  readonly stream: Found
  readonly removed: Record<Reason, number>
  refused: Refused | null
}

/**
 * Trims streams of one policy for which `isOneBiteEnough` holds. Never throws what Redis or the connection did.
 * @returns a result for each stream, in order
 */
export async function trimTogether(
  streams: readonly Found[],
  context: TrimContext,
  mostAtOnce: number,
): Promise<Trimmed[]> {
  const works = streams.map((stream): Work => ({ stream, removed: forEachReason(0), refused: null }))
  const { ask, stop } = context
  try {
    const bites = bitesOf(works, context)
    const costs = bites.map(({ cost }) => cost)
    for (const { from, to } of batchesWithin(costs, 1)) {
      if (stop.aborted) break
      await bite(bites.slice(from, to), context)
    }
    const lengths = await lengthsTogether(
      ask,
      streams.map(({ key }) => key),
      mostAtOnce,
    )
    return await Promise.all(works.map((work, i) => end(work, lengths?.[i] ?? null, context)))
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    return works.map((work) => trimmed(work, stateAfter(work), error))
  }
}

/** The bites of all streams. A stream over several limits costs only once: its second bite finds little left. */
function bitesOf(works: readonly Work[], { limits, nowMs }: TrimContext): Bite[] {
  const cutOff = timeId(nowMs - ageLimitMs(limits))
  const [before, most] = [formatStreamId(cutOff), lengthLimit(limits)]
  const bites: Bite[] = []
  for (const work of works) {
    const { key, state, hasTimeIds } = work.stream
    const bytes = state.oldest?.bytes ?? 0
    const cost = costOfBite(state.length, bytes)
    const limit = ['LIMIT', String(biteOf(bytes))]
    const named = argument(key)
    const isOld = hasTimeIds && isOlderThan(state, cutOff)
    if (isOld) bites.push({ work, reason: 'age', cost, command: ['XTRIM', named, 'MINID', '~', before, ...limit] })
    if (state.length > most) {
      const command = ['XTRIM', named, 'MAXLEN', '~', String(most), ...limit]
      bites.push({ work, reason: 'length', cost: isOld ? 0 : cost, command })
    }
  }
  return bites
}

/** Sends bites and counts what Redis removed, also where the connection ends among them. @throws Fault */
async function bite(bites: readonly Bite[], { ask }: TrimContext): Promise<void> {
  let replies: readonly Reply[] = []
  try {
    replies = await ask(
      bites.map(({ command }) => command),
      bites.map(({ cost }) => cost),
    )
  } catch (error) {
    if (error instanceof Fault) replies = error.answered
    throw error
  } finally {
    for (const [i, reply] of replies.entries()) {
      const { work, reason, command } = bites[i] as Bite
      if (reply instanceof Refusal) work.refused ??= new Refused(reply, String(command[0]))
      else work.removed[reason] += Number(reply)
    }
  }
}

/** The result for a stream of this length; null where that could not be seen. */
async function end(work: Work, length: number | null, context: TrimContext): Promise<Trimmed> {
  if (length === -1) work.refused ??= new Refused(new Refusal('WRONGTYPE'), 'XLEN')
  if (work.refused !== null) return trimmed(work, stateAfter(work), null)
  const oldest = length === 0 ? null : undefined
  if (length !== null) return trimmed(work, { length, oldest }, null)
  const rest = await trimStream({ ...work.stream, state: stateAfter(work) }, context)
  for (const reason of REASONS) work.removed[reason] += rest.removed[reason]
  return { ...rest, removed: work.removed }
}

/** The state that must follow from what was removed. */
function stateAfter({ stream: { state }, removed }: Work): State {
  return { length: Math.max(0, state.length - sumOfReasons(removed)), oldest: undefined }
}

function trimmed({ removed, refused }: Work, state: State, fault: Fault | null): Trimmed {
  return { state, memoryBytes: 0, removed, unread: 0, unarchived: 0, hold: null, refused, fault, attempted: true }
}

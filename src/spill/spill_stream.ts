/** Reads from one stream what a trim would remove, bite by bite, and hands it to the archive. */

import { addLine, lineStart } from '../archive/entry_line.ts'
import type { LineBuffer } from '../archive/line_buffer.ts'
import { costOfReading, NODE_BYTES, NODE_ENTRIES } from '../entries/bites.ts'
import { laterOf, nextStreamId, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import { readGroups } from '../groups/consumer_groups.ts'
import type { Found } from '../look/found.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command } from '../redis/connection.ts'
import { accepted } from '../redis/refused.ts'
import { groupDetail, type Hold, holdOf } from '../retention/groups.ts'
import type { Limits } from '../retention/policy.ts'
import type { Budget } from './budget.ts'
import { dueRange, goes } from './due_range.ts'

/** A bite aims at so many bytes of entries; one entry may be larger. */
const BITE_BYTES = 128 * 1024
/** Entries of a bite at most: reading them takes Redis about half a millisecond. */
const MOST_ENTRIES = 1000
/** Of the first bite: only the size of the oldest entry is known. */
const MOST_FIRST_ENTRIES = 100
/** For a stream whose oldest entry nobody has looked at. */
const UNKNOWN_BYTES = 10_000
/** Where the entries turn out small, the next bite grows by this factor at most: the entries behind may be large. */
const GROWTH = 4
/** Redis spends about as long on so many bytes as on a bite that costs 1. */
const BYTES_OF_COST = 4 * 1024 * 1024

export interface SpillContext {
  readonly ask: Ask
  readonly limits: Limits
  readonly nowMs: number
  readonly stop: AbortSignal
  /** Highest cost that one command should have. */
  readonly mostAtOnce: number
  readonly budget: Budget
  /** Writes lines to the archive. @returns the number of their segment */
  readonly add: (write: (lines: LineBuffer) => void, entries: number, from: StreamId, to: StreamId) => Promise<number>
  /** Whether this segment is durable already: then what is archived so far can go before more is read. */
  readonly isDurable: (segment: number) => boolean
}

/** Nothing was archived. */
export interface NothingSpilled {
  readonly before: null
  /** What a group holds back. */
  readonly hold: Hold | null
}

export interface Spilled {
  /** All entries before this ID are archived once the segment is durable. */
  readonly before: StreamId
  readonly segment: number
  /** Whether more would go: a segment was closed, or a stop came. */
  readonly isCutShort: boolean
}

type Entry = readonly [id: Buffer, fields: readonly Buffer[]]

/**
 * Archives the oldest entries of a stream, those that are due. With `last`, its last ID ever, archives all of it: the stream
 * will be unlinked. It may find nothing to archive: `approx` removes whole nodes only, so less than one waits for more.
 * @throws Refused, Fault, ArchiveFault
 */
export async function spillStream(
  stream: Found,
  context: SpillContext,
  last: StreamId | null = null,
): Promise<Spilled | NothingSpilled> {
  const { ask, limits, nowMs, stop, budget, add, isDurable } = context
  const { key, state } = stream
  const detail = groupDetail(limits)
  const groups = detail === 'none' || last !== null ? [] : await readGroups(ask, key, detail)
  const hold = holdOf(groups, limits, nowMs)
  const range = dueRange(stream, limits, groups, hold, nowMs)
  const isDue = (older: number, id: StreamId): boolean => last !== null || goes(range, older, id)
  const start = lineStart(key)
  const bite = new BiteSize(state.oldest?.bytes ?? UNKNOWN_BYTES, context.mostAtOnce)
  let [from, older, isEnd]: [string, number, boolean] = ['-', 0, false]
  let archived: { before: StreamId; segment: number } | null = null
  /** Entries that are due and not with the archive yet: one bite, or less than a node. */
  let held: readonly Entry[] = []
  const take = async (): Promise<void> => {
    const most = bite.entries
    const command: Command = ['XRANGE', key, from, '+', 'COUNT', String(most)]
    const [reply] = await ask([command], costOfReading(most) + bite.bytes / BYTES_OF_COST)
    const entries = accepted(reply, command) as unknown as readonly Entry[]
    const going = countDue(entries, (place, id) => isDue(older + place, id))
    isEnd = entries.length < most || going < entries.length
    bite.learn(entries)
    older += going
    held = [...held, ...entries.slice(0, going)]
    const [first, last] = [held[0], held.at(-1)]
    if (first === undefined || last === undefined) return
    from = `(${last[0]}`
    const isWhole = isEnd && going === entries.length
    if (limits.trim === 'approx' && archived === null && !isWhole && isBelowNode(held)) return
    const write = (lines: LineBuffer): void => {
      for (const entry of held) addLine(lines, start, ...entry)
    }
    const segment = await add(write, held.length, idOf(first), idOf(last))
    archived = { before: nextStreamId(idOf(last)), segment }
    held = []
  }
  const soFar = (): typeof archived => archived
  while (!isEnd && !stop.aborted) {
    // The entries are held until their lines are written, so that is within the budget too.
    await budget.within(bite.bytes, take)
    const segment = soFar()?.segment ?? null
    if (last === null && segment !== null && isDurable(segment)) break
  }
  const result = soFar()
  if (result === null) return { before: null, hold }
  // An entry that was deleted may have had the last ID of all.
  const before = last !== null && isEnd ? laterOf(result.before, nextStreamId(last)) : result.before
  return { before, segment: result.segment, isCutShort: !isEnd }
}

/** How many of the entries, counted from the first, are due. */
function countDue(entries: readonly Entry[], isDue: (place: number, id: StreamId) => boolean): number {
  let [least, most] = [0, entries.length]
  // Mostly all of them are.
  if (most === 0 || isDue(most - 1, idOf(entries[most - 1] as Entry))) return most
  while (least < most) {
    const middle = (least + most) >> 1
    if (isDue(middle, idOf(entries[middle] as Entry))) least = middle + 1
    else most = middle
  }
  return least
}

function idOf([id]: Entry): StreamId {
  return parseStreamId(id.toString('latin1'))
}

/** Whether they are surely less than one node of Redis's default size. */
function isBelowNode(entries: readonly Entry[]): boolean {
  return entries.length < NODE_ENTRIES && entries.reduce((sum, entry) => sum + bytesOf(entry), 0) < NODE_BYTES
}

function bytesOf([, fields]: Entry): number {
  let bytes = 0
  for (const field of fields) bytes += field.length
  return bytes
}

/** How many entries the next bite reads: as many as fit if they are as large as the largest of the bite before. */
class BiteSize {
  readonly #most: number
  #entryBytes: number
  entries: number

  constructor(entryBytes: number, mostAtOnce: number) {
    this.#most = Math.max(10, Math.min(MOST_ENTRIES, Math.floor(mostAtOnce * 2500)))
    this.#entryBytes = Math.max(1, entryBytes)
    this.entries = Math.min(this.#fitting(), MOST_FIRST_ENTRIES)
  }

  get bytes(): number {
    return this.entries * this.#entryBytes
  }

  learn(entries: readonly Entry[]): void {
    let largest = 1
    for (const entry of entries) largest = Math.max(largest, bytesOf(entry))
    this.#entryBytes = largest
    this.entries = Math.min(this.#fitting(), this.entries * GROWTH)
  }

  #fitting(): number {
    return Math.max(1, Math.min(this.#most, Math.floor(BITE_BYTES / this.#entryBytes)))
  }
}

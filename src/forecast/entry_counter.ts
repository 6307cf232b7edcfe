/** Counts a stream's entries before given IDs, exactly where Redis allows it, without changing anything. */

import { costOfReading } from '../entries/bites.ts'
import { formatStreamId, isBefore, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command } from '../redis/connection.ts'
import { accepted } from '../redis/refused.ts'
import { countRange, stepFor } from './count_scripts.ts'
import type { CountingWay } from './counting_way.ts'

/** A position in the stream: this many entries come before `id`. */
interface Anchor {
  readonly id: StreamId
  readonly entries: number
}

/** A range to read from one of its ends. */
type Range = Parameters<typeof countRange>[2]

/** What one bite counted, and where the next one goes on; `next` is empty at the end of the range. */
interface Bite {
  readonly entries: number
  readonly next: string
  /** The last ID read, unless `next` is empty. */
  readonly last: string
}

function biteOf(entries: number, next: string): Bite {
  return { entries, next, last: next.slice(1) }
}

/** Bites from the old end for each one from the new end: a backlog that must be read is then read little more than once. */
const BITES_FROM_BELOW = 3
/** Most entries that are read over the network for one answer, where scripts are not allowed. */
const PLAIN_ENTRIES = 5_000

/**
 * Counts within one stream. It remembers every answer as an anchor, and counts the next one from the nearest anchors on
 * both sides at once: whichever side arrives first has the answer. So a backlog of a million old entries before a few fresh
 * ones costs as much as reading the fresh ones.
 */
export class EntryCounter {
  /** False once an answer had to be estimated. */
  isExact = true
  readonly #key: Buffer
  readonly #ask: Ask
  readonly #way: CountingWay
  readonly #step: number
  readonly length: number
  readonly newest: StreamId
  /** In the order of their IDs. */
  readonly #anchors: Anchor[]

  /** `length` entries lie from `oldest` to `newest`; `entryBytes` is the size of the oldest one. */
  constructor(
    stream: { key: Buffer; length: number; oldest: StreamId; newest: StreamId; entryBytes: number },
    ask: Ask,
    way: CountingWay,
  ) {
    this.#key = stream.key
    this.#ask = ask
    this.#way = way
    this.#step = stepFor(stream.entryBytes)
    this.length = stream.length
    this.newest = stream.newest
    this.#anchors = [
      { id: stream.oldest, entries: 0 },
      { id: stream.newest, entries: stream.length - 1 },
    ]
  }

  /** How many entries come before `id`. @throws Refused, Fault */
  async before(id: StreamId): Promise<number> {
    if (isBefore(this.newest, id)) return this.length
    const at = this.#anchors.findIndex((anchor) => !isBefore(anchor.id, id))
    const [below, above] = [this.#anchors[at - 1], this.#anchors[at] as Anchor]
    if (below === undefined || !isBefore(id, above.id)) return above.entries
    const entries = await this.#between(below, above, id)
    this.#anchors.splice(at, 0, { id, entries })
    return entries
  }

  /** The ID of the entry that `entries` others come before; null where there is none. @throws Refused, Fault */
  async idAt(entries: number): Promise<StreamId | null> {
    if (entries >= this.length) return null
    const above = this.#anchors.findIndex((anchor) => anchor.entries > entries)
    const low = this.#anchors[above < 0 ? this.#anchors.length - 1 : above - 1] as Anchor
    const high = this.#anchors[above]
    const up = entries - low.entries + 1
    const down = high === undefined ? Number.POSITIVE_INFINITY : high.entries - entries
    const from = up <= down ? formatStreamId(low.id) : `(${formatStreamId((high as Anchor).id)}`
    let range: Range = up <= down ? { command: 'XRANGE', from, to: '+' } : { command: 'XREVRANGE', from, to: '-' }
    for (let left = Math.min(up, down); ; ) {
      const bite = await this.#count(range, left)
      left -= bite.entries
      if (left === 0) return parseStreamId(bite.last)
      if (bite.next === '') return null
      range = { ...range, from: bite.next }
    }
  }

  async #between(below: Anchor, above: Anchor, id: StreamId): Promise<number> {
    const split = formatStreamId(id)
    let up: Range = { command: 'XRANGE', from: formatStreamId(below.id), to: `(${split}` }
    let down: Range = { command: 'XREVRANGE', from: `(${formatStreamId(above.id)}`, to: split }
    let [low, high] = [below.entries, above.entries]
    let read = 0
    for (let bites = 0; this.#way.hasScripts || read <= PLAIN_ENTRIES; bites++) {
      const isFromBelow = bites % (BITES_FROM_BELOW + 1) < BITES_FROM_BELOW
      const { entries, next } = await this.#count(isFromBelow ? up : down)
      read += entries
      if (isFromBelow) low += entries
      else high -= entries
      if (next === '') return isFromBelow ? low : high
      if (isFromBelow) up = { ...up, from: next }
      else down = { ...down, from: next }
    }
    return this.#estimate(below, above, id)
  }

  /** One bite of at most `limit` entries, by a script or by a plain read. */
  async #count(range: Range, limit = Number.MAX_SAFE_INTEGER): Promise<Bite> {
    const reply = await this.#way.evaluate(this.#ask, (evaluate) =>
      countRange(evaluate, this.#key, range, this.#step, this.#way.entriesAtOnce, limit),
    )
    if (reply !== null) {
      const [entries, next] = reply as [number, Buffer]
      return biteOf(entries, next.toString())
    }
    const step = Math.min(this.#step, limit)
    const command: Command = [range.command, this.#key, range.from, range.to, 'COUNT', String(step)]
    const [plain] = await this.#ask([command], costOfReading(step))
    const entries = accepted(plain, command) as readonly (readonly [Buffer])[]
    const last = entries.at(-1)?.[0].toString()
    return biteOf(entries.length, entries.length < step || last === undefined ? '' : `(${last}`)
  }

  /** As if entries were written at an even rate between the two anchors. */
  #estimate(below: Anchor, above: Anchor, id: StreamId): number {
    this.isExact = false
    const [from, at, to] = [below.id.ms, id.ms, above.id.ms].map(Number) as [number, number, number]
    const share = to > from ? (at - from) / (to - from) : 0.5
    return below.entries + Math.round(share * (above.entries - below.entries))
  }
}

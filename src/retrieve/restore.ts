/** Puts archived entries back into a stream, with the IDs that they had. */
import { type Entry, parseLine } from '../archive/entry_line.ts'
import { costOfBite } from '../entries/bites.ts'
import { formatStreamId, isBefore, nextStreamId, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { shown } from '../text/shown.ts'
import type { Line } from './runs.ts'

/** What a restore did. */
export interface Restored {
  /** Entries that were added now. */
  added: number
  /** Entries that an earlier, interrupted restore had added. */
  found: number
}

/** There is nothing to restore, or the target holds something else. The message says what. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused'
}

/** Entries are added, and compared, in transactions of at most so many entries or bytes. */
const MOST_ENTRIES = 100
const MOST_BYTES = 256 * 1024

/**
 * Adds the entries to `target`, in order. Where an earlier restore of the same entries was interrupted, checks that the
 * target holds what the archive says, and goes on behind it. Counts in `restored` as it goes, so that an error shows how far
 * it came.
 * @throws RestoreRefused; Fault when Redis refuses or the connection fails; ArchiveFault
 */
export async function restore(
  ask: Ask,
  target: Buffer,
  lines: AsyncGenerator<Line>,
  restored: Restored,
  stop: AbortSignal,
): Promise<void> {
  const last = await lastId(ask, target)
  let batch: Entry[] = []
  let bytes = 0
  let isFirst = true
  let held: HeldEntries | null = null
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return
    await add(ask, target, batch, bytes)
    restored.added += batch.length
    batch = []
    bytes = 0
  }
  for await (const { id, line } of lines) {
    if (stop.aborted) break
    if (isFirst && last !== null && !isBefore(last, id)) held = new HeldEntries(ask, target, id)
    isFirst = false
    const entry = parseLine(line)
    if (held !== null && last !== null && !isBefore(last, id)) {
      await held.expect(entry, last)
      restored.found++
      continue
    }
    // What the target holds is read to its end before anything is added.
    if (held !== null) await held.expectEnd()
    held = null
    batch.push(entry)
    bytes += line.length
    if (batch.length >= MOST_ENTRIES || bytes >= MOST_BYTES) await flush()
  }
  if (held !== null) await held.expectEnd()
  if (!stop.aborted) await flush()
}

/** The last ID that the target ever had; null for a key that does not exist. */
async function lastId(ask: Ask, target: Buffer): Promise<StreamId | null> {
  const [reply] = await ask([['XINFO', 'STREAM', target]])
  if (reply instanceof Refusal) {
    if (/no such key/.test(reply.message)) return null
    if (reply.word === 'WRONGTYPE') throw new RestoreRefused(`${shown(target)} exists and is not a stream`)
    throw Fault.of(reply)
  }
  const fields = reply as readonly Reply[]
  const at = fields.findIndex((field) => Buffer.isBuffer(field) && field.toString() === 'last-generated-id')
  return parseStreamId(String(fields[at + 1]))
}

/** All of them or none: were one refused and the next added, the first could never be added again. */
async function add(ask: Ask, target: Buffer, entries: readonly Entry[], bytes: number): Promise<void> {
  // Alone: were it refused, the entries after it would be added one by one.
  const [begun] = await ask([['MULTI']])
  if (begun instanceof Refusal) throw Fault.of(begun)
  const commands = entries.map(({ id, fields }): Command => ['XADD', target, id, ...fields.flat()])
  const replies = await ask([...commands, ['EXEC']], costOfBite(entries.length, Math.ceil(bytes / entries.length)))
  const executed = replies.at(-1)
  const refusal = replies.find((reply) => reply instanceof Refusal)
  if (refusal instanceof Refusal) throw Fault.of(refusal)
  for (const reply of executed as readonly Reply[]) {
    if (reply instanceof Refusal)
      throw new RestoreRefused(
        `${shown(target)} was written to during the restore: Redis refused an entry (${reply.message})`,
      )
  }
}

/** The entries that the target holds from an ID on, compared one by one with those of the archive. */
class HeldEntries {
  readonly #ask: Ask
  readonly #target: Buffer
  readonly #first: StreamId
  #next: StreamId
  #entries: (readonly [id: Buffer, fields: readonly Buffer[]])[] = []

  constructor(ask: Ask, target: Buffer, from: StreamId) {
    this.#ask = ask
    this.#target = target
    this.#first = from
    this.#next = from
  }

  /** @throws RestoreRefused unless this entry comes next in the target */
  async expect(entry: Entry, last: StreamId): Promise<void> {
    const held = await this.#take()
    const isSame =
      held !== null &&
      held[0].toString() === entry.id &&
      held[1].length === entry.fields.length * 2 &&
      entry.fields.flat().every((bytes, i) => bytes.equals(held[1][i] as Buffer))
    if (!isSame) {
      throw new RestoreRefused(
        `${shown(this.#target)} has the last ID ${formatStreamId(last)}, and does not hold what the archive holds from ${formatStreamId(this.#first)} to ${entry.id}`,
      )
    }
  }

  /** @throws RestoreRefused if the target holds an entry that the archive does not */
  async expectEnd(): Promise<void> {
    const held = await this.#take()
    if (held !== null) {
      throw new RestoreRefused(`${shown(this.#target)} holds ${held[0]}, which the archive does not`)
    }
  }

  async #take(): Promise<readonly [id: Buffer, fields: readonly Buffer[]] | null> {
    if (this.#entries.length === 0) {
      const from = formatStreamId(this.#next)
      const [reply] = await this.#ask([['XRANGE', this.#target, from, '+', 'COUNT', String(MOST_ENTRIES)]])
      if (reply instanceof Refusal) throw Fault.of(reply)
      this.#entries = [...(reply as (readonly [Buffer, Buffer[]])[])]
      const last = this.#entries.at(-1)
      if (last !== undefined) this.#next = nextStreamId(parseStreamId(last[0].toString()))
    }
    return this.#entries.shift() ?? null
  }
}

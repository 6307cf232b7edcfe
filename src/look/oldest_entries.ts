/** Reads the oldest entries of a stream, and what `MEMORY USAGE` reports with more and more of the oldest nodes. */

import { costOfReading } from '../entries/bites.ts'
import type { ReportBySamples } from '../entries/reported_nodes.ts'
import { elementBytes, type NodeRule, nodesFrom, type SampledEntry } from '../entries/stream_nodes.ts'
import type { Ask } from '../redis/ask.ts'
import type { Reply } from '../redis/connection.ts'
import { accepted } from '../redis/refused.ts'
import { memoryCommand } from './stream_state.ts'

/** Entries are read up to this many, or this many bytes of them. */
const MOST_ENTRIES = 10_000
const MOST_BYTES = 1024 * 1024
/** At once, at most. */
const MOST_ENTRIES_AT_ONCE = 256
const MOST_BYTES_AT_ONCE = 64 * 1024
/** Read first: how large entries are shows how many more to read at once. */
const FIRST_ENTRIES = 8

/** What `MEMORY USAGE` reports with `count` numbers of samples, beginning with `from`. `cost` is the cost of one. @throws Refused */
export async function readBySamples(
  ask: Ask,
  key: Buffer,
  from: number,
  count: number,
  cost: number,
): Promise<ReportBySamples> {
  const commands = Array.from({ length: count }, (_, i) => memoryCommand(key, from + i))
  const replies = await ask(commands, cost * count)
  return { from, bytes: replies.map((reply, i) => Number(accepted(reply, commands[i] ?? []))) }
}

/** Reads the oldest of `length` entries, from `first` on: as many as fill so many nodes. @throws Refused */
export async function readNodes(
  ask: Ask,
  key: Buffer,
  first: SampledEntry,
  length: number,
  rule: NodeRule,
  nodes: number,
): Promise<readonly SampledEntry[]> {
  const entries = [first]
  let [largest, bytes] = [first.rawBytes, first.rawBytes]
  let most = FIRST_ENTRIES
  const isEnough = (): boolean => bytes >= MOST_BYTES || entries.length >= Math.min(length, MOST_ENTRIES)
  for (let [full, from] = [0, 0]; !isEnough(); most = MOST_ENTRIES_AT_ONCE) {
    const count = Math.min(most, Math.floor(MOST_BYTES_AT_ONCE / Math.max(1, largest)) + 1)
    const command = ['XRANGE', key, `(${entries.at(-1)?.id}`, '+', 'COUNT', String(count)]
    const [answer] = await ask([command], costOfReading(count))
    const reply = accepted(answer, command)
    const more = Array.isArray(reply) ? reply.map(entryOf).filter((entry) => entry !== null) : []
    for (const entry of more) {
      entries.push(entry)
      bytes += entry.rawBytes
      largest = Math.max(largest, entry.rawBytes)
    }
    for (const { isFull, to } of nodesFrom(entries, from, rule)) if (isFull) [full, from] = [full + 1, to]
    if (full >= nodes || more.length < count) break
  }
  return entries
}

/** An entry as `XRANGE` and `XINFO STREAM` carry it; null where there is none. */
export function entryOf(reply: Reply | undefined): SampledEntry | null {
  if (!Array.isArray(reply) || !Array.isArray(reply[1])) return null
  const id = String(reply[0])
  const [ms = 0, seq = 0] = id.split('-').map(Number)
  const list = reply[1] as readonly Buffer[]
  let [names, values, rawBytes] = [0, 0, 0]
  const shape: string[] = []
  for (let i = 0; i + 1 < list.length; i += 2) {
    const [name, value] = [list[i] as Buffer, list[i + 1] as Buffer]
    names += elementBytes(name)
    values += elementBytes(value)
    rawBytes += name.length + value.length
    shape.push(`${name.length}:${name.toString('latin1')}`)
  }
  return { id, ms, seq, fields: list.length / 2, shape: shape.join(), names, values, rawBytes }
}

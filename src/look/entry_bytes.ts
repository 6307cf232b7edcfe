/** Looks at how many bytes the entries of a stream take where `MEMORY USAGE` counts consumer groups as well. */

import { costOfReading, LEAST_COST } from '../entries/bites.ts'
import {
  type EntryBytes,
  estimateEntries,
  type GroupCounts,
  type GroupSize,
  groupBytes,
  type MemoryHabits,
  type Sample,
} from '../entries/entry_bytes.ts'
import { areAlike } from '../entries/node_sizes.ts'
import { AVERAGED, type ReportBySamples } from '../entries/reported_nodes.ts'
import { isBefore, parseStreamId } from '../entries/stream_id.ts'
import { DEFAULT_RULE, elementBytes, type NodeRule, nodeFrom, type SampledEntry } from '../entries/stream_nodes.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { accepted, isGone, Refused } from '../redis/refused.ts'
import { shown } from '../text/shown.ts'
import { fieldsOf } from './fields.ts'
import type { Habits } from './memory_habits.ts'

/** Entries are read up to this many, or this many bytes of them. */
const MOST_ENTRIES = 10_000
const MOST_BYTES = 2 * 1024 * 1024
/** At once, at most. */
const MOST_ENTRIES_AT_ONCE = 256
const MOST_BYTES_AT_ONCE = 64 * 1024
/** Read first: how large entries are shows how many more to read at once. */
const FIRST_ENTRIES = 8
/** `MEMORY USAGE` takes Redis about 0.05 ms for a thousand consumers. Where there are more, it is not asked again. */
const MOST_CONSUMERS = 1000
/** `MEMORY USAGE` is asked with so many samples where entries were deleted out of nodes: most nodes then tell how large they are. */
const MORE_SAMPLES = 32
/** Where Valkey counts groups alike only from more samples on than this, too many nodes would have to be read. */
const MOST_FROM = 20

/** What a stream with groups is made of. */
export interface Contents {
  readonly entries: EntryBytes
  readonly counts: GroupCounts
  /** The group that takes most. */
  readonly largest: GroupSize
  readonly habits: MemoryHabits
  readonly newest: SampledEntry
}

/**
 * Estimates what the entries take of the `totalBytes` that Redis reports for a stream. Null for a stream without groups or
 * entries: there the report is right.
 * @throws Refused
 */
export async function lookAtContents(
  ask: Ask,
  key: Buffer,
  totalBytes: number,
  habits: Habits,
): Promise<Contents | null> {
  const found = await lookInside(ask, key, totalBytes, habits)
  return typeof found === 'string' ? null : found
}

/**
 * What the entries take of the `totalBytes` that Redis reports for a stream: all of it in a stream without groups, and
 * nothing in one that has only groups.
 * @throws Refused
 */
export async function bytesOfEntries(ask: Ask, key: Buffer, totalBytes: number, habits: Habits): Promise<number> {
  const found = await lookInside(ask, key, totalBytes, habits)
  if (found === 'no groups') return totalBytes
  return found === 'no entries' ? 0 : Math.round(found.entries.bytes)
}

async function lookInside(
  ask: Ask,
  key: Buffer,
  totalBytes: number,
  habits: Habits,
): Promise<Contents | 'no groups' | 'no entries'> {
  try {
    return await lookAtGroupsAndEntries(ask, key, totalBytes, habits)
  } catch (error) {
    if (!(error instanceof Refused && isGone(error.refusal))) throw error
    return 'no entries'
  }
}

async function lookAtGroupsAndEntries(
  ask: Ask,
  key: Buffer,
  totalBytes: number,
  habits: Habits,
): Promise<Contents | 'no groups' | 'no entries'> {
  const groups = await one(ask, ['XINFO', 'GROUPS', key])
  if (!Array.isArray(groups) || groups.length === 0) return 'no groups'
  const sizes = groups.map(sizeOf)
  const counts = countsOf(sizes)
  const stream = fieldsOf(await one(ask, ['XINFO', 'STREAM', key]))
  const [first, newest] = [entryOf(stream.get('first-entry')), entryOf(stream.get('last-entry'))]
  if (first === null || newest === null) return 'no entries'
  const deleted = stream.get('max-deleted-entry-id')
  const mayHaveGaps = Buffer.isBuffer(deleted) && isBefore(parseStreamId(first.id), parseStreamId(String(deleted)))
  const server = await habits()
  const rule = server.rule ?? DEFAULT_RULE
  const from = server.treeCount === 'by rule' ? 1 : groupsLookedAt(sizes)
  const isTold = from <= MOST_FROM && counts.groups + counts.consumers <= MOST_CONSUMERS
  // One more than are averaged: of the first one there may be only a part.
  const oldest = await readNodes(ask, key, first, rule, isTold ? from + AVERAGED : AVERAGED + 1)
  const sample: Sample = {
    tree: { nodes: Number(stream.get('radix-tree-keys')), branches: Number(stream.get('radix-tree-nodes')) },
    length: Number(stream.get('length')),
    totalBytes,
    counts,
    mayHaveGaps,
    oldest,
    newest,
    report:
      isTold && !areAlike(oldest, rule, server.rounding)
        ? await readBySamples(ask, key, from, mayHaveGaps ? MORE_SAMPLES : AVERAGED)
        : null,
  }
  return { entries: estimateEntries(sample, server), counts, largest: largestOf(sizes), habits: server, newest }
}

async function one(ask: Ask, command: Command, cost = LEAST_COST): Promise<Reply> {
  const [reply] = await ask([command], cost)
  return accepted(reply, command)
}

function sizeOf(fields: Reply): GroupSize {
  const told = fieldsOf(fields)
  return {
    name: shown(told.get('name') as Buffer),
    consumers: Number(told.get('consumers')),
    pending: Number(told.get('pending')),
  }
}

function countsOf(groups: readonly GroupSize[]): GroupCounts {
  const sum = (of: (group: GroupSize) => number): number => groups.reduce((n, group) => n + of(group), 0)
  return { groups: groups.length, consumers: sum(({ consumers }) => consumers), pending: sum(({ pending }) => pending) }
}

/** How many samples `MEMORY USAGE` must take in Valkey to look at all groups, and all consumers of each. */
function groupsLookedAt(groups: readonly GroupSize[]): number {
  return Math.max(groups.length, ...groups.map(({ consumers }) => consumers))
}

function largestOf(groups: readonly GroupSize[]): GroupSize {
  return groups.reduce((largest, group) => (groupBytes(group) > groupBytes(largest) ? group : largest))
}

async function readBySamples(ask: Ask, key: Buffer, from: number, count: number): Promise<ReportBySamples> {
  const commands = Array.from({ length: count }, (_, i) => ['MEMORY', 'USAGE', key, 'SAMPLES', String(from + i)])
  const replies = await ask(commands, LEAST_COST * count)
  return { from, bytes: replies.map((reply, i) => Number(accepted(reply, commands[i] as Command))) }
}

/** Reads the oldest entries: as many as fill so many nodes. */
async function readNodes(
  ask: Ask,
  key: Buffer,
  first: SampledEntry,
  rule: NodeRule,
  nodes: number,
): Promise<readonly SampledEntry[]> {
  const entries = [first]
  let [largest, bytes] = [first.rawBytes, first.rawBytes]
  let most = FIRST_ENTRIES
  for (let [full, from] = [0, 0]; bytes < MOST_BYTES && entries.length < MOST_ENTRIES; most = MOST_ENTRIES_AT_ONCE) {
    const count = Math.min(most, Math.floor(MOST_BYTES_AT_ONCE / Math.max(1, largest)) + 1)
    const command = ['XRANGE', key, `(${entries.at(-1)?.id}`, '+', 'COUNT', String(count)]
    const reply = await one(ask, command, costOfReading(count))
    const more = Array.isArray(reply) ? reply.map(entryOf).filter((entry) => entry !== null) : []
    for (const entry of more) {
      entries.push(entry)
      bytes += entry.rawBytes
      largest = Math.max(largest, entry.rawBytes)
    }
    for (let node = nodeFrom(entries, from, rule); node.isFull; node = nodeFrom(entries, from, rule)) {
      full++
      from = node.to
    }
    if (full >= nodes || more.length < count) break
  }
  return entries
}

/** An entry as `XRANGE` and `XINFO STREAM` carry it; null where there is none. */
function entryOf(reply: Reply | undefined): SampledEntry | null {
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

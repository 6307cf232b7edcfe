/** Looks at how many bytes the entries of a stream take where `MEMORY USAGE` counts consumer groups as well. */

import { LEAST_COST } from '../entries/bites.ts'
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
import { AVERAGED } from '../entries/reported_nodes.ts'
import { isBefore, parseStreamId } from '../entries/stream_id.ts'
import { DEFAULT_RULE, type SampledEntry } from '../entries/stream_nodes.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { accepted, isGone, Refused } from '../redis/refused.ts'
import { shown } from '../text/shown.ts'
import { fieldsOf } from './fields.ts'
import type { Habits } from './memory_habits.ts'
import { entryOf, readBySamples, readNodes } from './oldest_entries.ts'

/** `MEMORY USAGE` takes Redis about 0.05 ms for a thousand consumers. Where there are many, it is not asked again. */
const CONSUMERS_PER_COST = 20_000
const MOST_CONSUMERS = 500
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
  const seen = {
    tree: { nodes: Number(stream.get('radix-tree-keys')), branches: Number(stream.get('radix-tree-nodes')) },
    length: Number(stream.get('length')),
    mayHaveGaps: Buffer.isBuffer(deleted) && isBefore(parseStreamId(first.id), parseStreamId(String(deleted))),
    newest,
    totalBytes,
    counts,
  }
  const server = await habits()
  const sample: Sample = { ...seen, ...(await readOldest(ask, key, first, seen, groupsLookedAt(sizes), server)) }
  return { entries: estimateEntries(sample, server), counts, largest: largestOf(sizes), habits: server, newest }
}

/** Reads the oldest entries, and what `MEMORY USAGE` tells of them where nodes are not all alike. */
async function readOldest(
  ask: Ask,
  key: Buffer,
  first: SampledEntry,
  { tree, length, mayHaveGaps, counts }: Omit<Sample, 'oldest' | 'report'>,
  lookedAt: number,
  { treeCount, rounding, rule: told }: MemoryHabits,
): Promise<Pick<Sample, 'oldest' | 'report'>> {
  const rule = told ?? DEFAULT_RULE
  const from = treeCount === 'by rule' ? 1 : lookedAt
  const isTold = from <= Math.min(MOST_FROM, tree.nodes - 2) && counts.groups + counts.consumers <= MOST_CONSUMERS
  // One node more than is averaged: of the first one there may be only a part.
  const oldest = await readNodes(ask, key, first, length, rule, isTold ? from + AVERAGED : AVERAGED + 1)
  if (!isTold || areAlike(oldest, rule, rounding)) return { oldest, report: null }
  const samples = mayHaveGaps ? MORE_SAMPLES : AVERAGED
  return { oldest, report: await readBySamples(ask, key, from, samples, costOfGroups(counts)) }
}

async function one(ask: Ask, command: Command): Promise<Reply> {
  const [reply] = await ask([command], LEAST_COST)
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

/** Of one `MEMORY USAGE`. */
function costOfGroups({ groups, consumers }: GroupCounts): number {
  return LEAST_COST + (groups + consumers) / CONSUMERS_PER_COST
}

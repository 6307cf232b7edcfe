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
import { elementBytes, type NodeRule, type Rounding, type SampledEntry } from '../entries/stream_nodes.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { accepted, isGone, Refused } from '../redis/refused.ts'
import { shown } from '../text/shown.ts'
import { fieldsOf } from './fields.ts'

/** Read until there are this many entries, or this many bytes of them. */
const MOST_ENTRIES = 256
const MOST_BYTES = 64 * 1024
/** Read first: how large entries are shows how many more to read at once. */
const FIRST_ENTRIES = 8

/** What a stream with groups is made of. */
export interface Contents {
  readonly entries: EntryBytes
  readonly counts: GroupCounts
  /** The group that takes most. */
  readonly largest: GroupSize
  readonly habits: MemoryHabits
  readonly newest: SampledEntry
}

/** Tells what the server does with memory; asks it the first time only. */
export type Habits = () => Promise<MemoryHabits>

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
  const sample: Sample = {
    tree: { nodes: Number(stream.get('radix-tree-keys')), branches: Number(stream.get('radix-tree-nodes')) },
    length: Number(stream.get('length')),
    totalBytes,
    counts,
    mayHaveGaps: Buffer.isBuffer(deleted) && String(deleted) !== '0-0',
    oldest: await readOldestEntries(ask, key, first),
    newest,
  }
  const server = await habits()
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

function largestOf(groups: readonly GroupSize[]): GroupSize {
  return groups.reduce((largest, group) => (groupBytes(group) > groupBytes(largest) ? group : largest))
}

async function readOldestEntries(ask: Ask, key: Buffer, first: SampledEntry): Promise<readonly SampledEntry[]> {
  let entries: SampledEntry[] = [first]
  let largest = first.rawBytes
  let bytes = 0
  for (let most = FIRST_ENTRIES; bytes < MOST_BYTES && entries.length < MOST_ENTRIES; most = MOST_ENTRIES) {
    const count = Math.min(most, Math.floor((MOST_BYTES - bytes) / Math.max(1, largest)) + 1)
    const isFirst = most === FIRST_ENTRIES
    const last = entries.at(-1) as SampledEntry
    const command = ['XRANGE', key, isFirst ? '-' : `(${last.id}`, '+', 'COUNT', String(count)]
    const reply = await one(ask, command, costOfReading(count))
    const more = Array.isArray(reply) ? reply.map(entryOf).filter((entry) => entry !== null) : []
    entries = isFirst ? more : entries.concat(more)
    for (const { rawBytes } of more) {
      bytes += rawBytes
      largest = Math.max(largest, rawBytes)
    }
    if (more.length < count) break
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

/** What the server behind `ask` does with memory. */
export function memoryHabits(ask: Ask): Habits {
  let habits: Promise<MemoryHabits> | undefined
  return () => {
    habits ??= readMemoryHabits(ask)
    return habits
  }
}

/** Asks what this server does with memory. What it does not tell is assumed so that entries seem smaller. */
async function readMemoryHabits(ask: Ask): Promise<MemoryHabits> {
  const [server, memory, config] = await ask([
    ['INFO', 'server'],
    ['INFO', 'memory'],
    ['CONFIG', 'GET', 'stream-node-max-*'],
  ])
  const version = server instanceof Refusal ? await versionSaid(ask) : versionIn(String(server))
  return { treeCount: treeCountOf(version), rounding: roundingOf(memory), rule: ruleOf(config) }
}

/** The version of a Redis, such as `7.0.15`; null of Valkey, and where it is not known. */
function versionIn(info: string): string | null {
  const isValkey = /^(?:valkey_version|server_name:valkey)/m.test(info)
  return isValkey ? null : (/^redis_version:(\S+)/m.exec(info)?.[1] ?? null)
}

/** The same for a user who may not call `INFO`: everybody may say `HELLO`. */
async function versionSaid(ask: Ask): Promise<string | null> {
  const [hello] = await ask([['HELLO']])
  const told = fieldsOf(hello ?? null)
  return String(told.get('server')) === 'redis' ? String(told.get('version')) : null
}

/** Redis counts what a tree takes from 8.2 on, and so does Valkey. */
function treeCountOf(version: string | null): MemoryHabits['treeCount'] {
  if (version === null) return 'as allocated'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major * 100 + minor < 802 ? 'by rule' : 'as allocated'
}

/** By the allocator's name, such as `jemalloc-5.3.0`. */
function roundingOf(info: Reply | undefined): Rounding {
  const version = /^mem_allocator:jemalloc-(\d+)\.(\d+)\.(\d+)/m.exec(String(info))?.slice(1).map(Number)
  if (version === undefined) return 'none'
  const [major = 0, minor = 0, patch = 0] = version
  return major * 10_000 + minor * 100 + patch > 50_300 ? 'paged' : 'coarse'
}

function ruleOf(config: Reply | undefined): NodeRule | null {
  if (config instanceof Refusal) return null
  const told = fieldsOf(config ?? null)
  const [maxEntries, maxBytes] = ['stream-node-max-entries', 'stream-node-max-bytes'].map((name) =>
    Number(told.get(name)),
  )
  return Number.isInteger(maxEntries) && Number.isInteger(maxBytes) ? ({ maxEntries, maxBytes } as NodeRule) : null
}

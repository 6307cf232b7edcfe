/** A stream at one moment: its entries, its groups, and its layout in memory. */
import { RESP_TYPES } from '@redis/client'
import type { OneServer } from '../cluster_as_one.ts'
import { fieldsOf } from '../replies.ts'
import { type Id, layoutOf, type Node } from './layout.ts'
import { groupBytes } from './memory_ladder.ts'

export interface GroupState {
  readonly name: string
  readonly lastDelivered: Id
  /** Delivered but not acknowledged, in order. Includes entries that have left the stream. */
  readonly pending: readonly Id[]
  /** The consumer of each of them. */
  readonly owners: readonly string[]
  /** Null if Redis does not know it. */
  readonly lag: number | null
  /** For each consumer. */
  readonly idleMs: readonly number[]
  readonly consumers: readonly ConsumerState[]
  /** Entries it was delivered since it was made; null if Redis does not know it. */
  readonly entriesRead: number | null
}

export interface ConsumerState {
  readonly name: string
  readonly pending: number
  readonly idleMs: number
  /** Whether reads that found nothing reset its idle time. */
  readonly countsAttempts: boolean
}

export interface Snapshot {
  readonly exists: boolean
  /** Oldest first. */
  readonly entries: readonly Id[]
  /** Each whole entry as text, in the same order. */
  readonly contents: readonly string[]
  readonly nodes: readonly Node[]
  readonly groups: readonly GroupState[]
  readonly lastId: Id
  /** Of the entries: what Redis reports, without what it adds for groups. */
  readonly memoryBytes: number
}

const ABSENT: Snapshot = {
  exists: false,
  entries: [],
  contents: [],
  nodes: [],
  groups: [],
  lastId: { ms: 0n, seq: 0n },
  memoryBytes: 0,
}

export async function takeSnapshot(redis: OneServer, key: string): Promise<Snapshot> {
  const binary = redis.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const [dump, range, stream, groups, memory] = await Promise.all([
    binary.sendCommand(['DUMP', key]) as Promise<unknown>,
    redis.command('XRANGE', key, '-', '+'),
    redis.command('XINFO', 'STREAM', key).catch(() => null),
    redis.command('XINFO', 'GROUPS', key).catch(() => []),
    redis.command('MEMORY', 'USAGE', key),
  ])
  if (dump === null || stream === null) return ABSENT
  const entries = range as [string, string[]][]
  const states = await Promise.all((groups as unknown[]).map((fields) => readGroup(redis, key, fields)))
  return {
    exists: true,
    entries: entries.map(([id]) => parseId(id)),
    contents: entries.map((entry) => entry.flat().join(' ')),
    nodes: layoutOf(dump as Buffer),
    groups: states,
    lastId: parseId(String(fieldsOf(stream).get('last-generated-id'))),
    memoryBytes: Number(memory) - (await groupBytes(redis, key, states)),
  }
}

async function readGroup(redis: OneServer, key: string, fields: unknown): Promise<GroupState> {
  const told = fieldsOf(fields)
  const name = String(told.get('name'))
  const [consumers, pending] = (await Promise.all([
    redis.command('XINFO', 'CONSUMERS', key, name),
    redis.command('XPENDING', key, name, '-', '+', '100000'),
  ])) as [unknown[], [string, string][]]
  const [lag, entriesRead] = [told.get('lag'), told.get('entries-read')]
  return {
    name,
    lastDelivered: parseId(String(told.get('last-delivered-id'))),
    pending: pending.map(([id]) => parseId(id)),
    owners: pending.map(([, owner]) => owner),
    lag: typeof lag === 'number' ? lag : null,
    idleMs: consumers.map((consumer) => Number(fieldsOf(consumer).get('idle'))),
    consumers: consumers.map(fieldsOf).map((consumer) => ({
      name: String(consumer.get('name')),
      pending: Number(consumer.get('pending')),
      idleMs: Number(consumer.get('idle')),
      countsAttempts: consumer.has('inactive'),
    })),
    entriesRead: typeof entriesRead === 'number' ? entriesRead : null,
  }
}

function parseId(text: string): Id {
  const [ms = '', seq = ''] = text.split('-')
  return { ms: BigInt(ms), seq: BigInt(seq) }
}

/** A private Redis Cluster on loopback: three primaries with a third of the slots each, and optional replicas. */

import type { TestContext } from 'node:test'
import { type RedisServer, startRedis } from './redis_server.ts'
import { untilInSync } from './replication.ts'
import { waitUntil } from './waiting.ts'

const SLOTS = 16_384
const PRIMARIES = 3
const READY_WITHIN_MS = 60_000

/** The remaining primaries keep serving their slots when one is down. */
export const WITHOUT_FULL_COVERAGE = { config: { 'cluster-require-full-coverage': 'no' } }

export interface RedisCluster {
  /** The three original primaries. */
  readonly primaries: readonly RedisServer[]
  /** The replica of each primary, in the same order; empty without `withReplicas`. */
  readonly replicas: readonly RedisServer[]
  /** The URLs of the three primaries, separated by commas. */
  readonly urls: string
  /** The slot of a key. */
  slotOf(key: string): Promise<number>
  /** The index in `primaries` of the key's original primary. */
  homeOf(key: string): Promise<number>
  /** Waits until all of these nodes report that the cluster is up. */
  untilServing(nodes: readonly RedisServer[]): Promise<void>
}

/**
 * Starts three primaries, each with one replica if `withReplicas`, and waits until all of them serve. The nodes consider one
 * dead after `nodeTimeoutMs` of silence (default 1 s). They are killed when the test ends.
 */
export async function startCluster(
  t: TestContext,
  options: {
    readonly withReplicas?: boolean
    readonly nodeTimeoutMs?: number
    readonly config?: Readonly<Record<string, string>>
  } = {},
): Promise<RedisCluster> {
  const config = {
    'cluster-enabled': 'yes',
    'cluster-node-timeout': String(options.nodeTimeoutMs ?? 1_000),
    // A replica may take over however old its data is, and replication starts without a delay.
    'cluster-replica-validity-factor': '0',
    'repl-diskless-sync-delay': '0',
    ...options.config,
  }
  const count = options.withReplicas ? 2 * PRIMARIES : PRIMARIES
  // If one fails, wait for the others too: they can only be killed at the end of the test once they have started.
  const starts = await Promise.allSettled(Array.from({ length: count }, () => startRedis(t, { config })))
  const nodes = starts.map((start) => {
    if (start.status === 'rejected') throw start.reason
    return start.value
  })
  const primaries = nodes.slice(0, PRIMARIES)
  const replicas = nodes.slice(PRIMARIES)
  const [first] = primaries as [RedisServer]

  // With distinct epochs the nodes need not resolve conflicts first.
  for (const [i, node] of nodes.entries()) await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1))
  for (const [i, node] of primaries.entries()) {
    await node.command('CLUSTER', 'ADDSLOTSRANGE', String(firstSlot(i)), String(firstSlot(i + 1) - 1))
  }
  for (const node of nodes.slice(1)) await first.command('CLUSTER', 'MEET', '127.0.0.1', String(node.port))
  await everywhere(nodes, (info) => info.includes(`cluster_known_nodes:${count}`), 'all nodes to know each other')
  for (const [i, replica] of replicas.entries()) {
    const id = String(await (primaries[i] as RedisServer).command('CLUSTER', 'MYID'))
    await waitUntil(
      () =>
        replica.command('CLUSTER', 'REPLICATE', id).then(
          () => true,
          () => false,
        ),
      { timeoutMs: READY_WITHIN_MS, what: 'a replica to follow' },
    )
  }
  await Promise.all(replicas.map(untilInSync))
  const untilServing = (nodes: readonly RedisServer[]) =>
    everywhere(nodes, (info) => info.includes('cluster_state:ok'), 'the cluster to serve')
  await untilServing(nodes)
  await Promise.all(nodes.map(untilCovered))

  const slotOf = async (key: string) => Number(await first.command('CLUSTER', 'KEYSLOT', key))
  return {
    primaries,
    replicas,
    urls: primaries.map(({ url }) => url).join(','),
    slotOf,
    async homeOf(key) {
      const slot = await slotOf(key)
      return primaries.findIndex((_, i) => slot < firstSlot(i + 1))
    },
    untilServing,
  }
}

/** Starts moving a slot. Its keys stay on the source for now. */
export async function openSlot(source: RedisServer, target: RedisServer, slot: number): Promise<void> {
  const [sourceId, targetId] = await Promise.all([source, target].map((node) => node.command('CLUSTER', 'MYID')))
  await target.command('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', String(sourceId))
  await source.command('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', String(targetId))
}

/** Moves keys to another node, which serves them if it imports or owns their slot. */
export async function migrate(source: RedisServer, target: RedisServer, keys: readonly string[]): Promise<void> {
  await source.command('MIGRATE', '127.0.0.1', String(target.port), '', '0', '5000', 'KEYS', ...keys)
}

/** The first slot of the primary with this index; for the index after the last, the number of slots. */
function firstSlot(place: number): number {
  return Math.floor((place * SLOTS) / PRIMARIES)
}

async function everywhere(
  nodes: readonly RedisServer[],
  holds: (info: string) => boolean,
  what: string,
): Promise<void> {
  for (const node of nodes) {
    await waitUntil(async () => holds(String(await node.command('CLUSTER', 'INFO'))), {
      timeoutMs: READY_WITHIN_MS,
      what,
    })
  }
}

/** Waits until a node knows all primaries: gossip takes a moment. */
async function untilCovered(node: RedisServer): Promise<void> {
  await waitUntil(async () => ((await node.command('CLUSTER', 'SLOTS')) as unknown[]).length === PRIMARIES, {
    timeoutMs: READY_WITHIN_MS,
    what: 'a node to know who serves which slot',
  })
}

/**
 * How many bytes the entries of a stream take where consumer groups take memory too. `MEMORY USAGE` counts both, and what
 * it adds for groups has little to do with what they take: Redis counts a pending reference sevenfold, Valkey multiplies
 * what a few groups and consumers take by their number. So the entries are estimated from a sample, and measured as soon
 * as a node has gone: within one script the groups do not change, and what `MEMORY USAGE` loses is what the entries lose.
 */
import {
  allocatedBytes,
  bytesAhead,
  bytesOfOne,
  DEFAULT_RULE,
  type FullNode,
  fullNodes,
  type NodeRule,
  nearestAllocation,
  type Rounding,
  type SampledEntry,
} from './stream_nodes.ts'

/** The tree over a stream's nodes, as `XINFO STREAM` tells: `radix-tree-keys` and `radix-tree-nodes`. */
export interface Tree {
  /** Nodes that hold entries. */
  readonly nodes: number
  readonly branches: number
}

/** How `MEMORY USAGE` counts the tree: Redis by a rule of thumb, Valkey what it takes. */
export type TreeCount = 'by rule' | 'as allocated'

/** What a server does with memory. */
export interface MemoryHabits {
  readonly treeCount: TreeCount
  readonly rounding: Rounding
  /** Null where Redis does not tell. */
  readonly rule: NodeRule | null
}

/** How much there is of groups, in all groups of a stream. */
export interface GroupCounts {
  readonly groups: number
  readonly consumers: number
  readonly pending: number
}

/** One group of a stream. */
export interface GroupSize {
  readonly name: string
  readonly consumers: number
  readonly pending: number
}

/** What a group takes of Redis's memory, about: 149 bytes a pending reference, 150 a consumer with a name of 20 bytes. Measured. */
export function groupBytes({ consumers, pending }: Pick<GroupSize, 'consumers' | 'pending'>): number {
  return 149 * pending + 150 * consumers
}

/** One look at a stream with groups. */
export interface Sample {
  readonly tree: Tree
  readonly length: number
  /** What `MEMORY USAGE` reports. */
  readonly totalBytes: number
  readonly counts: GroupCounts
  /** Whether entries may have been deleted out of nodes that are still there. */
  readonly mayHaveGaps: boolean
  /** The oldest entries, one after the other. */
  readonly oldest: readonly SampledEntry[]
  readonly newest: SampledEntry
}

/** What the entries of a stream take. */
export interface EntryBytes {
  readonly tree: Tree
  /** What `MEMORY USAGE` would report without the groups, at least. */
  readonly bytes: number
  /** The same, as likely too high as too low. */
  readonly likelyBytes: number
  /** Of the newest node, which is not full. */
  readonly newestNode: number
}

/** `MEMORY USAGE` takes the mean of this many oldest nodes for the size of every node but the newest. */
export const AVERAGED = 5
/** Nodes that hold a smaller share of what the rule would put into them were made under another rule. */
const LEAST_FILLED = { known: 0.5, unknown: 0.95 }
/** Nodes that hold this many times what Redis's default would put into them were made under another rule. */
const MOST_FILLED = 1.25
/** In a stream of more nodes, the size of the newest one no longer matters. */
const FEW_NODES = 50
/** An exact trim leaves part of the oldest node. So the sample is also tried as if a node began later in it. */
const BEGINNINGS = [0, 1 / 3, 2 / 3]

/** An estimate may be off by a few percent. It errs on the side of keeping entries. */
const KEEPING = 0.99

/** What the entries take, estimated. */
export function estimateEntries(sample: Sample, habits: MemoryHabits): EntryBytes {
  const { tree, totalBytes, counts } = sample
  const { treeCount, rounding } = habits
  const rule = ruleOf(sample, habits.rule)
  const nodes = nodesOf(sample.oldest, sample, rule)
  const means = BEGINNINGS.map((share) => {
    const from = Math.floor(share * Math.min(nodes[0]?.entries ?? 0, sample.oldest.length))
    const later = from === 0 ? nodes : nodesOf(sample.oldest.slice(from), sample, rule)
    return mean(later.slice(0, AVERAGED).map(({ bytes }) => allocatedBytes(bytes, rounding)))
  })
  const newestNode = newestNodeBytes(sample, nodes, rule, rounding)
  const estimated = treeBytes(tree, treeCount) + Math.min(...means) * (tree.nodes - 1) + newestNode
  const bytesOf = (bytes: number): number => within(bytes, totalBytes, counts, treeCount)
  return { tree, bytes: bytesOf(KEEPING * estimated), likelyBytes: bytesOf(estimated), newestNode }
}

/** Full nodes as they were when Redis made them, before entries were deleted out of them. */
function nodesOf(
  entries: readonly SampledEntry[],
  { tree, length, mayHaveGaps }: Sample,
  rule: NodeRule,
): readonly FullNode[] {
  const nodes = fullNodes(entries, rule)
  if (!mayHaveGaps) return nodes
  const full = mean(nodes.map(({ entries }) => entries)) * tree.nodes
  return full > length ? fullNodes(entries, rule, length / full) : nodes
}

/**
 * The rule by which the nodes were made. It is the server's, unless the nodes hold far fewer entries than it would put into
 * them: then the setting was changed later, or is not known. Entries deleted out of nodes look the same, so this cannot be
 * told where there may be gaps.
 */
function ruleOf({ oldest, newest, tree, length, mayHaveGaps }: Sample, told: NodeRule | null): NodeRule {
  const rule = told ?? DEFAULT_RULE
  const usual = [oldest, [newest]].map((entries) => mean(fullNodes(entries, rule).map((node) => node.entries)))
  const [least, most] = [Math.min(...usual), Math.max(...usual)]
  const perNode = length / tree.nodes
  if (told === null && perNode > most * MOST_FILLED) return { maxEntries: Math.floor(perNode), maxBytes: 0 }
  // An exact trim may have left the oldest node with few of its entries.
  const held = (length + least) / Math.max(1, tree.nodes - 1)
  const isOther = least === 0 || (!mayHaveGaps && held < least * LEAST_FILLED[told === null ? 'unknown' : 'known'])
  if (!isOther) return rule
  const smaller = { ...rule, maxEntries: Math.max(1, Math.floor(perNode)) }
  return { ...smaller, maxBytes: Math.ceil(mean(fullNodes(oldest, smaller).map(({ bytes }) => bytes))) }
}

/** The newest node has room for more entries. If nodes are larger than that room, it takes what its entries need. */
function newestNodeBytes(
  { newest, tree, length, mayHaveGaps }: Sample,
  nodes: readonly FullNode[],
  rule: NodeRule,
  rounding: Rounding,
): number {
  const perNode = mean(nodes.map(({ entries }) => entries))
  const inNewest = length - perNode * (tree.nodes - 1)
  const share = mayHaveGaps || tree.nodes > FEW_NODES ? 0 : Math.max(0, Math.min(1, inNewest / perNode))
  const full = [nodes, fullNodes([newest], rule)].map((some) => mean(some.map(({ bytes }) => bytes)))
  const filled = share * Math.min(...full)
  return Math.max(bytesAhead(rule), allocatedBytes(Math.max(bytesOfOne(newest), filled), rounding))
}

/** What the tree adds to the bytes that `MEMORY USAGE` reports, with the fixed part of every stream. Measured. */
function treeBytes({ nodes, branches }: Tree, count: TreeCount): number {
  if (count === 'by rule') return 128 + 16 * nodes + 244 * branches
  const inner = Math.max(0, branches - nodes)
  return 120 + 25 * nodes + 32 * Math.min(inner, nodes) + 18 * Math.max(0, inner - nodes)
}

/**
 * Between what and what groups add to the bytes that `MEMORY USAGE` reports. Redis counts at least one and at most four
 * branches for a reference, in each of two trees. Valkey counts what trees take, but looks at the first five groups and
 * consumers only, and may take the largest for all others. A consumer has a name.
 */
function rangeOfGroups(
  { groups, consumers, pending }: GroupCounts,
  count: TreeCount,
): { readonly least: number; readonly most: number } {
  const most = groups * 400 + consumers * 600
  if (count === 'by rule') return { least: groups * 270 + consumers * 260 + pending * 540, most: most + pending * 2100 }
  const areAllSeen = groups <= AVERAGED && consumers <= AVERAGED
  return {
    least: areAllSeen ? groups * 64 + consumers * 56 + pending * 60 : 0,
    most: most + pending * 400 * Math.max(1, groups) * Math.max(1, consumers),
  }
}

/** What remains of the total for entries, at least and at most. */
function within(bytes: number, totalBytes: number, counts: GroupCounts, count: TreeCount): number {
  const { least, most } = rangeOfGroups(counts, count)
  return Math.max(0, totalBytes - most, Math.min(totalBytes - least, bytes))
}

/** What a script tells of a stream just before or after it removes a node. */
export interface Measured {
  readonly tree: Tree
  /** `MEMORY USAGE` with 1, 2, … samples. */
  readonly bySamples: readonly number[]
  /** `MEMORY USAGE` of all nodes. */
  readonly ofAll: number
}

/**
 * What the entries take after the oldest node has gone, measured. The difference over all nodes is the size of the one
 * that went; with it, each figure by samples tells the size of one node more. Null where other than one node went.
 */
export function measureEntries(
  before: Measured,
  after: Measured,
  newestNode: number,
  counts: GroupCounts,
  { treeCount: count, rounding }: MemoryHabits,
): EntryBytes | null {
  const { nodes } = after.tree
  if (before.tree.nodes !== nodes + 1) return null
  const treeLost = treeBytes(before.tree, count) - treeBytes(after.tree, count)
  const toSize = (bytes: number): number => nearestAllocation(bytes, rounding)
  // The sizes of the oldest nodes, beginning with the one that went.
  const sizes = [toSize(before.ofAll - after.ofAll - treeLost)]
  for (let samples = 1; samples <= Math.min(AVERAGED, nodes - 1); samples++) {
    const lost = (before.bySamples[samples - 1] ?? 0) - (after.bySamples[samples - 1] ?? 0)
    const meanBefore = Math.floor(mean(sizes.slice(0, samples)))
    const meanAfter = (meanBefore * nodes + treeLost - lost) / (nodes - 1)
    sizes.push(toSize(meanAfter * samples - sum(sizes.slice(1))))
  }
  const left = sizes.slice(1)
  const measured = treeBytes(after.tree, count) + mean(left) * (nodes - 1) + newestNode
  const bytes = within(measured, after.bySamples.at(-1) ?? measured, counts, count)
  return { tree: after.tree, bytes, likelyBytes: bytes, newestNode }
}

function mean(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : sum(numbers) / numbers.length
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0)
}

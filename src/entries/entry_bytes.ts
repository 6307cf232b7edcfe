/**
 * How many bytes the entries of a stream take where consumer groups take memory too. `MEMORY USAGE` counts both, and what
 * it adds for groups has little to do with what they take: Redis counts a pending reference sevenfold, Valkey multiplies
 * what a few groups and consumers take by their number. So the entries are estimated from a sample, and measured as soon
 * as a node has gone: within one script the groups do not change, and what `MEMORY USAGE` loses is what the entries lose.
 */
import { mean, sum } from './mean.ts'
import { type NodeSample, nodeSizes, type Tree } from './node_sizes.ts'
import { AVERAGED, type Range } from './reported_nodes.ts'
import { type NodeRule, nearestAllocation, type Rounding } from './stream_nodes.ts'

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
export interface Sample extends NodeSample {
  /** What `MEMORY USAGE` reports. */
  readonly totalBytes: number
  readonly counts: GroupCounts
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

/**
 * An estimate may be off by a few percent. It errs on the side of keeping entries, more so where entries were deleted out of
 * nodes and it is not known how many.
 */
const KEEPING = { usually: 0.99, withGaps: 0.95 }

/** What the entries take, estimated. */
export function estimateEntries(sample: Sample, habits: MemoryHabits): EntryBytes {
  const { tree, totalBytes, counts, mayHaveGaps } = sample
  const { treeCount, rounding, rule } = habits
  const { oldest, newest, isShown } = nodeSizes(sample, rule, rounding)
  const total = (which: keyof Range): number =>
    treeBytes(tree, treeCount) + oldest[which] * (tree.nodes - 1) + newest[which]
  const beside = (bytes: number): number => within(bytes, totalBytes, counts, treeCount)
  const keeping = KEEPING[mayHaveGaps && !isShown ? 'withGaps' : 'usually']
  return {
    tree,
    bytes: beside(keeping * total('least')),
    likelyBytes: beside(total('likely')),
    newestNode: newest.likely,
  }
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

/** How large the nodes of a stream are, told from a sample of its entries. */

import { mean } from './mean.ts'
import {
  AVERAGED,
  agreedMean,
  meanByRule,
  type OldestEntries,
  type Range,
  type ReportBySamples,
} from './reported_nodes.ts'
import {
  allocatedBytes,
  bytesAhead,
  bytesOfOne,
  DEFAULT_RULE,
  type FullNode,
  fullNodes,
  type NodeRule,
  nodesFrom,
  type Rounding,
  type SampledEntry,
} from './stream_nodes.ts'

/** The tree over a stream's nodes, as `XINFO STREAM` tells: `radix-tree-keys` and `radix-tree-nodes`. */
export interface Tree {
  /** Nodes that hold entries. */
  readonly nodes: number
  readonly branches: number
}

/** One look at the entries of a stream. */
export interface NodeSample {
  readonly tree: Tree
  readonly length: number
  /** Whether entries may have been deleted out of nodes that are still there. */
  readonly mayHaveGaps: boolean
  /** The oldest entries, one after the other. */
  readonly oldest: readonly SampledEntry[]
  readonly newest: SampledEntry
  /** Null where it was not asked for. */
  readonly report: ReportBySamples | null
}

/** What nodes take. */
export interface NodeSizes {
  /** The mean of those that `MEMORY USAGE` averages. */
  readonly oldest: Range
  readonly newest: Range
  /** Whether the entries show it: nodes are of one size, or the report agrees. */
  readonly isShown: boolean
}

/** Nodes that hold a smaller share of what the rule would put into them were made under another rule. */
const LEAST_FILLED = { known: 0.5, unknown: 0.95 }
/** Nodes that hold this many times what Redis's default would put into them were made under another rule. */
const MOST_FILLED = 1.25
/** In a stream of more nodes, the size of the newest one no longer matters. */
const FEW_NODES = 50
/** An exact trim leaves part of the oldest node. So the sample is also tried as if a node began later in it. */
const BEGINNINGS = [0, 1 / 3, 2 / 3]
/** Nodes out of which entries were deleted hold fewer, but not each the same share. So the sample is tried up to there. */
const REACHES = [2 / 3, 1, 4 / 3, Number.POSITIVE_INFINITY]

/** Whether these entries fill as many nodes as `MEMORY USAGE` averages, all of one size: then it does not matter where they begin. */
export function areAlike(entries: readonly SampledEntry[], rule: NodeRule, rounding: Rounding): boolean {
  const sizes = fullNodes(entries, rule).map(({ bytes }) => allocatedBytes(bytes, rounding))
  return sizes.length >= AVERAGED && Math.max(...sizes) === Math.min(...sizes)
}

/** What the nodes take. `told` is the rule of the server, if it tells. */
export function nodeSizes(sample: NodeSample, told: NodeRule | null, rounding: Rounding): NodeSizes {
  const { oldest, tree, length, report } = sample
  const rule = ruleOf(sample, told)
  const seen: OldestEntries = { entries: oldest, areAll: oldest.length === length, nodes: tree.nodes, rule, rounding }
  const nodes = nodesOf(oldest, sample, rule)
  const newest = newestNode(sample, seen, nodes)
  const agreed = report === null ? null : agreedMean(seen, report)
  if (agreed !== null) return { oldest: agreed, newest, isShown: true }
  const means = samplesOf(sample, nodes).map((entries) => {
    const averaged = nodesOf(entries, sample, rule).slice(0, AVERAGED)
    return mean(averaged.map(({ bytes }) => allocatedBytes(bytes, rounding)))
  })
  const least = report === null ? Math.min(...means) : meanByRule(Math.min(...means), seen, report)
  return { oldest: { least, likely: least }, newest, isShown: areAlike(oldest, rule, rounding) }
}

/** The entries that may be in the nodes that `MEMORY USAGE` averages. `nodes` are those that all the oldest entries fill. */
function samplesOf(
  { oldest, tree, length, mayHaveGaps }: NodeSample,
  nodes: readonly FullNode[],
): readonly (readonly SampledEntry[])[] {
  if (mayHaveGaps) {
    const averaged = (AVERAGED * length) / tree.nodes
    return REACHES.map((share) => oldest.slice(0, Math.ceil(share * averaged)))
  }
  const inFirst = Math.min(nodes[0]?.entries ?? 0, oldest.length)
  return BEGINNINGS.map((share) => oldest.slice(Math.floor(share * inFirst)))
}

/** Full nodes as they were when Redis made them, before entries were deleted out of them. */
function nodesOf(
  entries: readonly SampledEntry[],
  { tree, length, mayHaveGaps }: NodeSample,
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
function ruleOf({ oldest, newest, tree, length, mayHaveGaps }: NodeSample, told: NodeRule | null): NodeRule {
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
function newestNode(sample: NodeSample, seen: OldestEntries, nodes: readonly FullNode[]): Range {
  const { newest, tree, length, mayHaveGaps } = sample
  const { rule, rounding } = seen
  const allocated = (bytes: number): number => Math.max(bytesAhead(rule), allocatedBytes(bytes, rounding))
  const known = bytesInNewest(seen)
  if (known !== null) return { least: allocated(known), likely: allocated(known) }
  const full = Math.min(...[nodes, fullNodes([newest], rule)].map((some) => mean(some.map(({ bytes }) => bytes))))
  /** What it takes if full nodes hold so many entries, and it holds the others. */
  const beside = (perNode: number): number => {
    const share = mayHaveGaps || tree.nodes > FEW_NODES ? 0 : length / perNode - (tree.nodes - 1)
    return allocated(Math.max(bytesOfOne(newest), Math.max(0, Math.min(1, share)) * full))
  }
  const held = nodes.map(({ entries }) => entries)
  return { least: beside(Math.max(...held)), likely: beside(mean(held)) }
}

/** The bytes in the newest node, where all entries are known and fill as many nodes as there are. Else null. */
function bytesInNewest({ entries, areAll, nodes, rule }: OldestEntries): number | null {
  if (!areAll) return null
  const placed = [...nodesFrom(entries, 0, rule)]
  return placed.length === nodes ? (placed.at(-1)?.bytes ?? null) : null
}

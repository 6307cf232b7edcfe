/**
 * How large the oldest nodes of a stream are, told from its oldest entries and from `MEMORY USAGE` together. Where nodes
 * differ in size, it matters where they begin, and a sample does not show that: an exact trim may have left a part of the
 * first one. But with one sample more, `MEMORY USAGE` averages one node more, and reports more or less by what that node
 * differs from those before it.
 */
import { mean, sum } from './mean.ts'
import {
  allocatedBytes,
  bytesOfOne,
  fullNodes,
  growingNode,
  type NodeRule,
  nearestAllocation,
  nodeFrom,
  type PlacedNode,
  type Rounding,
  type SampledEntry,
} from './stream_nodes.ts'

/** `MEMORY USAGE` takes the mean of this many oldest nodes for the size of every node but the newest. */
export const AVERAGED = 5

/** What `MEMORY USAGE` reports with `from`, `from + 1`, … samples, all at one moment. It counts the groups alike in each. */
export interface ReportBySamples {
  readonly from: number
  readonly bytes: readonly number[]
}

/** The oldest entries of a stream, and how its nodes were made. */
export interface OldestEntries {
  readonly entries: readonly SampledEntry[]
  /** Whether these are all entries of the stream. */
  readonly areAll: boolean
  /** Nodes of the stream. */
  readonly nodes: number
  readonly rule: NodeRule
  readonly rounding: Rounding
}

/** Bytes that something takes, at least and most likely. */
export interface Range {
  readonly least: number
  readonly likely: number
}

/** Ends the search for where nodes begin. Enough for five nodes of a hundred entries from each of a hundred beginnings. */
const MOST_PLACED = 200_000
/** A node of several entries is hardly larger than the rule allows: encoded, an entry may take a few bytes more. */
const OVERFILLED = 1.1

/**
 * The mean of the nodes that `MEMORY USAGE` averages, where the entries and the report agree on it. Null where they do not:
 * entries were deleted out of the nodes, or somebody changed the stream meanwhile.
 */
export function agreedMean(oldest: OldestEntries, report: ReportBySamples): Range | null {
  const { entries, nodes, rule, rounding } = oldest
  const reported = readReport(oldest, report, AVERAGED)
  if (reported.differences.length === 0) return null
  const averaged = Math.min(AVERAGED, nodes - 1)
  const meanIfReported = (sizes: readonly number[]): number | null =>
    isReported(sizes, reported) ? mean(sizes.slice(0, averaged)) : null
  const after = Math.max(averaged, reported.from + reported.differences.length) - 1
  const place = placing(entries, rule)
  const first = place(0)
  const later = nodesAfter(oldest, first.to, after, place)
  const whole = later && meanIfReported([allocatedBytes(first.bytes, rounding), ...later])
  if (whole !== null) return { least: whole, likely: whole }

  const means: number[] = []
  const most = largestNode(oldest, OVERFILLED)
  const growing = growingNode(entries, first.to)
  for (let second = 1; second <= first.to && place.entries < MOST_PLACED; second++) {
    const later = nodesAfter(oldest, second, after, place)
    if (later === null) continue
    const left = growing[second - 1] ?? 0
    const size = sizeOfFirst(later, reported, rounding)
    const isLikely = size >= allocatedBytes(left, rounding) && size <= Math.max(allocatedBytes(left, rounding), most)
    const found = isLikely ? meanIfReported([size, ...later]) : null
    if (found !== null) means.push(found)
  }
  means.sort((a, b) => a - b)
  const [least, likely] = [means[0], means[means.length >> 1]]
  return least === undefined || likely === undefined ? null : { least, likely }
}

/** What a report says of full nodes. */
interface Reported {
  readonly from: number
  /** How much larger the mean of `from + 1`, `from + 2`, … nodes is than the mean of `from` nodes. */
  readonly differences: readonly number[]
}

function readReport({ nodes }: OldestEntries, { from, bytes }: ReportBySamples, count: number): Reported {
  const [first = 0, ...more] = bytes.slice(0, Math.max(0, Math.min(count, nodes - from)))
  return { from, differences: more.map((one) => (one - first) / (nodes - 1)) }
}

type Place = ((at: number) => PlacedNode) & { entries: number }

/** Tells which node begins with an entry, and remembers it. Counts the entries it has looked at. */
function placing(entries: readonly SampledEntry[], rule: NodeRule): Place {
  const placed = new Map<number, PlacedNode>()
  const place = (at: number): PlacedNode => {
    const known = placed.get(at)
    if (known !== undefined) return known
    const node = nodeFrom(entries, at, rule)
    placed.set(at, node)
    place.entries += node.to - at
    return node
  }
  place.entries = 0
  return place
}

/** The sizes of so many nodes from this entry on. Null where there are fewer, or not as many as the stream has. */
function nodesAfter({ entries, areAll, nodes, rounding }: OldestEntries, from: number, count: number, place: Place) {
  const sizes: number[] = []
  let found = 1
  for (let at = from; at < entries.length && (areAll || sizes.length < count); found++) {
    const node = place(at)
    if (node.isFull && sizes.length < count) sizes.push(allocatedBytes(node.bytes, rounding))
    at = node.to
  }
  return sizes.length < count || (areAll && found !== nodes) ? null : sizes
}

/** The size of the first node, told by those after it and by the report. */
function sizeOfFirst(later: readonly number[], { from, differences }: Reported, rounding: Rounding): number {
  const to = from + differences.length
  const share = (n: number): number => sum(later.slice(0, n - 1)) / n
  const bytes = ((differences.at(-1) ?? 0) - share(to) + share(from)) / (1 / to - 1 / from)
  return nearestAllocation(bytes, rounding)
}

function isReported(sizes: readonly number[], { from, differences }: Reported): boolean {
  const meanOf = (n: number): number => Math.floor(mean(sizes.slice(0, n)))
  return differences.every((by, i) => Math.abs(meanOf(from + 1 + i) - meanOf(from) - by) <= 1)
}

/**
 * The mean of the nodes that `MEMORY USAGE` averages where the sample does not show what is in them; `bytes` is what it
 * suggests. The report tells how far nodes differ from the mean of the first ones. Of many nodes, some are as large as the rule
 * allows. One is larger only if it holds a large entry alone, and the sample shows how large such entries are. The mean that
 * explains most nodes so is the likely one.
 */
export function meanByRule(bytes: number, oldest: OldestEntries, report: ReportBySamples): number {
  const { entries, rounding } = oldest
  const { from, differences } = readReport(oldest, report, report.bytes.length)
  if (from > AVERAGED || differences.length === 0) return bytes
  /** How much larger each node is than the mean of the first `from` nodes; the mean of one node is its size. */
  const larger = differences.map((by, i) => by * (from + 1 + i) - (differences[i - 1] ?? 0) * (from + i))
  const averaged = larger.slice(0, AVERAGED - from)
  if (from === 1) for (const sizes of [larger, averaged]) sizes.unshift(0)
  const meanLarger = differences.slice(0, AVERAGED - from).at(-1) ?? 0
  const alone = entries.map((entry) => allocatedBytes(bytesOfOne(entry), rounding))
  const least = Math.min(...alone)
  const most = largestNode(oldest)
  const overfilled = largestNode(oldest, OVERFILLED)
  const large = [...new Set(alone)].filter((size) => size > most).slice(0, MOST_LARGE)
  const isNode = (size: number): boolean => size <= overfilled + ROUNDED || large.some((one) => isAlike(one, size))
  const explained = (mean: number): number => larger.filter((by) => isNode(mean + by)).length
  const isMean = (mean: number): boolean =>
    larger.every((by) => mean + by >= least - ROUNDED) && averaged.every((by) => isNode(mean + by))

  const ifFilled = canFill(oldest, most) ? filledNodes(larger).map((by) => most - by) : []
  const ifLarge = larger.flatMap((by) => large.map((size) => size - by))
  const means = [...ifFilled, ...ifLarge].filter(isMean)
  const mostExplained = Math.max(...means.map(explained))
  const best = means.filter((mean) => explained(mean) === mostExplained)
  if (best.length > 0) return meanLarger + Math.min(...best)
  const roomiest = most - Math.max(0, ...averaged)
  return Math.max(meanLarger + least, Math.min(meanLarger + roomiest, bytes))
}

/** Redis rounds each mean down, by less than a byte: so the size of a node told from two means may be off by this. */
const ROUNDED = 64

/** Fewer nodes may be of one size by chance. */
const SEVERAL = 3
/** The time to look for a likely mean grows with the square of the different sizes of large entries. */
const MOST_LARGE = 64

function isAlike(a: number, b: number): boolean {
  return Math.abs(a - b) <= ROUNDED
}

/** What a node of several entries takes at most, if it holds so many times the bytes that the rule allows. */
function largestNode({ rule, rounding }: OldestEntries, times = 1): number {
  return rule.maxBytes === 0 ? Number.POSITIVE_INFINITY : allocatedBytes(rule.maxBytes * times, rounding)
}

/** Whether nodes become as large as the rule allows. Some do not: the rule limits their entries too. */
function canFill({ entries, rule, rounding }: OldestEntries, most: number): boolean {
  return fullNodes(entries, rule).some(({ bytes }) => allocatedBytes(bytes, rounding) === most)
}

/** Of many nodes, several are as large as the rule allows: those like few others are not among them. */
function filledNodes(sizes: readonly number[]): readonly number[] {
  if (sizes.length <= AVERAGED) return []
  return sizes.filter((size) => sizes.filter((one) => isAlike(one, size)).length >= SEVERAL)
}

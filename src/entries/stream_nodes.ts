/**
 * How Redis lays out a stream in memory: entries in nodes, each node one listpack in one allocation. From a sample of
 * entries this tells how many bytes the nodes take that hold them.
 */

/** One entry of a sample. `names` and `values` are sizes in a listpack, in bytes. */
export interface SampledEntry {
  readonly id: string
  readonly ms: number
  readonly seq: number
  readonly fields: number
  /** Field names, to compare. */
  readonly shape: string
  readonly names: number
  readonly values: number
  /** Field names and values as the producer sent them. */
  readonly rawBytes: number
}

/** When Redis begins a new node: `stream-node-max-entries` and `stream-node-max-bytes`, where 0 is no limit. */
export interface NodeRule {
  readonly maxEntries: number
  readonly maxBytes: number
}

/** Redis's own defaults. */
export const DEFAULT_RULE: NodeRule = { maxEntries: 100, maxBytes: 4096 }

/**
 * How the allocator rounds up. `coarse` is jemalloc up to 5.3.0: four sizes for each power of two. `paged` is newer
 * jemalloc: the same up to 16 KB, and whole pages beyond. `none` is any other allocator.
 */
export type Rounding = 'coarse' | 'paged' | 'none'

const PAGE_BYTES = 4096
/** Above this size `paged` rounds to pages. */
const MOST_SMALL_BYTES = 16_384

/** What an allocation of this size takes. */
export function allocatedBytes(bytes: number, rounding: Rounding): number {
  if (rounding === 'none' || bytes <= 0) return bytes
  if (bytes <= 128) return Math.ceil(bytes / 16) * 16
  if (rounding === 'paged' && bytes > MOST_SMALL_BYTES) return Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES
  const step = 2 ** (Math.ceil(Math.log2(bytes)) - 3)
  return Math.ceil(bytes / step) * step
}

/** The size of an allocation that is nearest to a measured one. */
export function nearestAllocation(bytes: number, rounding: Rounding): number {
  if (rounding === 'none') return Math.round(bytes / 8) * 8
  const above = allocatedBytes(bytes, rounding)
  const isPaged = rounding === 'paged' && above > MOST_SMALL_BYTES
  const step = above <= 128 ? 16 : isPaged ? PAGE_BYTES : 2 ** (Math.ceil(Math.log2(above)) - 3)
  return above - bytes <= bytes - (above - step) ? above : above - step
}

/** Redis makes room for at most this much in a new node, and gives back what is left of it when the node is full. */
const MOST_AHEAD_BYTES = 4096

/** The room that Redis makes in a new node. */
export function bytesAhead({ maxBytes }: NodeRule): number {
  return maxBytes > 0 ? Math.min(maxBytes, MOST_AHEAD_BYTES) : MOST_AHEAD_BYTES
}

/** A full node. */
export interface FullNode {
  readonly entries: number
  /** Of its listpack, before the allocator rounds up. */
  readonly bytes: number
}

/** Ends the search for full nodes where a node may hold any number of entries. */
const MOST_PLACED = 20_000

/**
 * The full nodes that Redis would make of these entries. Where they do not fill even one, the sample is repeated until they
 * do. `idScale` shortens the distances between IDs, for a sample out of which entries were deleted.
 */
export function fullNodes(sample: readonly SampledEntry[], rule: NodeRule, idScale = 1): FullNode[] {
  const nodes: FullNode[] = []
  let node = new Node(sample[0], idScale)
  const round = { ms: spanOf(sample, 'ms'), seq: spanOf(sample, 'seq') }
  for (let at = 1; at < sample.length || (sample.length > 0 && nodes.length === 0 && at < MOST_PLACED); at++) {
    const rounds = Math.floor(at / sample.length)
    const sampled = sample[at % sample.length] as SampledEntry
    const entry =
      rounds === 0 ? sampled : { ...sampled, ms: sampled.ms + rounds * round.ms, seq: sampled.seq + rounds * round.seq }
    if (node.hasRoomFor(entry, rule)) {
      node.add(entry)
    } else {
      nodes.push({ entries: node.entries, bytes: node.bytes })
      node = new Node(entry, idScale)
    }
  }
  return nodes
}

/** A node that holds the entries of a sample up to, but not including, `to`. */
export interface PlacedNode {
  readonly to: number
  readonly bytes: number
  /** Whether the next entry of the sample has no room in it. */
  readonly isFull: boolean
}

/** The node that Redis would begin with the entry at `from`. */
export function nodeFrom(entries: readonly SampledEntry[], from: number, rule: NodeRule): PlacedNode {
  const node = new Node(entries[from], 1)
  let to = from + 1
  while (to < entries.length && node.hasRoomFor(entries[to] as SampledEntry, rule))
    node.add(entries[to++] as SampledEntry)
  return { to, bytes: node.bytes, isFull: to < entries.length }
}

/** The nodes that Redis would make of the entries from `from` on. The last one is not full. */
export function* nodesFrom(entries: readonly SampledEntry[], from: number, rule: NodeRule): Generator<PlacedNode> {
  for (let at = from; at < entries.length; ) {
    const node = nodeFrom(entries, at, rule)
    yield node
    at = node.to
  }
}

/** What one node takes that holds the first 1, 2, … `count` entries. */
export function growingNode(entries: readonly SampledEntry[], count: number): number[] {
  const node = new Node(entries[0], 1)
  const sizes = [node.bytes]
  for (const entry of entries.slice(1, count)) {
    node.add(entry)
    sizes.push(node.bytes)
  }
  return sizes
}

/** By how much IDs go on where the sample is repeated. */
function spanOf(sample: readonly SampledEntry[], part: 'ms' | 'seq'): number {
  const [first, last] = [sample[0]?.[part] ?? 0, sample.at(-1)?.[part] ?? 0]
  return sample.length < 2 ? 0 : ((last - first) * sample.length) / (sample.length - 1)
}

/** What a node takes that holds this entry alone. */
export function bytesOfOne(entry: SampledEntry): number {
  return new Node(entry, 1).bytes
}

/** A node while it fills. It keeps the field names of its first entry; those of a later entry are left out if equal. */
class Node {
  entries = 0
  readonly #first: SampledEntry | undefined
  readonly #idScale: number
  #bytes = 0

  constructor(first: SampledEntry | undefined, idScale: number) {
    this.#first = first
    this.#idScale = idScale
    if (first === undefined) return
    // Header 6, number of deleted entries 2, number of fields, their names, end of names 2, end of the listpack 1.
    this.#bytes = 6 + 2 + integerBytes(first.fields) + first.names + 2 + 1
    this.add(first)
  }

  /** The count of entries takes more room as it grows. */
  get bytes(): number {
    return this.#bytes + integerBytes(this.entries)
  }

  /** As Redis decides: by the bytes in the node and those that were sent, before they are encoded. */
  hasRoomFor(entry: SampledEntry, { maxEntries, maxBytes }: NodeRule): boolean {
    const isTooLarge = maxBytes > 0 && this.bytes + entry.rawBytes >= maxBytes
    return !isTooLarge && !(maxEntries > 0 && this.entries >= maxEntries)
  }

  add(entry: SampledEntry): void {
    const first = this.#first ?? entry
    const isSame = entry.shape === first.shape
    const elements = isSame ? entry.fields + 3 : 2 * entry.fields + 4
    this.entries++
    this.#bytes +=
      2 + // flags
      integerBytes(Math.round((entry.ms - first.ms) * this.#idScale)) +
      integerBytes(Math.round((entry.seq - first.seq) * this.#idScale)) +
      (isSame ? 0 : integerBytes(entry.fields) + entry.names) +
      entry.values +
      integerBytes(elements)
  }
}

/** An integer in a listpack, with the length that follows it. */
function integerBytes(n: number): number {
  if (n >= 0 && n < 2 ** 7) return 2
  if (fits(n, 13)) return 3
  if (fits(n, 16)) return 4
  if (fits(n, 24)) return 5
  if (fits(n, 32)) return 6
  return 10
}

function fits(n: number, bits: number): boolean {
  return n >= -(2 ** (bits - 1)) && n < 2 ** (bits - 1)
}

/** A text in a listpack, with the length that follows it. Redis keeps a text that is an integer as one. */
export function elementBytes(text: Buffer): number {
  const { length } = text
  if (length <= 20 && /^(0|-?[1-9]\d*)$/.test(text.toString('latin1'))) {
    const integer = BigInt(text.toString('latin1'))
    if (BigInt.asIntN(64, integer) === integer) return integerBytes(Number(integer))
  }
  const encoded = length + (length < 64 ? 1 : length < 4096 ? 2 : 5)
  return encoded + (encoded < 128 ? 1 : encoded < 16_383 ? 2 : encoded < 2_097_151 ? 3 : encoded < 268_435_455 ? 4 : 5)
}

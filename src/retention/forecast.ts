/** Foretells from counts what a sweep removes from one stream, reason by reason. */
import { NODE_ENTRIES } from './bites.ts'
import { type Limits, type Reason, sumOfReasons } from './policy.ts'

/** The counts of one stream. Each number of entries counts from the oldest one. */
export interface Counted {
  readonly length: number
  /** Entries beyond an age limit that no group holds back. */
  readonly tooOld: number
  /** Entries before the first one that a group needs; `length` where no group holds anything. */
  readonly free: number
  /** Bytes that all entries take. */
  readonly bytes: number
  /** Nodes of the stream; null where that is not known. */
  readonly nodes: number | null
}

/** Entries that go by reason, and about how many bytes that frees. */
export interface Removal {
  readonly removed: Readonly<Record<Reason, number>>
  readonly bytes: number
  /** Whether a sweep removes exactly that: not with `approx`, nor for bytes, where the nodes' borders decide. */
  readonly isExact: boolean
}

/**
 * The removals in the order in which a sweep makes them, each from what the one before leaves. With `exact` equal to the
 * sweep, but for bytes; with `approx` within one node.
 */
export function foretell(counted: Counted, limits: Limits): Removal {
  const { length, bytes } = counted
  const isApprox = limits.trim === 'approx'
  const { entries: node, areAlike } = nodesOf(counted)
  let gone = 0
  const goUpTo = (entries: number, toBorder: (entries: number) => number): number => {
    const to = Math.max(gone, Math.min(length, entries === length ? length : toBorder(entries)))
    const removed = to - gone
    gone = to
    return removed
  }
  /** Only whole nodes go. Where their borders are not known, half a node is the middle of what may stay. */
  const wholeNodes = (entries: number): number => {
    if (!isApprox) return entries
    return areAlike ? Math.floor(entries / node) * node : Math.max(0, Math.round(entries - node / 2))
  }

  const age = goUpTo(counted.tooOld, wholeNodes)
  const tooLong = Math.max(Math.min(length - limits.maxLength, counted.free), length - limits.hardMaxLength)
  const byLength = goUpTo(Number.isFinite(tooLong) ? tooLong : 0, wholeNodes)
  const left = length - gone
  const excess = length === 0 ? 0 : (bytes * left) / length - limits.maxBytes
  const nodesToGo = excess > 0 ? Math.ceil(excess / ((bytes / length) * node)) : 0
  const forBytes = Math.min(gone + Math.round(nodesToGo * node), length - 1, Math.max(gone, counted.free))
  const byBytes = goUpTo(nodesToGo > 0 ? forBytes : 0, (entries) => entries)

  const removed = { age, length: byLength, bytes: byBytes }
  const total = sumOfReasons(removed)
  return {
    removed,
    bytes: length === 0 ? 0 : Math.round((bytes * total) / length),
    isExact: byBytes === 0 && excess <= 0 && (!isApprox || isPlain(counted, total)),
  }
}

/** Entries of a node on average, and whether all nodes but the last hold as many: small entries fill nodes of Redis's default size. */
function nodesOf({ length, nodes }: Counted): { entries: number; areAlike: boolean } {
  if (nodes === null || nodes <= 0) return { entries: NODE_ENTRIES, areAlike: false }
  if (nodes === Math.ceil(length / NODE_ENTRIES)) return { entries: NODE_ENTRIES, areAlike: true }
  return { entries: Math.max(1, length / nodes), areAlike: false }
}

/** Whether even `approx` removes just that: all, or nothing where nothing is over a limit. */
function isPlain({ length, tooOld }: Counted, total: number): boolean {
  return total === length || (total === 0 && tooOld === 0)
}

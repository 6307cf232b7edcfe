/** Predicts from counts what a sweep will remove from one stream, by reason. */
import { NODE_ENTRIES } from '../entries/bites.ts'
import { type Limits, type Reason, sumOfReasons } from './policy.ts'

/** The counts of one stream. Each number of entries counts from the oldest one. */
export interface Counted {
  readonly length: number
  /** Entries past an age limit that no group holds back. */
  readonly tooOld: number
  /** Entries before the first one that a group needs; equal to `length` if no group needs any. */
  readonly free: number
  /** Entries that every living group has acknowledged and that are old enough; 0 if no limit asks for that. */
  readonly acked: number
  /** Bytes of all entries. */
  readonly bytes: number
  /** Nodes of the stream; null if unknown. */
  readonly nodes: number | null
  /** Whether entries may have been deleted out of nodes that are still there. */
  readonly mayHaveGaps: boolean
}

/** Removed entries by reason, and approximately the bytes freed. */
export interface Removal {
  readonly removed: Readonly<Record<Reason, number>>
  readonly bytes: number
  /** Whether a sweep will remove exactly this. Not certain with `approx` or for bytes, which depend on where nodes end. */
  readonly isExact: boolean
}

/**
 * Applies the limits in the order of a sweep, each to what the one before left. With `exact` the result equals the sweep's,
 * except for bytes; with `approx` it is within one node.
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
  /** `approx` removes whole nodes only. If it is unknown where they end, assume that half a node stays, the average. */
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

  const byAck = goUpTo(counted.acked, wholeNodes)

  const removed = { age, length: byLength, bytes: byBytes, acked: byAck }
  const total = sumOfReasons(removed)
  return {
    removed,
    bytes: length === 0 ? 0 : Math.round((bytes * total) / length),
    isExact: byBytes === 0 && excess <= 0 && (!isApprox || isPlain(counted, total)),
  }
}

/** The average entries of a node, and whether all nodes but the last hold this many, as small entries do at Redis's defaults. */
function nodesOf({ length, nodes, mayHaveGaps }: Counted): { entries: number; areAlike: boolean } {
  if (nodes === null || nodes <= 0) return { entries: NODE_ENTRIES, areAlike: false }
  if (!mayHaveGaps && nodes === Math.ceil(length / NODE_ENTRIES)) return { entries: NODE_ENTRIES, areAlike: true }
  return { entries: Math.max(1, length / nodes), areAlike: false }
}

/** Whether the result is certain even with `approx`: everything goes, or nothing is over a limit. */
function isPlain({ length, tooOld, acked }: Counted, total: number): boolean {
  return total === length || (total === 0 && tooOld === 0 && acked === 0)
}

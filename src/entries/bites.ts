/** How much one XTRIM may do. Redis serves nobody else meanwhile, so a backlog is removed in bites. */

/** Most entries of one bite: 10,000 small ones take Redis 0.05 to 0.15 ms. */
const MOST_ENTRIES = 10_000
/** Most bytes that one bite may free: 4 MB of entries of 0.5 to 1,000 KB take Redis about 0.4 ms. */
const MOST_BYTES = 4 * 1024 * 1024
const LEAST_ENTRIES = 10

/** The LIMIT of a bite, in entries, for a stream whose oldest entry has `entryBytes` bytes. */
export function biteOf(entryBytes: number): number {
  return Math.max(LEAST_ENTRIES, Math.min(MOST_ENTRIES, Math.floor(MOST_BYTES / Math.max(1, entryBytes))))
}

/** Most bites sent together. Redis serves nobody else between them, so together they stay below 1 ms. */
const MOST_AT_ONCE = 5
const MOST_BYTES_AT_ONCE = 2 * MOST_BYTES

/** How many bites of `limit` to send together, where the next bite does not depend on the reply to the one before. */
export function bitesAtOnce(limit: number, entryBytes: number, candidates: number): number {
  const byBytes = MOST_BYTES_AT_ONCE / (limit * Math.max(1, entryBytes))
  const byEntries = (MOST_AT_ONCE * MOST_ENTRIES) / limit
  return Math.max(1, Math.floor(Math.min(MOST_AT_ONCE, byBytes, byEntries, candidates / limit)))
}

/**
 * Costs say how much of Redis's time commands take. A cost of 1 is the most that Redis is given at once, somewhat less than
 * a millisecond. A command that reads or removes next to nothing still takes about 4 microseconds: this is its cost.
 */
export const LEAST_COST = 1 / 250

/** The costs of commands that each take the least time. A cost for each lets them go in several batches. */
export function leastCosts(commands: number): readonly number[] {
  return Array<number>(commands).fill(LEAST_COST)
}

/** How many entries of this size there are within so many, and within so many bytes; at least one. */
export function entriesWithin(entries: number, bytes: number, entryBytes: number): number {
  return Math.max(1, Math.min(entries, Math.floor(bytes / Math.max(1, entryBytes))))
}

/** The cost of a bite of at most `entries` entries. */
export function costOfBite(entries: number, entryBytes: number): number {
  const byEntries = entries / (MOST_AT_ONCE * MOST_ENTRIES)
  const byBytes = (entries * entryBytes) / MOST_BYTES_AT_ONCE
  return LEAST_COST + Math.max(byEntries, byBytes)
}

/** The cost of a command that replies with `entries` small entries, about half a microsecond each. */
export function costOfReading(entries: number): number {
  return LEAST_COST + entries / 2500
}

/**
 * Splits commands into batches by their costs: each batch runs from `from` up to, but not including, `to`. It holds as many
 * commands as cost at most `most` together, and at least one. A command that costs nothing goes with the one before it.
 */
export function* batchesWithin(
  costs: readonly number[],
  most: number,
): Generator<{ readonly from: number; readonly to: number; readonly cost: number }> {
  let from = 0
  let cost = 0
  for (const [at, ofCommand] of costs.entries()) {
    if (at > from && ofCommand > 0 && cost + ofCommand > most) {
      yield { from, to: at, cost }
      from = at
      cost = 0
    }
    cost += ofCommand
  }
  if (from < costs.length) yield { from, to: costs.length, cost }
}

/**
 * The LIMIT to try after a bite of `limit` removed nothing; null when `~` has nothing left to remove. A LIMIT below the
 * size of the first node never removes anything, and `stream-node-max-entries` may be any number. So while `candidates`
 * (the most entries that could be removed) exceed the LIMIT, the first node may just be larger than it. The LIMIT grows
 * tenfold, so at most ten nodes go at once.
 */
export function largerBite(limit: number, candidates: number): number | null {
  return limit < candidates ? Math.min(limit * 10, candidates) : null
}

/** A node of Redis's default size, the slack of `--trim approx`: it is full at this many entries or bytes. */
export const NODE_ENTRIES = 100
export const NODE_BYTES = 4096

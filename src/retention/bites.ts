/** How much one XTRIM may do. Redis serves nobody else meanwhile, so a backlog is taken in bites. */

/** Entries of one call: 10,000 small ones take Redis 0.05 to 0.15 ms. */
const MOST_ENTRIES = 10_000
/** What one call may free: 4 MB of entries of 0.5 to 1,000 KB take Redis about 0.4 ms. */
const MOST_BYTES = 4 * 1024 * 1024
const LEAST_ENTRIES = 10

/** The LIMIT of a bite, in entries, for a stream whose oldest entry carries `entryBytes`. */
export function biteOf(entryBytes: number): number {
  return Math.max(LEAST_ENTRIES, Math.min(MOST_ENTRIES, Math.floor(MOST_BYTES / Math.max(1, entryBytes))))
}

/** Bites sent together: Redis does them without a pause for anybody else, so that together they are still below 1 ms. */
const MOST_AT_ONCE = 5
const MOST_BYTES_AT_ONCE = 2 * MOST_BYTES

/** How many bites of `limit` to send together, where Redis's answer to one is not needed for the next. */
export function bitesAtOnce(limit: number, entryBytes: number, candidates: number): number {
  const byBytes = MOST_BYTES_AT_ONCE / (limit * Math.max(1, entryBytes))
  const byEntries = (MOST_AT_ONCE * MOST_ENTRIES) / limit
  return Math.max(1, Math.floor(Math.min(MOST_AT_ONCE, byBytes, byEntries, candidates / limit)))
}

/**
 * What commands take of Redis's time, as a share of the most that it is given to do without a pause for anybody else:
 * somewhat less than a millisecond. A command that reads or removes next to nothing takes some 4 microseconds all the same.
 */
export const LEAST_COST = 1 / 250

/** Of so many commands of which each takes the least: with one for each, they may go apart. */
export function leastCosts(commands: number): readonly number[] {
  return Array<number>(commands).fill(LEAST_COST)
}

/** Of a bite that removes up to so many entries: at 1 it is alone. */
export function costOfBite(entries: number, entryBytes: number): number {
  const byEntries = entries / (MOST_AT_ONCE * MOST_ENTRIES)
  const byBytes = (entries * entryBytes) / MOST_BYTES_AT_ONCE
  return LEAST_COST + Math.max(byEntries, byBytes)
}

/** Of a command that answers so many entries: small ones take about half a microsecond each. */
export function costOfReading(entries: number): number {
  return LEAST_COST + entries / 2500
}

/**
 * Which commands, by their costs, go together, from one up to another that is behind them: as many as take no more than
 * `most`, but at least one. What takes nothing goes with what is before it.
 */
export function* together(
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
 * The LIMIT to try after a bite of `limit` removed nothing, or null when nothing is left that `~` can remove. A LIMIT
 * below the size of the first node removes nothing for ever, and `stream-node-max-entries` may be anything: as long
 * as `candidates` (the most entries that could be removed) exceed the LIMIT, the first node may just be larger. It is
 * raised tenfold, so at most ten nodes go at once.
 */
export function largerBite(limit: number, candidates: number): number | null {
  return limit < candidates ? Math.min(limit * 10, candidates) : null
}

/** The slack of `--trim approx`: a node of Redis's default size, which is full at so many entries or so many bytes. */
export const NODE_ENTRIES = 100
export const NODE_BYTES = 4096

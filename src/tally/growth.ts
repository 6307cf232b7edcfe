/** Counts entries that were written between two sweeps, from what the later one found more than the earlier one left. */
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import type { PolicyTally } from './tally.ts'

/**
 * Remembers what each policy's streams would hold if nobody wrote. Forgets that where a comparison would not be true: when
 * the streams of a policy change, and when another copy sweeps. The next sweep then counts nothing.
 */
export class Growth {
  /** By policy, all patterns that decide which streams it covers: its own and those before it. */
  #coverage = new Map<string, string>()
  readonly #left = new Map<string, number>()

  /** Keeps what is known of policies that still cover the same streams. */
  setPolicies(policies: readonly Policy[]): void {
    const matches = policies.map(({ match }) => match)
    const coverage = new Map(policies.map(({ name }, i) => [name, JSON.stringify(matches.slice(0, i + 1))]))
    for (const name of this.#left.keys()) if (coverage.get(name) !== this.#coverage.get(name)) this.#left.delete(name)
    this.#coverage = coverage
  }

  /** Entries that we removed ourselves were there, but are no longer: they must not hide as many new ones. */
  recordRemoval(tallies: readonly PolicyTally[]): void {
    for (const { policy, removed } of tallies) {
      const left = this.#left.get(policy)
      if (left !== undefined) this.#left.set(policy, left - sumOfReasons(removed))
    }
  }

  /** Takes what a sweep of all streams found. @returns by policy, how many entries were written since the last such sweep */
  recordWholeSweep(tallies: readonly PolicyTally[]): Map<string, number> {
    return new Map(
      tallies.map(({ policy, entries }) => {
        const left = this.#left.get(policy) ?? entries.before
        this.#left.set(policy, entries.after)
        // Somebody else may have removed entries.
        return [policy, Math.max(0, entries.before - left)]
      }),
    )
  }

  forget(): void {
    this.#left.clear()
  }
}

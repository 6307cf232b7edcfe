/** Sums over consumer groups, and the groups that lag most, in bounded memory. */
import type { Group } from '../retention/groups.ts'
import type { Policy } from '../retention/policy.ts'

/** The groups on all streams of one policy. */
export interface GroupSums {
  readonly policy: string
  groups: number
  consumers: number
  pending: number
  /** Of the group that lags most, where Redis knows. */
  lagMax: number
}

export interface LaggingGroup {
  readonly key: Buffer
  readonly policy: string
  /** Printable. */
  readonly group: string
  /** Entries that were not delivered to it yet. */
  readonly lag: number
}

/** What a sweep found of groups. */
export interface GroupReport {
  readonly policies: readonly GroupSums[]
  /** The most lagging first. */
  readonly lagging: readonly LaggingGroup[]
}

export class GroupTally {
  readonly #policies: readonly GroupSums[]
  readonly #most: number
  #lagging: LaggingGroup[] = []
  /** Whether all groups could be read. */
  isWhole = true

  /** Keeps the `most` groups that lag most. */
  constructor(policies: readonly Policy[], most: number) {
    this.#policies = policies.map(({ name }) => ({ policy: name, groups: 0, consumers: 0, pending: 0, lagMax: 0 }))
    this.#most = most
  }

  add(policy: number, key: Buffer, { name, consumers, pending, lag }: Group): void {
    const sums = this.#policies[policy]
    if (sums === undefined) throw new RangeError(`no policy ${policy}`)
    sums.groups++
    sums.consumers += consumers
    sums.pending += pending
    if (lag === null) return
    sums.lagMax = Math.max(sums.lagMax, lag)
    this.#lagging.push({ key, policy: sums.policy, group: name, lag })
    // Sorting a full buffer now and then costs less than keeping it sorted.
    if (this.#lagging.length >= this.#most * 2 + 16) this.#prune()
  }

  report(): GroupReport | null {
    this.#prune()
    return this.isWhole ? { policies: this.#policies, lagging: this.#lagging } : null
  }

  #prune(): void {
    this.#lagging.sort(
      (a, b) => b.lag - a.lag || Buffer.compare(a.key, b.key) || (a.group < b.group ? -1 : Number(a.group > b.group)),
    )
    this.#lagging = this.#lagging.slice(0, this.#most)
  }
}

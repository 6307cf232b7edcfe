/** Watches every primary as they come and go, and tells what is heard. */

import { type Address, formatAddress } from '../redis/address.ts'
import type { Primaries } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { policyFor } from '../retention/policy.ts'
import type { Tally } from '../tally/tally.ts'
import { settledOrStopped, sleep } from '../walk/stoppable.ts'
import { type PrimaryWatchTask, watchPrimary } from './primary_watch.ts'
import { WriteCounts } from './write_counts.ts'

/** What to watch for, and who is told. */
export interface WatchTask extends PrimaryWatchTask {
  readonly findPrimaries: (stop: AbortSignal) => Promise<Primaries>
  /** Writes to one stream after which it is held to its policy. */
  readonly every: number
  readonly events: WatchEvents
}

/** What happens to the watch as a whole and on its primaries. */
export interface WatchEvents {
  /** The writes on a primary are heard from now on. */
  heard(address: Address): void
  /** A primary's writes are heard no more, or not yet; or, without an address, the primaries are not to be found. */
  lost(address: Address | null, fault: Fault): void
  /** It is no primary any more. */
  gone(address: Address): void
  /** What an ACL does not allow, though it could go on without. */
  limited(reason: string): void
  /** Some streams were held to their policies. */
  capped(tally: Tally): void
  /** An error that nobody expected ended the watch of one primary. */
  bug(error: unknown): void
}

/** How the watch stands right now. */
export interface Hearing {
  /** Primaries whose writes are heard, of so many. */
  readonly heard: number
  readonly primaries: number
  /** Streams that wait to be capped. */
  readonly waiting: number
  /** Writes heard, and streams left to the next sweep, since the watch began. */
  readonly writes: number
  readonly leftToSweep: number
}

/** How often it is asked anew which primaries there are: what a failover left unheard is bounded by the next sweep. */
const RECHECK_MS = 10_000
const RETRY_MS = { first: 50, most: 5_000 }
const LASTED_MS = 500
/** What was written unheard in less time than that stays within bounds, but in the streams that are remembered. */
const SHORT_GAP_MS = 1_000

/** One primary, watched on whatever becomes of its connections. What was counted outlives them. */
class WatchedPrimary {
  readonly counts: WriteCounts
  isHeard = false
  /** When it was last heard, on the clock of performance.now(). */
  #heardUntil = Number.NEGATIVE_INFINITY
  /** Whether every stream was looked at since much was missed. */
  #sawAll = false
  readonly address: Address
  readonly #task: WatchTask
  readonly #end = new AbortController()

  constructor(address: Address, task: WatchTask) {
    this.address = address
    this.#task = task
    this.counts = new WriteCounts(task.every, (key) => policyFor(task.policies, key) >= 0)
  }

  /** Watches until `stop` fires or `end()` is called; `onChange` is told when other primaries may have its streams. */
  async run(stop: AbortSignal, onChange: () => void): Promise<void> {
    const ending = AbortSignal.any([stop, this.#end.signal])
    const { events } = this.#task
    const heard = (): boolean => {
      this.isHeard = true
      events.heard(this.address)
      if (performance.now() - this.#heardUntil > SHORT_GAP_MS) this.#sawAll = false
      return !this.#sawAll
    }
    const sawAll = (): void => {
      this.#sawAll = true
    }
    const own = { ...events, heard, sawAll, moved: onChange }
    let retryMs = RETRY_MS.first
    while (!ending.aborted) {
      const begun = performance.now()
      try {
        await watchPrimary(this.address, this.#task, this.counts, own, ending)
      } catch (error) {
        if (!(error instanceof Fault)) throw error
        if (!ending.aborted) events.lost(this.address, error)
      }
      if (this.isHeard) this.#heardUntil = performance.now()
      this.isHeard = false
      if (ending.aborted) return
      onChange()
      // One that lasted is no sign of trouble: what is written meanwhile is unheard.
      retryMs = performance.now() - begun > LASTED_MS ? RETRY_MS.first : Math.min(2 * retryMs, RETRY_MS.most)
      await sleep(retryMs, ending)
    }
  }

  end(): void {
    this.#end.abort()
  }
}

/** The watch over all primaries. */
export class Watch {
  readonly #task: WatchTask
  readonly #watched = new Map<string, WatchedPrimary>()
  readonly #running = new Set<Promise<void>>()
  /** What was heard from primaries that are none any more. */
  readonly #past = { writes: 0, leftToSweep: 0 }
  #recheck = Promise.withResolvers<void>()

  constructor(task: WatchTask) {
    this.#task = task
  }

  get hearing(): Hearing {
    const watched = [...this.#watched.values()]
    const sum = (of: (counts: WriteCounts) => number): number => watched.reduce((n, { counts }) => n + of(counts), 0)
    return {
      heard: watched.filter(({ isHeard }) => isHeard).length,
      primaries: watched.length,
      waiting: sum(({ waiting }) => waiting),
      writes: this.#past.writes + sum(({ writes }) => writes),
      leftToSweep: this.#past.leftToSweep + sum(({ leftToSweep }) => leftToSweep),
    }
  }

  /** Watches until `stop` fires, and returns when the pages in hand are counted. Never throws what Redis did. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      this.#recheck = Promise.withResolvers()
      await this.#follow(stop)
      await settledOrStopped(Promise.race([this.#recheck.promise, sleep(RECHECK_MS, stop)]), stop)
      await sleep(RETRY_MS.first, stop)
    }
    await Promise.all(this.#running)
    for (const name of this.#watched.keys()) this.#retire(name)
  }

  /** Watches those primaries that there are now, and no others. */
  async #follow(stop: AbortSignal): Promise<void> {
    let addresses: readonly Address[]
    try {
      addresses = (await this.#task.findPrimaries(stop)).addresses
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (!stop.aborted) this.#task.events.lost(null, error)
      return
    }
    const names = new Set(addresses.map(formatAddress))
    for (const name of this.#watched.keys()) if (!names.has(name)) this.#retire(name)
    for (const address of addresses) {
      const name = formatAddress(address)
      if (this.#watched.has(name)) continue
      const primary = new WatchedPrimary(address, this.#task)
      this.#watched.set(name, primary)
      const running = primary
        .run(stop, () => this.#recheck.resolve())
        .catch((error: unknown) => this.#task.events.bug(error))
        .finally(() => this.#running.delete(running))
      this.#running.add(running)
    }
  }
  /** What it heard stays counted. */
  #retire(name: string): void {
    const primary = this.#watched.get(name)
    if (primary === undefined) return
    primary.end()
    this.#past.writes += primary.counts.writes
    this.#past.leftToSweep += primary.counts.leftToSweep
    this.#watched.delete(name)
    this.#task.events.gone(primary.address)
  }
}

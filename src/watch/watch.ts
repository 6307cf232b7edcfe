/** Watches every primary, and follows failovers and resharding. */

import assert from 'node:assert/strict'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Primaries } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { policyFor } from '../retention/policy.ts'
import type { ArchiveFault } from '../store/store.ts'
import type { Tally } from '../tally/tally.ts'
import { settledOrStopped, sleep } from '../walk/stoppable.ts'
import { type PrimaryWatchTask, watchPrimary } from './primary_watch.ts'
import { WriteCounts } from './write_counts.ts'

export interface WatchTask extends PrimaryWatchTask {
  readonly findPrimaries: (stop: AbortSignal) => Promise<Primaries>
  /** Cap a stream after this many writes to it. */
  readonly every: number
  readonly events: WatchEvents
}

/** What happens to the watch as a whole and on its primaries. */
export interface WatchEvents {
  /** A primary reports its writes from now on. */
  heard(address: Address): void
  /** A primary does not report its writes, or stopped. Without an address: the primaries could not be found. */
  lost(address: Address | null, fault: Fault): void
  /** The server is no longer a primary. */
  gone(address: Address): void
  /** Redis denied a command that the watch can do without. */
  limited(reason: string): void
  /** Some streams were looked at and trimmed if needed. */
  capped(tally: Tally): void
  /** The archive failed: the streams that waited for it were not capped, except by hard limits. */
  archiveFailed(fault: ArchiveFault): void
  /** An unexpected error ended the watch of one primary. */
  bug(error: unknown): void
}

/** The state of the watch now. */
export interface WatchState {
  /** Primaries that report their writes. */
  readonly heard: number
  readonly primaries: number
  /** Streams waiting to be capped. */
  readonly waiting: number
  /** Writes heard since the watch began. */
  readonly writes: number
  /** How often a stream was left to the next sweep since the watch began. */
  readonly leftToSweep: number
}

/** How often to look for new primaries. Until a failover is noticed, only the next sweep bounds the new primary's streams. */
const RECHECK_MS = 10_000
/** Delays before reconnecting; each failed try doubles the delay. */
const RETRY_MS = { first: 50, max: 5_000 }
/** A connection that lasted this long did work: reconnect after the first delay. */
const LASTED_MS = 500
/** After a longer gap, streams may have grown too much to look only at those we remember. */
const SHORT_GAP_MS = 1_000

/**
 * Keeps one primary watched, however often its connections break. The counts outlive the connections, so that a short gap
 * costs a look at the streams we remember, and not a look at every stream of the primary.
 *
 * - Connecting: the first state. Writes go unheard. It becomes heard when Redis confirms the subscription and reports
 *   writes, and waiting if that fails.
 * - Heard: writes are counted and due streams are capped. It becomes waiting when a connection ends or somebody turns
 *   notifications off.
 * - Waiting: writes go unheard until the retry delay has passed; then it is connecting again. The delay doubles, except
 *   after a connection that lasted.
 * - Ended: after `end()` or `stop`, from any state. It never starts again.
 *
 * On becoming heard it looks at every stream if it has not done so yet, or after a gap longer than SHORT_GAP_MS; until one
 * such look has reached the end, each new connection starts it again.
 */
class WatchedPrimary {
  readonly counts: WriteCounts
  isHeard = false
  /** When writes were last heard, on the clock of performance.now(). */
  #heardUntil = Number.NEGATIVE_INFINITY
  /** Whether every stream was looked at since the last long gap. */
  #sawAll = false
  readonly address: Address
  readonly #task: WatchTask
  readonly #end = new AbortController()

  constructor(address: Address, task: WatchTask) {
    this.address = address
    this.#task = task
    this.counts = new WriteCounts(task.every, (key) => policyFor(task.policies(), key) >= 0)
  }

  /** Watches until `stop` fires or `end()` is called. Calls `onChange` when its streams may have moved to other primaries. */
  async run(stop: AbortSignal, onChange: () => void): Promise<void> {
    const ending = AbortSignal.any([stop, this.#end.signal])
    const { events } = this.#task
    const heard = (): boolean => {
      assert(!this.isHeard, 'a primary must have been lost before it can be heard again')
      this.isHeard = true
      events.heard(this.address)
      if (performance.now() - this.#heardUntil > SHORT_GAP_MS) this.#sawAll = false
      return !this.#sawAll
    }
    const sawAll = (): void => {
      assert(this.isHeard, 'a look at every stream counts only while new writes are heard')
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
      // Do not wait long after a connection that worked: writes go unheard meanwhile.
      retryMs = performance.now() - begun > LASTED_MS ? RETRY_MS.first : Math.min(2 * retryMs, RETRY_MS.max)
      await sleep(retryMs, ending)
    }
  }

  end(): void {
    this.#end.abort()
  }
}

/**
 * Watches all primaries. It lists them every RECHECK_MS, and at once when one of them is lost or streams have moved, then
 * starts to watch new ones and retires those that are gone. What a retired primary has counted stays in the totals.
 */
export class Watch {
  readonly #task: WatchTask
  readonly #watched = new Map<string, WatchedPrimary>()
  readonly #running = new Set<Promise<void>>()
  /** Totals of retired primaries. */
  readonly #retired = { writes: 0, leftToSweep: 0 }
  #recheck = Promise.withResolvers<void>()

  constructor(task: WatchTask) {
    this.#task = task
  }

  get state(): WatchState {
    const watched = [...this.#watched.values()]
    const sum = (of: (counts: WriteCounts) => number): number => watched.reduce((n, { counts }) => n + of(counts), 0)
    return {
      heard: watched.filter(({ isHeard }) => isHeard).length,
      primaries: watched.length,
      waiting: sum(({ waiting }) => waiting),
      writes: this.#retired.writes + sum(({ writes }) => writes),
      leftToSweep: this.#retired.leftToSweep + sum(({ leftToSweep }) => leftToSweep),
    }
  }

  /** Watches until `stop` fires, then resolves once the pages in flight are counted. Never throws for what Redis did. */
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

  /** Finds the current primaries, watches the new ones and retires the others. */
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

  #retire(name: string): void {
    const primary = this.#watched.get(name)
    if (primary === undefined) return
    primary.end()
    this.#retired.writes += primary.counts.writes
    this.#retired.leftToSweep += primary.counts.leftToSweep
    this.#watched.delete(name)
    this.#task.events.gone(primary.address)
  }
}

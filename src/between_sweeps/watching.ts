/** Runs the watch inside the daemon, and reports what it does in the metrics, the log and the status page. */
import type { Config, WatchTerms } from '../config/config.ts'
import { formatAddress } from '../redis/address.ts'
import type { Policy } from '../retention/policy.ts'
import { recordArchive, type Status, type WatchStatus } from '../status_page/status.ts'
import type { ArchiveCause } from '../store/store.ts'
import type { SweepTask } from '../sweep/sweep.ts'
import { addTally, emptyTally, type Tally } from '../tally/tally.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Watch, type WatchState } from '../watch/watch.ts'

/** Log what was capped once a minute instead of once a page. */
const LOG_EVERY_MS = 60_000
/** The key for an error in finding the primaries, which concerns no single one. */
const ANY_PRIMARY = ''

export class Watching implements WatchStatus {
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #watch: Watch
  /** Since the watch began. */
  readonly total = emptyTally('all')
  /** Since the last log line. */
  #unlogged = emptyTally('all')
  /** What the metrics have counted so far. */
  #inMetrics = { writes: 0, leftToSweep: 0 }
  /** Why the archive fails; null while it works. Logged when it changes; the message names another segment each time. */
  #unarchivedFor: ArchiveCause | null = null
  readonly #loggedLimits = new Set<string>()
  /** Why a primary's writes are not heard, by address. Logged when it changes. */
  readonly #whyLost = new Map<string, string>()

  constructor(
    terms: WatchTerms,
    config: Config,
    task: SweepTask,
    policies: () => readonly Policy[],
    log: Log,
    metrics: Metrics,
    status: Status,
    bug: (error: unknown) => void,
  ) {
    this.#log = log
    this.#metrics = metrics
    this.#watch = new Watch({
      ...terms,
      findPrimaries: task.findPrimaries,
      reach: task.reach,
      policies,
      dryRun: config.dryRun,
      archive: task.archive,
      paceOf: task.paceOf,
      onOutcome: task.onOutcome ?? (() => {}),
      living: task.living,
      events: {
        heard: (address) => {
          this.#whyLost.delete(formatAddress(address))
          this.#whyLost.delete(ANY_PRIMARY)
          log.info({ address: formatAddress(address), every: terms.every }, 'watching')
        },
        lost: (address, { code, message }) => {
          metrics.recordWatchLost()
          const name = address === null ? ANY_PRIMARY : formatAddress(address)
          if (this.#whyLost.get(name) === message) return
          this.#whyLost.set(name, message)
          log.warn({ ...(address === null ? {} : { address: name }), cause: code, reason: message }, 'watch lost')
        },
        gone: (address) => this.#whyLost.delete(formatAddress(address)),
        limited: (reason) => {
          if (!this.#loggedLimits.has(reason)) log.warn({ reason }, 'watch limited')
          this.#loggedLimits.add(reason)
        },
        capped: (tally) => {
          this.#count(tally)
          if (tally.policies.every(({ archived }) => archived === 0)) return
          this.#unarchivedFor = null
          recordArchive(status, null, Date.now())
        },
        archiveFailed: (fault) => {
          metrics.recordArchiveFailure(fault)
          recordArchive(status, fault, Date.now())
          if (this.#unarchivedFor !== fault.code)
            log.error({ cause: fault.code, reason: fault.message }, 'archive failed')
          this.#unarchivedFor = fault.code
        },
        bug,
      },
    })
  }

  get state(): WatchState {
    return this.#watch.state
  }

  get whyUnheard(): readonly string[] {
    return [...new Set(this.#whyLost.values())]
  }

  /** Watches until `stop` fires, then resolves once the streams in progress are counted. */
  async run(stop: AbortSignal): Promise<void> {
    const timer = setInterval(() => this.#logCapped(), LOG_EVERY_MS)
    await this.#watch.run(stop)
    clearInterval(timer)
    this.#logCapped()
    this.updateMetrics()
  }

  updateMetrics(): void {
    const { state } = this
    const added = {
      writes: state.writes - this.#inMetrics.writes,
      leftToSweep: state.leftToSweep - this.#inMetrics.leftToSweep,
    }
    this.#inMetrics = state
    this.#metrics.recordWatch(state, added)
  }

  #count(tally: Tally): void {
    this.#metrics.recordTrimming(tally.policies)
    for (const policy of tally.policies) {
      addTally(this.total, policy)
      addTally(this.#unlogged, policy)
    }
  }

  #logCapped(): void {
    const { streams, removed, unread, errors } = this.#unlogged
    if (streams > 0) this.#log.info({ streams, removed, unread, errors, ...this.state }, 'watched')
    this.#unlogged = emptyTally('all')
  }
}

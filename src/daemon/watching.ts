/** The watch as part of the daemon: what it hears and does is counted, logged, and shown. */
import type { Config, WatchTerms } from '../config/config.ts'
import type { WatchStatus } from '../http/status.ts'
import { formatAddress } from '../redis/address.ts'
import { betweenSweeps } from '../retention/policy.ts'
import type { SweepTask } from '../sweep/sweep.ts'
import { addTally, emptyTally, type Tally } from '../tally/tally.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type Hearing, Watch } from '../watch/watch.ts'

/** What was capped is told in one line a minute, not in one for each page. */
const TELL_MS = 60_000
/** Stands for a primary that is not even found. */
const ANY_PRIMARY = ''

/** The watch while this copy leads. */
export class Watching implements WatchStatus {
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #watch: Watch
  /** Since it began. */
  readonly total = emptyTally('all')
  /** Since the last line of the log. */
  #untold = emptyTally('all')
  #metricsHave = { writes: 0, leftToSweep: 0 }
  readonly #limits = new Set<string>()
  /** Why a primary is not heard, by its address, and why the primaries are not to be found: told when it changes. */
  readonly #whyLost = new Map<string, string>()

  constructor(
    terms: WatchTerms,
    config: Config,
    task: SweepTask,
    log: Log,
    metrics: Metrics,
    bug: (error: unknown) => void,
  ) {
    this.#log = log
    this.#metrics = metrics
    this.#watch = new Watch({
      ...terms,
      findPrimaries: task.findPrimaries,
      reach: task.reach,
      policies: config.policies.map(betweenSweeps),
      dryRun: config.dryRun,
      paceOf: task.paceOf,
      onOutcome: task.onOutcome ?? (() => {}),
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
          if (!this.#limits.has(reason)) log.warn({ reason }, 'watch limited')
          this.#limits.add(reason)
        },
        capped: (tally) => this.#count(tally),
        bug,
      },
    })
  }

  get hearing(): Hearing {
    return this.#watch.hearing
  }

  get whyUnheard(): readonly string[] {
    return [...new Set(this.#whyLost.values())]
  }

  /** Watches until `stop` fires and what was in hand is counted. */
  async run(stop: AbortSignal): Promise<void> {
    const timer = setInterval(() => this.#tell(), TELL_MS)
    await this.#watch.run(stop)
    clearInterval(timer)
    this.#tell()
    this.tellMetrics()
  }

  /** Brings the metrics to what is now. */
  tellMetrics(): void {
    const { hearing } = this
    const more = {
      writes: hearing.writes - this.#metricsHave.writes,
      leftToSweep: hearing.leftToSweep - this.#metricsHave.leftToSweep,
    }
    this.#metricsHave = hearing
    this.#metrics.recordHearing(hearing, more)
  }

  #count(tally: Tally): void {
    this.#metrics.recordDone(tally.policies)
    for (const policy of tally.policies) {
      addTally(this.total, policy)
      addTally(this.#untold, policy)
    }
  }

  #tell(): void {
    const { streams, removed, unread, errors } = this.#untold
    if (streams > 0) this.#log.info({ streams, removed, unread, errors, ...this.hearing }, 'watched')
    this.#untold = emptyTally('all')
  }
}

/** What the daemon knows of itself: the one source of the status page. */
import type { Config } from '../config/config.ts'
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { PolicyTally } from '../tally/tally.ts'
import type { Hearing } from '../watch/watch.ts'

/** One sweep in the chart. */
export interface PastSweep {
  readonly endedAtMs: number
  readonly result: SweepReport['result']
  readonly removed: number
  readonly durationMs: number
}

/** How many sweeps are remembered, and so the most that the chart shows. */
export const PAST_SWEEPS = 100

/** What the daemon writes into as it goes on, and the page reads. */
export interface Status {
  readonly version: string
  readonly startedAtMs: number
  readonly dryRun: boolean
  readonly policies: readonly Policy[]
  /** The tick of the schedule after that moment, both in milliseconds since 1970; null for never. */
  readonly nextTick: (ms: number) => number | null
  /** Whether streams may be named, as `--stream-metrics` says. */
  readonly namesStreams: boolean
  isLeader: boolean
  /** Whether Redis last said that another copy holds the lease. Where neither leads, nobody is known to. */
  anotherLeads: boolean
  sweeping: boolean
  last: { readonly report: SweepReport; readonly endedAtMs: number } | null
  /** When the last success ended, over all primaries. */
  lastSuccessMs: number | null
  /** The oldest first. */
  past: readonly PastSweep[]
  nextSweepMs: number | null
  /** Null where this copy does not watch. */
  watch: WatchStatus | null
  /** Null where this copy does not guard memory. */
  pressure: PressureStatus | null
}

/** The watch since it began. */
export interface WatchStatus {
  readonly hearing: Hearing
  /** Why writes are not heard, where they are not. */
  readonly whyUnheard: readonly string[]
  /** Of the streams that were held to their policy at their writes. */
  readonly total: PolicyTally
  /** Brings the metrics to what is now. */
  tellMetrics(): void
}

/** Memory against its threshold, as it was last read. */
export interface PressureStatus {
  readonly loads: readonly {
    readonly address: string
    /** In bytes, as the threshold. */
    readonly usedBytes: number
    readonly threshold: number
    /** Trimming does not bring it down. */
    readonly isHelpless: boolean
  }[]
  /** Sweeps it called for. */
  readonly sweeps: number
}

/** Of a copy that starts, and knows nothing yet. */
export function makeStatus(config: Config, version: string, startedAtMs: number): Status {
  return {
    version,
    startedAtMs,
    dryRun: config.dryRun,
    policies: config.policies,
    nextTick: config.cron.nextAfter,
    namesStreams: config.streamMetrics > 0,
    isLeader: config.lease === null,
    anotherLeads: false,
    sweeping: false,
    last: null,
    lastSuccessMs: null,
    past: [],
    nextSweepMs: null,
    watch: null,
    pressure: null,
  }
}

/** Takes a sweep that just ended into the status. */
export function recordInStatus(status: Status, report: SweepReport, endedAtMs: number): void {
  const { result, total, durationMs } = report
  const past = { endedAtMs, result, removed: sumOfReasons(total.removed), durationMs }
  // A success over some of the primaries, which alone were under pressure, says nothing of the others.
  if (report.whole || result !== 'success') status.last = { report, endedAtMs }
  if (report.whole && result === 'success') status.lastSuccessMs = endedAtMs
  status.past = [...status.past, past].slice(-PAST_SWEEPS)
}

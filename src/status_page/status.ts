/** The state of the daemon, as the status page shows it. */
import type { Config } from '../config/config.ts'
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import type { Pause } from '../shared_keys/pause_key.ts'
import { formatLocation } from '../store/location.ts'
import type { ArchiveFault } from '../store/store.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { PolicyTally } from '../tally/tally.ts'
import type { WatchState } from '../watch/watch.ts'

/** A sweep in the chart. */
export interface PastSweep {
  readonly endedAtMs: number
  readonly result: SweepReport['result']
  readonly removed: number
  readonly durationMs: number
}

/** How many sweeps are remembered and shown in the chart. */
export const PAST_SWEEPS = 100

/** The daemon updates it, the page reads it. */
export interface Status {
  readonly version: string
  readonly startedAtMs: number
  readonly dryRun: boolean
  /** Those in force now. The last sweep may have had others. */
  policies: readonly Policy[]
  /** Null without `--policy-file`. */
  policyFile: PolicyFileStatus | null
  /** The first tick of the schedule after the given time, both in ms since 1970; null for never. */
  readonly nextTick: (ms: number) => number | null
  /** Whether the page may name streams: false with `--stream-metrics 0`. */
  readonly namesStreams: boolean
  /** Null if nobody paused. */
  pause: Pause | null
  isLeader: boolean
  /** Whether Redis last answered that another copy holds the lease. If this and `isLeader` are false, the leader is unknown. */
  anotherLeads: boolean
  sweeping: boolean
  last: { readonly report: SweepReport; readonly endedAtMs: number } | null
  /** When the last successful sweep of all primaries ended. */
  lastSuccessMs: number | null
  /** Oldest first. */
  past: readonly PastSweep[]
  nextSweepMs: number | null
  /** Null if this copy does not watch. */
  watch: WatchStatus | null
  /** Null if this copy does not guard memory. */
  pressure: PressureStatus | null
  /** Null without `--archive`. */
  readonly archive: ArchiveStatus | null
}

export interface ArchiveStatus {
  /** Its URL, and that of the store where it is not Amazon's. Neither can hold a secret. */
  readonly place: string
  /** Why and since when it fails; null from its next success on. */
  failing: { readonly why: string; readonly sinceMs: number } | null
}

/** The version of `--policy-file` in force. */
export interface PolicyFileStatus {
  /** A short hash of its content. */
  readonly version: string
  /** When it came into force. */
  readonly sinceMs: number
  /** What is wrong with the file as it is now, one line each. Empty if the version in force is the newest. */
  readonly problems: readonly string[]
}

export interface WatchStatus {
  readonly state: WatchState
  /** Why the writes of some primaries are not heard. Empty if all are. */
  readonly whyUnheard: readonly string[]
  /** What the watch has done since it began. */
  readonly total: PolicyTally
  /** Brings the metrics up to date. */
  updateMetrics(): void
}

/** The last reading of memory. */
export interface PressureStatus {
  readonly loads: readonly {
    readonly address: string
    readonly usedBytes: number
    /** In bytes. */
    readonly threshold: number
    /** Whether memory stays above the threshold although streams were trimmed. */
    readonly isHelpless: boolean
  }[]
  /** Sweeps started because of memory pressure. */
  readonly sweeps: number
}

/** The status of a copy that has just started. */
export function makeStatus(config: Config, version: string, startedAtMs: number): Status {
  return {
    version,
    startedAtMs,
    dryRun: config.dryRun,
    policies: config.policies,
    policyFile: null,
    pause: null,
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
    archive: archiveStatus(config),
  }
}

function archiveStatus({ archive }: Config): ArchiveStatus | null {
  if (archive === null) return null
  const { location, s3 } = archive
  return { place: `${formatLocation(location)}${s3.endpoint === null ? '' : ` at ${s3.endpoint}`}`, failing: null }
}

/** Records that the archive failed, or, with null, that it works. */
export function recordArchive({ archive }: Status, fault: ArchiveFault | null, atMs: number): void {
  if (archive === null) return
  archive.failing = fault && { why: fault.message, sinceMs: archive.failing?.sinceMs ?? atMs }
}

/** Adds a finished sweep to the status. */
export function recordInStatus(status: Status, report: SweepReport, endedAtMs: number): void {
  const { result, total, durationMs } = report
  const past = { endedAtMs, result, removed: sumOfReasons(total.removed), durationMs }
  // A successful sweep of only the primaries under memory pressure says nothing about the others.
  if (report.whole || result !== 'success') status.last = { report, endedAtMs }
  if (report.whole && result === 'success') status.lastSuccessMs = endedAtMs
  status.past = [...status.past, past].slice(-PAST_SWEEPS)
  // What was due when the archive failed still is, so a success without a fault means that it was stored.
  const { archiveFault } = report
  const isKnown = archiveFault !== null || total.archived > 0 || (report.whole && result === 'success')
  if (isKnown) recordArchive(status, archiveFault, endedAtMs)
}

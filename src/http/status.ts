/** What the daemon knows of itself: the one source of the status page. */
import type { Policy } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'

export interface Status {
  readonly version: string
  readonly startedAtMs: number
  readonly dryRun: boolean
  readonly policies: readonly Policy[]
  isLeader: boolean
  sweeping: boolean
  last: { readonly report: SweepReport; readonly endedAtMs: number } | null
  nextSweepMs: number | null
}

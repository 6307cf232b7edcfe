/** The line of the log in which a sweep tells why it was made and what it did. */
import { sweepFields } from '../report/json.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'

/** Why a sweep was started. */
export const TRIGGERS = ['start', 'schedule', 'takeover', 'pressure'] as const
export type Trigger = (typeof TRIGGERS)[number]

/** A sweep's line is its tally. A failure is the operator's business at once; a stop was asked for. */
export function logSweep(report: SweepReport, trigger: Trigger, log: Log): void {
  for (const [command, neededFor] of report.missing) {
    log.warn({ command, neededFor }, 'the ACL does not allow a command')
  }
  const fields = { trigger, ...sweepFields(report) }
  if (report.failure === null) log.info(fields, 'sweep')
  else if (report.result === 'partial') log.warn(fields, 'sweep')
  else log.error(fields, 'sweep')
}

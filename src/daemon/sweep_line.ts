/** The log line of a sweep: why it ran and what it did. */
import { sweepFields } from '../report/json.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'

/** Why a sweep was started. */
export const TRIGGERS = ['start', 'schedule', 'takeover', 'pressure', 'resume'] as const
export type Trigger = (typeof TRIGGERS)[number]

/** Failed sweeps are errors, partial ones warnings. A sweep that was stopped is not a problem. */
export function logSweep(report: SweepReport, trigger: Trigger, log: Log): void {
  for (const [command, { neededFor, why }] of report.missing) {
    if (why === 'unknown') log.warn({ command, neededFor }, 'the server does not know a command')
    else log.warn({ command, neededFor }, 'the ACL does not allow a command')
  }
  const fields = { trigger, ...sweepFields(report) }
  if (report.failure === null) log.info(fields, 'sweep')
  else if (report.result === 'partial') log.warn(fields, 'sweep')
  else log.error(fields, 'sweep')
}

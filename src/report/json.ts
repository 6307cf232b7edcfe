/** A sweep's outcome as plain data: the JSON of `--output json`, and the fields of its log line. */
import type { SweepReport } from '../sweep/sweep.ts'
import type { PolicyTally } from '../sweep/tally.ts'
import { shown } from '../text/shown.ts'

/** The tally of one policy or of all of them, in the contract's names. */
function tallyFields(tally: PolicyTally) {
  const {
    streams,
    emptyStreams,
    entries,
    longestStream,
    removed,
    unread,
    deletedStreams,
    skipped,
    overLimit,
    protectedStreams,
  } = tally
  return {
    streams,
    emptyStreams,
    entries,
    longestStream,
    removed,
    unread,
    deletedStreams,
    skipped,
    overLimit,
    protectedStreams,
  }
}

/** What the log line of a sweep carries: no stream's key, and nothing that grows with the number of streams. */
export function sweepFields(report: SweepReport) {
  return {
    result: report.result,
    ...(report.cause === null ? {} : { cause: report.cause, reason: report.message }),
    durationSeconds: Math.round(report.durationMs) / 1000,
    ...tallyFields(report.total),
    errors: Object.fromEntries(report.errors),
    ...(report.policies.length > 1 ? { policies: policiesOf(report) } : {}),
  }
}

/** The whole report, for scripts. */
export function sweepJson(report: SweepReport) {
  return {
    ...sweepFields(report),
    policies: policiesOf(report),
    missing: Object.fromEntries(report.missing),
    longest: report.longest.map(({ key, policy, length }) => ({ stream: shown(key), policy, length })),
  }
}

function policiesOf(report: SweepReport) {
  return report.policies.map((tally) => ({ policy: tally.policy, ...tallyFields(tally) }))
}

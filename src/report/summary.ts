/** A sweep's outcome for a person at a terminal, within 80 columns. */
import { REASONS } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import { counted, listed } from '../text/counted.ts'
import { roundDuration } from '../text/quantities.ts'
import { ending, heldLines, longestLines, missingLines, sentence, table } from './table.ts'

/** Several lines, the last one ended. */
export function sweepSummary(report: SweepReport): string {
  const { total } = report
  const first = sentence(`${ending(report)} in ${roundDuration(report.durationMs)}`)
  // A table of nothing would look as if there were no streams.
  if (report.result !== 'success' && total.streams === 0) return [...first, ''].join('\n')
  const figures = [
    ...table([
      ['policy', 'streams', 'before', 'after', ...REASONS, 'longest'],
      ...[...report.policies, ...(report.policies.length > 1 ? [total] : [])].map((tally) => [
        tally.policy,
        tally.streams,
        tally.entries.before,
        tally.entries.after,
        ...REASONS.map((reason) => tally.removed[reason]),
        tally.longestStream,
      ]),
    ]),
    '',
    ...sentence(`What was removed stands under ${listed(REASONS)}.`),
  ]
  const were = (n: number, what: string): string => counted(n, `stream was ${what}`, `streams were ${what}`)
  const notes: [number, string][] = [
    [total.unread, `${counted(total.unread, 'entry', 'entries')} removed before a consumer group had read them`],
    [total.deletedStreams, `${counted(total.deletedStreams, 'empty stream', 'empty streams')} deleted`],
    [total.protectedStreams, were(total.protectedStreams, 'held back by a consumer group')],
    [
      total.skipped.custom_ids,
      `${counted(total.skipped.custom_ids, 'stream has', 'streams have')} IDs that are no times: not trimmed by age`,
    ],
    ...Object.entries(total.errors).map(([code, n]): [number, string] => [n, were(n, `refused with ${code}`)]),
  ]
  const told = notes.filter(([n]) => n > 0).map(([, note]) => note)
  return [
    ...first,
    '',
    ...figures,
    ...told,
    ...missingLines(report.missing),
    ...heldLines(report.held),
    ...longestLines(report.longest),
    '',
  ].join('\n')
}

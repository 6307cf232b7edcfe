/** A sweep's outcome for a person at a terminal, within 80 columns. */
import type { SweepReport } from '../sweep/sweep.ts'
import { ending, longestLines, sentence, table } from './table.ts'

export function sweepSummary(report: SweepReport): string {
  const { total } = report
  const lines = [
    ...sentence(`${ending(report)} in ${seconds(report.durationMs)}`),
    '',
    ...table([
      ['policy', 'streams', 'before', 'after', 'age', 'length', 'bytes', 'longest'],
      ...[...report.policies, ...(report.policies.length > 1 ? [total] : [])].map((tally) => [
        tally.policy,
        tally.streams,
        tally.entries.before,
        tally.entries.after,
        tally.removed.age,
        tally.removed.length,
        tally.removed.bytes,
        tally.longestStream,
      ]),
    ]),
  ]
  const notes = [
    [total.unread, 'entries were removed before a consumer group had read them'],
    [total.deletedStreams, 'empty streams were deleted'],
    [total.protectedStreams, 'streams were held back by a consumer group'],
    [total.skipped.custom_ids, 'streams have IDs that are no times: not trimmed by age'],
    ...Object.entries(total.errors).map(([code, n]) => [n, `streams were refused with ${code}`] as const),
  ] as const
  const told = notes.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`)
  const missing = [...report.missing].flatMap(([command, need]) =>
    sentence(`the ACL allows no ${command}, which ${need} needs`),
  )
  return [
    ...lines,
    ...(told.length + missing.length > 0 ? ['', ...told, ...missing] : []),
    ...longestLines(report.longest),
    '',
  ].join('\n')
}

/** A duration as people say it. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`
}

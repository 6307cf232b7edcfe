/** A sweep's outcome for a person at a terminal, within 80 columns. */
import type { SweepReport } from '../sweep/sweep.ts'
import { counted } from '../text/counted.ts'
import { ending, longestLines, sentence, table } from './table.ts'

/** Several lines, the last one ended. */
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

/** What `sweep` prints on a terminal, within 80 columns. */

import {
  heldLines,
  longestLines,
  missingLines,
  reapedTold,
  reasonsShown,
  removedTold,
  resultWithCause,
  sentence,
  table,
} from '../phrases/table.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { PolicyTally } from '../tally/tally.ts'
import { counted, listed } from '../text/counted.ts'
import { roundDuration, roundSize } from '../text/quantities.ts'

/** Several lines, each ending in a newline. */
export function sweepSummary(report: SweepReport): string {
  const { total } = report
  const reasons = reasonsShown(total.removed)
  const first = sentence(`${resultWithCause(report)} in ${roundDuration(report.durationMs)}`)
  // An empty table would look as if Redis held no streams.
  if (report.result !== 'success' && total.streams === 0) return [...first, ''].join('\n')
  const figures = [
    ...table([
      ['policy', 'streams', 'before', 'after', ...reasons, 'longest'],
      ...[...report.policies, ...(report.policies.length > 1 ? [total] : [])].map((tally) => [
        tally.policy,
        tally.streams,
        tally.entries.before,
        tally.entries.after,
        ...reasons.map((reason) => tally.removed[reason]),
        tally.longestStream,
      ]),
    ]),
    '',
    ...sentence(`The ${listed(reasons)} columns show which limit removed the entries.`),
  ]
  const reaped = reapedTold({ ...total.reaped, streams: 0 })
  const were = (n: number, what: string): string => counted(n, `stream was ${what}`, `streams were ${what}`)
  const notes: [number, string][] = [
    [total.archived, `${counted(total.archived, 'entry', 'entries')} archived, in ${roundSize(total.archivedBytes)}`],
    [
      total.unarchived,
      `${counted(total.unarchived, 'entry', 'entries')} removed by a hard limit without being archived`,
    ],
    [total.unread, `${counted(total.unread, 'entry', 'entries')} removed before a consumer group had read them`],
    [reaped.length, `${listed(reaped)} reaped`],
    [total.deletedFor.empty, `${counted(total.deletedFor.empty, 'empty stream', 'empty streams')} deleted`],
    [
      total.deletedFor.idle,
      `${counted(total.deletedFor.idle, 'idle stream', 'idle streams')} deleted, with all entries`,
    ],
    [total.protectedStreams, were(total.protectedStreams, 'held back by a consumer group')],
    [
      total.skipped.custom_ids,
      `${counted(total.skipped.custom_ids, 'stream with custom IDs was', 'streams with custom IDs were')} not trimmed by age`,
    ],
    ...Object.entries(total.errors).map(([code, n]): [number, string] => [n, were(n, `refused by Redis with ${code}`)]),
  ]
  const noteLines = notes.filter(([n]) => n > 0).flatMap(([, note]) => sentence(note))
  return [
    ...first,
    '',
    ...figures,
    ...noteLines,
    ...foretoldLines(total),
    ...missingLines(report.missing),
    ...heldLines(report.held),
    ...longestLines(report.longest),
    '',
  ].join('\n')
}

/** What a sweep would do, after a dry run. */
function foretoldLines({ foretold }: PolicyTally): string[] {
  if (foretold === undefined) return []
  const { remove, exact, unread, reap } = foretold
  const about = exact ? '' : 'about '
  const lost =
    unread > 0 ? `, ${counted(unread, 'entry', 'entries')} of them before a consumer group has read them` : ''
  const reaped = reapedTold(reap)
  return [
    ...sentence(`A dry run: a sweep would remove ${about}${removedTold(remove)}${lost}.`),
    ...(reaped.length > 0 ? sentence(`It would also remove ${listed(reaped)}.`) : []),
  ]
}

/** A sweep's outcome for a person at a terminal, within 80 columns. */
import type { SweepReport } from '../sweep/sweep.ts'
import { shown } from '../text/shown.ts'

/** How many of the longest streams a person is shown. */
const LONGEST_SHOWN = 5

export function sweepSummary(report: SweepReport): string {
  const { total } = report
  const lines = [
    `${report.result}${report.message === null ? '' : ` (${report.cause}: ${report.message})`} in ${seconds(report.durationMs)}`,
    '',
    ...table([
      ['policy', 'streams', 'before', 'after', 'age', 'length', 'bytes', 'longest'],
      ...[...report.policies, ...(report.policies.length > 1 ? [total] : [])].map((tally) =>
        [
          tally.policy,
          tally.streams,
          tally.entries.before,
          tally.entries.after,
          tally.removed.age,
          tally.removed.length,
          tally.removed.bytes,
          tally.longestStream,
        ].map(cell),
      ),
    ]),
  ]
  const notes = [
    [total.unread, 'entries were removed before a consumer group had read them'],
    [total.deletedStreams, 'empty streams were deleted'],
    [total.protectedStreams, 'streams were held back by a consumer group'],
    [total.skipped.custom_ids, 'streams have IDs that are no times: not trimmed by age'],
    ...[...report.errors].map(([code, n]) => [n, `streams were refused with ${code}`] as const),
  ] as const
  const told = notes.filter(([n]) => n > 0).map(([n, what]) => `${cell(n)} ${what}`)
  const missing = [...report.missing].map(([command, need]) => `the ACL allows no ${command}, which ${need} needs`)
  const longest = report.longest
    .slice(0, LONGEST_SHOWN)
    .map(({ key, length }) => `${cell(length).padStart(12)}  ${clipped(shown(key), 64)}`)
  return [
    ...lines,
    ...(told.length + missing.length > 0 ? ['', ...told, ...missing] : []),
    ...(longest.length > 0 ? ['', 'longest streams', ...longest] : []),
    '',
  ].join('\n')
}

/** Rows in columns: the first to the left, figures to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(...rows.map((row) => Math.min(row[i]?.length ?? 0, FIRST_COLUMN))),
  )
  return rows.map((row) =>
    row
      .map((text, i) => (i === 0 ? clipped(text, FIRST_COLUMN).padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

/** With seven columns of figures beside it, a table stays within 80 columns up to ten million entries. */
const FIRST_COLUMN = 24

function clipped(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

function cell(value: string | number): string {
  return typeof value === 'string' ? value : String(value)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`
}

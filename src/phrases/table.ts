/** Tables and sentences that fit a terminal of 80 columns. */

import type { ReapForecast } from '../forecast/forecast_reap.ts'
import { type MissingCommands, missingTold } from '../redis/refused.ts'
import { REASONS, type Reason } from '../retention/policy.ts'
import type { Verdict } from '../sweep/verdict.ts'
import type { LongStream } from '../tally/longest.ts'
import type { HeldStream } from '../tally/outcome.ts'
import { columnsOf, firstColumns, padColumns } from '../text/columns.ts'
import { counted } from '../text/counted.ts'
import { shown } from '../text/shown.ts'
import { wrapped } from '../text/wrapped.ts'

const WIDTH = 80
/** Columns are two spaces apart, or one if the figures would not fit otherwise. */
const GAP = '  '
const NARROW_GAP = ' '
/** Width of the first column; the figures come first. Seven figures of eight digits leave it `min`. */
const FIRST_COLUMN = { min: 10, max: 24 }

/** Columns kept for the name of a group, however long the stream's name is. */
const MIN_GROUP_COLUMN = 20

/** How many of the longest streams a summary lists. */
const LONGEST_SHOWN = 5

/** Aligns rows in columns: names to the left and shortened, figures to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = rows.map((row) => row.map(String))
  const widths = (cells[0] ?? []).map((_, i) => Math.max(...cells.map((row) => columnsOf(row[i] ?? ''))))
  const widthWith = (gap: string): number => widths.slice(1).reduce((sum, width) => sum + gap.length + width, 0)
  const gap = widthWith(GAP) + FIRST_COLUMN.min <= WIDTH ? GAP : NARROW_GAP
  const figures = widthWith(gap)
  const first = Math.min(widths[0] ?? 0, Math.max(FIRST_COLUMN.min, Math.min(FIRST_COLUMN.max, WIDTH - figures)))
  return cells.map(([name = '', ...row]) =>
    [padColumns(clipped(name, first), first), ...row.map((text, i) => text.padStart(widths[i + 1] ?? 0))].join(gap),
  )
}

/** The longest streams with their lengths, under a heading; nothing if the list is empty. */
export function longestLines(longest: readonly LongStream[]): string[] {
  const lines = longest
    .slice(0, LONGEST_SHOWN)
    .map(({ key, length }) => `${String(length).padStart(12)}  ${clipped(shown(key), 64)}`)
  return lines.length === 0 ? [] : ['', 'longest streams', ...lines]
}

/** The streams that consumer groups hold back, under a heading; nothing if the list is empty. */
export function heldLines(held: readonly HeldStream[]): string[] {
  if (held.length === 0) return []
  const rows = held.map(({ key, hold }) => ({
    stream: shown(key),
    group: hold.group,
    alive: lastAlive(hold.lastAliveMs),
  }))
  const longest = (column: 'stream' | 'group' | 'alive'): number =>
    Math.max(...rows.map((row) => columnsOf(row[column])))
  const room = WIDTH - longest('alive') - 3 * GAP.length
  const group = Math.min(longest('group'), Math.max(MIN_GROUP_COLUMN, room - longest('stream')))
  const stream = Math.min(longest('stream'), room - group)
  return [
    '',
    'held back by a consumer group',
    ...rows.map((row) =>
      [
        '',
        padColumns(clipped(row.stream, stream), stream),
        padColumns(clipped(row.group, group), group),
        row.alive,
      ].join(GAP),
    ),
  ]
}

/** Commands that are missing, what needs them, and why they are missing. */
export function missingLines(missing: MissingCommands): string[] {
  return [...missing].flatMap(([command, lack]) => sentence(missingTold(command, lack)))
}

function lastAlive(lastAliveMs: number | null): string {
  return lastAliveMs === null ? 'last alive unknown' : `alive ${new Date(lastAliveMs).toISOString().slice(0, 16)}Z`
}

/** Shortens a text to `width` columns, with an ellipsis at the end. */
function clipped(text: string, width: number): string {
  return columnsOf(text) <= width ? text : `${firstColumns(text, width - 1)}…`
}

/** Wraps a sentence and indents all lines but the first. Never breaks at a no-break space, and prints it as a plain one. */
export function sentence(text: string): string[] {
  return wrapped(text, WIDTH, '  ').map((line) => line.replaceAll('\u00a0', ' '))
}

/** The result, with the reason if it is not a success. */
export function resultWithCause({ result, cause, message }: Verdict): string {
  if (message === null) return result
  // An error message of Redis already begins with the cause.
  return message.startsWith(`${cause} `) ? `${result} (${message})` : `${result} (${cause}: ${message})`
}

/** The reasons that get a column. Acknowledgement gets one only where it removes something: few policies use it. */
export function reasonsShown(removed: Readonly<Record<Reason, number>>): readonly Reason[] {
  return REASONS.filter((reason) => reason !== 'acked' || removed.acked > 0)
}

/** Entries by why they were, or would be, removed. */
export function removedTold(
  removed: Readonly<Record<Reason, number>>,
  number = String as (n: number) => string,
): string {
  return reasonsShown(removed)
    .map((reason) => `${number(removed[reason])} by ${reason}`)
    .join(', ')
}

/** What was, or would be, reaped: each kind with its number, without those that are 0. */
export function reapedTold({ consumers, groups, pending, streams }: Readonly<ReapForecast>): string[] {
  return [
    consumers > 0 ? counted(consumers, 'consumer', 'consumers') : '',
    groups > 0 ? counted(groups, 'consumer group', 'consumer groups') : '',
    pending > 0 ? counted(pending, 'pending reference', 'pending references') : '',
    streams > 0 ? counted(streams, 'stream', 'streams') : '',
  ].filter((kind) => kind !== '')
}

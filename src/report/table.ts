/** Tables and sentences that fit a terminal of 80 columns. */

import { deniedTold } from '../redis/refused.ts'
import type { Verdict } from '../sweep/verdict.ts'
import type { LongStream } from '../tally/longest.ts'
import type { HeldStream } from '../tally/outcome.ts'
import { shown } from '../text/shown.ts'
import { wrapped } from '../text/wrapped.ts'

const WIDTH = 80
const GAP = '  '
/** The first column takes what the figures leave, within these bounds: seven figures of eight digits leave the least. */
const FIRST_COLUMN = { least: 10, most: 24 }

/** What the name of a group gets at least, in the list of streams that groups hold back. */
const GROUP_COLUMN = 20

/** How many of the longest streams a person is shown. */
const LONGEST_SHOWN = 5

/** Rows in columns: the first to the left and clipped, figures to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = rows.map((row) => row.map(String))
  const widths = (cells[0] ?? []).map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)))
  const figures = widths.slice(1).reduce((sum, width) => sum + GAP.length + width, 0)
  const first = Math.min(widths[0] ?? 0, Math.max(FIRST_COLUMN.least, Math.min(FIRST_COLUMN.most, WIDTH - figures)))
  return cells.map(([name = '', ...row]) =>
    [clipped(name, first).padEnd(first), ...row.map((text, i) => text.padStart(widths[i + 1] ?? 0))].join(GAP),
  )
}

/** The longest streams with their lengths, under a heading of their own; no line where there is none. */
export function longestLines(longest: readonly LongStream[]): string[] {
  const lines = longest
    .slice(0, LONGEST_SHOWN)
    .map(({ key, length }) => `${String(length).padStart(12)}  ${clipped(shown(key), 64)}`)
  return lines.length === 0 ? [] : ['', 'longest streams', ...lines]
}

/** The streams that consumer groups hold back, under a heading of their own; no line where there is none. */
export function heldLines(held: readonly HeldStream[]): string[] {
  if (held.length === 0) return []
  const rows = held.map(({ key, hold }) => ({
    stream: shown(key),
    group: hold.group,
    alive: since(hold.lastAliveMs),
  }))
  const longest = (column: 'stream' | 'group' | 'alive'): number => Math.max(...rows.map((row) => row[column].length))
  const room = WIDTH - longest('alive') - 3 * GAP.length
  const group = Math.min(longest('group'), Math.max(GROUP_COLUMN, room - longest('stream')))
  const stream = Math.min(longest('stream'), room - group)
  return [
    '',
    'held back by a consumer group',
    ...rows.map((row) =>
      ['', clipped(row.stream, stream).padEnd(stream), clipped(row.group, group).padEnd(group), row.alive].join(GAP),
    ),
  ]
}

/** What the ACL does not allow, and what goes without it. */
export function missingLines(missing: ReadonlyMap<string, string>): string[] {
  return [...missing].flatMap(([command, need]) => sentence(deniedTold(command, need)))
}

function since(lastAliveMs: number | null): string {
  return lastAliveMs === null ? 'no sign of life known' : `alive ${new Date(lastAliveMs).toISOString().slice(0, 16)}Z`
}

/** At most `width` characters; what is cut off is marked. */
function clipped(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

/** A sentence over the lines it takes, those after the first indented. No line ends at a no-break space, which is shown as any other. */
export function sentence(text: string): string[] {
  return wrapped(text, WIDTH, '  ').map((line) => line.replaceAll('\u00a0', ' '))
}

/** How something ended, for people: its result, and why where it was no success. */
export function ending({ result, cause, message }: Verdict): string {
  if (message === null) return result
  // Redis's own words begin with the one that is the cause.
  return message.startsWith(`${cause} `) ? `${result} (${message})` : `${result} (${cause}: ${message})`
}

/** Tables that fit a terminal of 80 columns. */
import type { LongStream } from '../sweep/longest.ts'
import { shown } from '../text/shown.ts'

/** With seven columns of figures beside it, a table stays within 80 columns up to a million entries a column. */
const FIRST_COLUMN = 24

/** How many of the longest streams a person is shown. */
const LONGEST_SHOWN = 5

/** Rows in columns: the first to the left, figures to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string[] {
  const cells = rows.map((row) =>
    row.map((value, i) => (i === 0 ? clipped(String(value), FIRST_COLUMN) : String(value))),
  )
  const widths = (cells[0] ?? []).map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)))
  return cells.map((row) =>
    row.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join('  '),
  )
}

/** The longest streams with their lengths, under a heading of their own; no line where there is none. */
export function longestLines(longest: readonly LongStream[]): string[] {
  const lines = longest
    .slice(0, LONGEST_SHOWN)
    .map(({ key, length }) => `${String(length).padStart(12)}  ${clipped(shown(key), 64)}`)
  return lines.length === 0 ? [] : ['', 'longest streams', ...lines]
}

/** At most `width` characters; what is cut off is marked. */
export function clipped(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`
}

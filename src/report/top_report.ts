/** What `top` shows: one JSON object, or lines for a terminal. */

import { missingLines, resultWithCause, sentence } from '../phrases/table.ts'
import { columnsOf, firstColumns, lastColumns, padColumns } from '../text/columns.ts'
import { counted } from '../text/counted.ts'
import { roundDuration, roundSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'
import { type Going, SORT_KEYS } from '../top/live_top.ts'
import type { Outlook, Row } from '../top/rows.ts'
import type { TopView } from '../top/top.ts'
import { missingFields } from './json.ts'

/** What `top --output json` prints. */
export function topJson({ result, cause, message, sort, rows, redis, missing }: TopView) {
  return {
    result,
    ...(cause === null ? {} : { cause, reason: message }),
    sort,
    streams: rows.map((row) => ({
      stream: shown(row.candidate.key),
      policy: row.candidate.policy,
      entries: row.entries,
      bytes: row.bytes ?? null,
      entriesPerSecond: rounded(row.entriesPerSecond),
      bytesPerSecond: rounded(row.bytesPerSecond),
      oldestAgeSeconds: rounded(ageSeconds(row)),
      groups: row.groups?.count ?? null,
      lag: row.groups?.lag ?? null,
      pending: row.groups?.pending ?? null,
      consumers: row.groups?.consumers ?? null,
    })),
    redis: {
      usedBytes: redis?.usedBytes ?? null,
      maxBytes: redis?.maxBytes ?? null,
      bytesPerSecond: rounded(redis?.bytesPerSecond ?? null),
      fullInSeconds: rounded(redis?.fullInSeconds ?? null),
    },
    missing: missingFields(missing),
  }
}

function ageSeconds({ oldestMs, nowMs }: Row): number | null {
  return oldestMs === null ? null : Math.max(0, nowMs - oldestMs) / 1000
}

function rounded(n: number | null): number | null {
  return n === null ? null : Math.round(n * 1000) / 1000
}

interface Size {
  readonly columns: number
  readonly rows: number
}

/** The live table, on a terminal of this size. */
export function topLines(view: TopView, going: Going | null, { columns, rows }: Size): string[] {
  const head = headLines(view, going)
  const keys = Object.entries(SORT_KEYS).map(([key, sort]) => `${key} ${sort}`)
  const table = tableLines(view, columns).slice(0, Math.max(1, rows - head.length - 3))
  return [...head, '', ...table, '', `${keys.join('  ')}  q quit`].map((line) => firstColumns(line, columns))
}

/** One snapshot, with names in full. */
export function topText(view: TopView): string {
  const { result, missing, streams } = view
  const failure = result === 'success' ? [] : sentence(resultWithCause(view))
  const shown = streams === null ? [] : [...headLines({ ...view, message: null }, null), '', ...tableLines(view, null)]
  return [...failure, ...shown, ...missingLines(missing), ''].join('\n')
}

function headLines(view: TopView, going: Going | null): string[] {
  const { streams, sort, redis, message } = view
  const share = going?.share === undefined || going.share === null ? '' : ` ${Math.round(going.share * 100)} %`
  const seen = streams === null ? 'xtrimd top' : `xtrimd top: ${counted(streams, 'stream', 'streams')}`
  const state = going !== null ? `, looking at all of them${share}` : message === null ? '' : `, ${message}`
  return [`${seen} by ${sort}${state}`, redis === null ? 'Redis memory ?' : memoryLine(redis)]
}

function memoryLine({ usedBytes, maxBytes, bytesPerSecond, fullInSeconds }: Outlook): string {
  const share = maxBytes === 0 ? '' : ` of ${roundSize(maxBytes)} (${Math.round((usedBytes / maxBytes) * 100)} %)`
  const rate = bytesPerSecond === null ? '' : `, ${signed(bytesPerSecond, roundSize)}/s`
  const full = fullInSeconds === null ? '' : `, full in ${roundDuration(fullInSeconds * 1000)} at this rate`
  return `Redis memory ${roundSize(usedBytes)}${share}${rate}${full}`
}

const HEADINGS = ['entries', 'bytes', 'entr/s', 'byte/s', 'oldest', 'grp', 'lag', 'pend', 'cons'] as const

/** At least this wide are the names of streams and of policies on a terminal. */
const NAMES = { stream: 12, policy: 8 }

/** One line for each stream; as wide as the terminal, or as the names need without one. */
function tableLines({ rows }: TopView, columns: number | null): string[] {
  const cells = rows.map((row) => [shown(row.candidate.key), row.candidate.policy, ...figuresOf(row)])
  const all: (readonly string[])[] = [['stream', 'policy', ...HEADINGS], ...cells]
  const widths = all[0]?.map((_, i) => Math.max(...all.map((line) => columnsOf(line[i] ?? '')))) ?? []
  const [stream = 0, policy = 0, ...others] = widths
  const figures = others.reduce((sum, width) => sum + 1 + width, 0)
  const room = (columns ?? Number.POSITIVE_INFINITY) - figures - 1
  const forPolicy = Math.min(policy, Math.max(NAMES.policy, Math.floor(room / 3), room - stream))
  const forStream = Math.min(stream, Math.max(NAMES.stream, room - forPolicy))
  return all.map(([name = '', of = '', ...row]) =>
    [
      padColumns(ending(name, forStream), forStream),
      padColumns(ending(of, forPolicy), forPolicy),
      ...row.map((text, i) => text.padStart(others[i] ?? 0)),
    ].join(' '),
  )
}

function figuresOf(row: Row): string[] {
  const { entries, bytes, entriesPerSecond, bytesPerSecond, groups } = row
  const age = ageSeconds(row)
  return [
    compact(entries),
    bytes === null || bytes === undefined ? '?' : roundSize(bytes),
    entriesPerSecond === null ? '' : signed(entriesPerSecond, compact),
    bytesPerSecond === null ? '' : signed(bytesPerSecond, roundSize),
    age === null ? '-' : shortAge(age),
    groups === null ? '?' : compact(groups.count),
    groups === null || (groups.lag === null && groups.count > 0) ? '?' : compact(groups.lag ?? 0),
    groups === null ? '?' : compact(groups.pending),
    groups === null ? '?' : compact(groups.consumers),
  ]
}

/** The end of a name tells streams apart: they begin alike. */
function ending(name: string, width: number): string {
  return columnsOf(name) <= width ? name : `…${lastColumns(name, width - 1)}`
}

function signed(n: number, format: (n: number) => string): string {
  const text = format(Math.abs(n))
  return n > 0 ? `+${text}` : n < 0 && text !== format(0) ? `-${text}` : text
}

/** A number in at most five characters: `9999`, `12.3k`, `1.23M`. */
function compact(n: number): string {
  if (n < 10_000) return String(Math.round(n * 10) / 10)
  const [size, unit] = n < 999_500 ? [1e3, 'k'] : n < 999.5e6 ? [1e6, 'M'] : [1e9, 'G']
  return `${Number((n / size).toPrecision(3))}${unit}`
}

/** An age in its two largest units, such as `2d3h`. */
function shortAge(seconds: number): string {
  const units = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'm'],
    [1, 's'],
  ] as const
  const at = units.findIndex(([size]) => seconds >= size)
  if (at < 0) return '0s'
  const [size, unit] = units[at] as (typeof units)[number]
  const next = units[at + 1]
  const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[0])
  return `${Math.floor(seconds / size)}${unit}${rest === 0 || next === undefined || seconds >= 100 * size ? '' : `${rest}${next[1]}`}`
}

/** Builds HTML. Keys, names and messages are escaped, so they are shown and never run. */
import { formatDuration } from '../text/quantities.ts'

/** Escapes a text for an element or an attribute. */
export function text(value: string): string {
  return value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** Columns from index `figuresFrom` on hold figures, which are aligned to the right. */
export function table(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
  figuresFrom = heads.length,
): string {
  const head = heads.map((name, i) => `<th scope="col"${i < figuresFrom ? '' : ' class="n"'}>${name}</th>`)
  return `<table><thead><tr>${head.join('')}</tr></thead>
<tbody>${rows.map((row) => `<tr>${row.join('')}</tr>`).join('\n')}</tbody></table>`
}

export function cell(value: string | number, kind: 'name' | 'n' | '' = ''): string {
  if (kind === 'name') return `<th scope="row">${text(String(value))}</th>`
  return `<td${kind === '' ? '' : ' class="n"'}>${text(typeof value === 'number' ? count(value) : value)}</td>`
}

export function term(name: string, value: string): string {
  return `<dt>${text(name)}</dt><dd>${text(value)}</dd>`
}

export function count(n: number): string {
  return n.toLocaleString('en')
}

export function streams(n: number): string {
  return n === 1 ? '1 stream' : `${count(n)} streams`
}

const [SECOND, MINUTE, HOUR] = [1000, 60_000, 3_600_000]

/** A duration, rounded to seconds; above an hour to minutes, above a day to hours. */
export function span(ms: number): string {
  const unit = ms >= 24 * HOUR ? HOUR : ms >= HOUR ? MINUTE : SECOND
  return formatDuration(Math.max(0, Math.round(ms / unit) * unit))
}

export function ago(ms: number): string {
  return ms < 1000 ? 'just now' : `${span(ms)} ago`
}

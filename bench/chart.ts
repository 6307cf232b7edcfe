/** A bar chart as SVG: text is text, and it is readable on light and on dark. */

export interface Row {
  readonly label: string
  /** One for each series; null where there is none. */
  readonly values: readonly (number | null)[]
  /** Ours stands out. */
  readonly ours?: boolean
}

export interface Chart {
  readonly title: string
  /** What the length of a bar means. */
  readonly unit: string
  readonly series: readonly string[]
  readonly rows: readonly Row[]
  readonly format: (value: number) => string
}

const WIDTH = 760
const BARS_FROM = 270
const BARS_TO = 690
const BAR = 14
const GAP = 12
const TOP = 76

export function barChart({ title, unit, series, rows, format }: Chart): string {
  const most = Math.max(...rows.flatMap(({ values }) => values.map((value) => value ?? 0)), Number.MIN_VALUE)
  const rowHeight = series.length * BAR + GAP
  const height = TOP + rows.length * rowHeight + 8
  const parts: string[] = []
  for (const [i, { label, values, ours }] of rows.entries()) {
    const top = TOP + i * rowHeight
    const middle = top + (series.length * BAR) / 2 + 4
    parts.push(text(BARS_FROM - 10, middle, label, `end${ours ? ' strong' : ''}`))
    for (const [s, value] of values.entries()) {
      const y = top + s * BAR
      if (value === null) continue
      const width = Math.max(1, (value / most) * (BARS_TO - BARS_FROM))
      const shade = `${ours ? 'ours' : 'theirs'}${s > 0 ? ' second' : ''}`
      parts.push(
        `<rect class="${shade}" x="${BARS_FROM}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" rx="2"/>`,
      )
      parts.push(text(BARS_FROM + width + 6, y + BAR - 4, format(value), 'small'))
    }
  }
  const legend = series.length > 1 ? legendOf(series) : ''
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">
<title>${escaped(title)}</title>
<style>
svg { color-scheme: light dark; }
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.strong { font-weight: 600; }
.end { text-anchor: end; }
.ours { fill: #0969da; }
.theirs { fill: #8c959f; }
.second { opacity: 0.55; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.small { fill: #9198a1; }
.ours { fill: #4493f8; }
.theirs { fill: #656c76; }
}
</style>
${text(16, 28, title, 'title')}
${text(16, 50, unit, 'small')}
${legend}${parts.join('\n')}
</svg>
`
}

/** Which shade is which, at the right of the unit's line. */
function legendOf(series: readonly string[]): string {
  return series
    .map((name, s) => {
      const x = 470 + s * 140
      const swatch = `<rect class="theirs${s > 0 ? ' second' : ''}" x="${x}" y="41" width="10" height="10" rx="2"/>`
      return `${swatch}\n${text(x + 16, 50, name, 'small')}\n`
    })
    .join('')
}

function text(x: number, y: number, content: string, names: string): string {
  return `<text class="${names}" x="${x.toFixed(1)}" y="${y.toFixed(1)}">${escaped(content)}</text>`
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

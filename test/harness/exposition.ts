/** Reads `/metrics` as Prometheus would. */

export type Labels = Readonly<Record<string, string>>

export interface Series {
  readonly name: string
  readonly labels: Labels
  readonly value: number
}

/** Parses Prometheus' text format into series, in the order of the text. @throws if a line is neither a comment nor a series */
export function parseExposition(text: string): Series[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map(parseSeries)
}

/** The sum of all series with this name and at least these labels; undefined if there are none. */
export function sumOf(series: readonly Series[], name: string, labels: Labels = {}): number | undefined {
  const matching = series.filter(
    (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  )
  return matching.length === 0 ? undefined : matching.reduce((sum, one) => sum + one.value, 0)
}

function parseSeries(line: string): Series {
  const parts = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/.exec(line)
  if (!parts) throw new Error(`not a line of Prometheus's text format: ${line}`)
  const [, name = '', labelText = '', value = ''] = parts
  const labels: Record<string, string> = {}
  for (const [, label = '', quoted = ''] of labelText.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/g)) {
    labels[label] = quoted.replace(/\\(.)/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped))
  }
  return { name, labels, value: parseValue(value) }
}

function parseValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY
  if (text === '-Inf') return Number.NEGATIVE_INFINITY
  return Number(text)
}

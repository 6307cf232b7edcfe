/** Writes the results as Markdown. */
import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'

export interface Section {
  readonly title: string
  /** How it was measured, in a few sentences. */
  readonly text: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** The conclusions, with goals. */
  readonly verdicts: readonly string[]
}

export function sectionText({ title, text, head, rows, verdicts }: Section): string {
  const table = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  const list = verdicts.map((verdict) => `- ${verdict}`)
  return [`## ${title}`, '', text, '', ...table, ...(list.length > 0 ? ['', ...list] : []), ''].join('\n')
}

export function header(title: string, command: string, redisVersion: string): string {
  const date = new Date().toISOString().slice(0, 10)
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'an unknown processor'}`
  return `# ${title}

Written by \`${command}\` on ${date}: Redis ${redisVersion}, Node ${process.version}, ${process.platform}, ${machine}.
Machines differ, and this one may have been shared: compare ratios.
`
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

export async function writeText(path: string, text: string): Promise<void> {
  await writeFile(path, text.endsWith('\n') ? text : `${text}\n`)
  say(`written: ${path}`)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = (sorted.length - 1) / 2
  return ((sorted[Math.floor(half)] ?? Number.NaN) + (sorted[Math.ceil(half)] ?? Number.NaN)) / 2
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Two significant digits, without an exponent. */
export function brief(value: number): string {
  if (!Number.isFinite(value)) return '–'
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(2)))
}

export function count(value: number): string {
  return value.toLocaleString('en')
}

/** What the demo prints: lines, and figures as people read them. */

/** Columns of a table: to the left where the width is negative. */
export type Columns = readonly (readonly [title: string, width: number])[]

export function sayHead(columns: Columns): void {
  sayCells(
    columns,
    columns.map(([title]) => title),
  )
}

export function sayCells(columns: Columns, cells: readonly string[]): void {
  const padded = cells.map((cell, column) => {
    const width = columns[column]?.[1] ?? 0
    return width < 0 ? cell.padEnd(-width) : cell.padStart(width)
  })
  say(`  ${padded.join('')}`)
}

/** As one would type it into a shell. */
export function quoted(words: readonly string[]): string {
  return words.map((word) => (/[*? ]/.test(word) ? `'${word}'` : word)).join(' ')
}

export function say(line = ''): void {
  process.stdout.write(`${line}\n`)
}

export function count(number: number): string {
  return number.toLocaleString('en')
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

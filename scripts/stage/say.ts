/** Prints lines, tables and numbers for people. */

/** Columns of a table. A negative width aligns the column to the left. */
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

/** The words as typed into a shell. */
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

/** Wraps text for terminals. Own code: wrap-ansi, the usual package, brings three more for colours that we do not wrap. */
import { columnsOf, firstColumns } from './columns.ts'

/** Splits a sentence into lines of at most `width` columns, all but the first indented. Breaks a word only if it is longer than a line. */
export function wrapped(sentence: string, width: number, indent = ''): string[] {
  const lines = ['']
  for (const word of sentence.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line.trim() === '' || columnsOf(line) + 1 + columnsOf(word) <= width) {
      lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
    } else {
      lines.push(`${indent}${word}`)
    }
    for (let last = lines.at(-1) ?? ''; columnsOf(last) > width; last = lines.at(-1) ?? '') {
      const head = firstColumns(last, width)
      lines.splice(-1, 1, head, `${indent}${last.slice(head.length)}`)
    }
  }
  return lines
}

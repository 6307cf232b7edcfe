/** Wraps text for terminals. Own code: wrap-ansi, the usual package, brings three more for colours that we do not wrap. */

/** Splits a sentence into lines of at most `width` characters, all but the first indented. Breaks a word only if it is longer than a line. */
export function wrapped(sentence: string, width: number, indent = ''): string[] {
  const lines = ['']
  for (const word of sentence.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line.trim() === '' || line.length + 1 + word.length <= width) {
      lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
    } else {
      lines.push(`${indent}${word}`)
    }
    for (let last = lines.at(-1) ?? ''; last.length > width; last = lines.at(-1) ?? '') {
      lines.splice(-1, 1, last.slice(0, width), `${indent}${last.slice(width)}`)
    }
  }
  return lines
}

/** Text over several lines, for terminals. */

/** A sentence in lines of at most `width` characters, those after the first behind `indent`; a word that is longer is broken. */
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

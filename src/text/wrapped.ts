/** Text over several lines, for terminals. */

/** A sentence in lines of at most `width` characters where its words allow, those after the first behind `indent`. */
export function wrapped(sentence: string, width: number, indent = ''): string[] {
  const lines = ['']
  for (const word of sentence.split(' ')) {
    const line = lines.at(-1) ?? ''
    if (line.trim() !== '' && line.length + 1 + word.length > width) lines.push(`${indent}${word}`)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}

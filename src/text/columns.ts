/** How many columns of a terminal a text takes. Own code: string-width, the usual package, mostly strips colours. */

/** Most texts: one column for each character. */
const PLAIN = /^[\x20-\x7e\u2026\u2248]*$/
/** Characters of two columns: those of East Asia, fullwidth forms and emoji. */
const WIDE =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u
/** Characters that lie over the one before. */
const COMBINING = /[\p{Mn}\p{Me}]/u

export function columnsOf(text: string): number {
  if (PLAIN.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += columnsOfOne(character)
  return columns
}

function columnsOfOne(character: string): number {
  return COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1
}

/** The beginning of a text that fits into this many columns. */
export function firstColumns(text: string, columns: number): string {
  if (PLAIN.test(text)) return text.slice(0, Math.max(0, columns))
  let taken = ''
  let left = columns
  for (const character of text) {
    left -= columnsOfOne(character)
    if (left < 0) break
    taken += character
  }
  return taken
}

/** The end of a text that fits into this many columns. */
export function lastColumns(text: string, columns: number): string {
  if (PLAIN.test(text)) return columns <= 0 ? '' : text.slice(-columns)
  const characters = Array.from(text)
  let from = characters.length
  for (let left = columns; from > 0; from--) {
    left -= columnsOfOne(characters[from - 1] ?? '')
    if (left < 0) break
  }
  return characters.slice(from).join('')
}

/** Fills up with spaces to this many columns, as `padEnd` does for characters. */
export function padColumns(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - columnsOf(text)))
}

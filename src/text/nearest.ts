/**
 * "Did you mean …?": the known word that somebody most likely meant. Own code, because commander suggests only for the first
 * unknown flag and does not export its comparison, and because people type parts of names (`maxlen`, `url`).
 */

/** Shorter parts occur in too many names to mean one of them. */
const MIN_PART_LENGTH = 3

/** The known word closest to the typed one: a few letters off, or one that starts with it or contains it. Null if none is close. */
export function nearest(typed: string, known: readonly string[]): string | null {
  const [first] = known
    .map((word) => ({ word, edits: isPartOf(typed, word) ? 0 : editDistance(typed.toLowerCase(), word.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)
  return first !== undefined && first.edits <= Math.max(1, Math.floor(first.word.length / 3)) ? first.word : null
}

/** `; did you mean …?`, or nothing if no known word is close. */
export function suggestion(typed: string, known: readonly string[], prefix: string): string {
  const word = nearest(typed, known)
  return word === null ? '' : `; did you mean ${prefix}${word}?`
}

/** Whether `word` starts with `typed` (`maxlen`, `max-length`) or has it between dashes (`url`, `redis-url`). */
function isPartOf(typed: string, word: string): boolean {
  const [part, whole] = [typed, word].map((text) => text.toLowerCase().replaceAll('_', '-')) as [string, string]
  if (part.length < MIN_PART_LENGTH) return false
  return whole.replaceAll('-', '').startsWith(part.replaceAll('-', '')) || `-${whole}-`.includes(`-${part}-`)
}

/** How many letters to insert, remove, replace or swap with a neighbour to turn one word into the other (optimal string alignment). */
function editDistance(from: string, to: string): number {
  let before: readonly number[] = []
  let row: readonly number[] = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const at = (line: readonly number[], place: number): number => line[place] ?? 0
      const replaced = at(row, j - 1) + (from[i - 1] === to[j - 1] ? 0 : 1)
      const isSwap = j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      next.push(Math.min(replaced, at(row, j) + 1, at(next, j - 1) + 1, isSwap ? at(before, j - 2) + 1 : replaced))
    }
    before = row
    row = next
  }
  return row[to.length] ?? 0
}

/** The word that somebody most likely meant. */

/** Shorter ones stand in too many words to mean one of them. */
const LEAST_PART = 3

/** The known word that is nearest to what was typed, or null where none is near: a few letters off, its beginning, or a part of it. */
export function nearest(typed: string, known: readonly string[]): string | null {
  const [first] = known
    .map((word) => ({ word, far: isPartOf(typed, word) ? 0 : distance(typed.toLowerCase(), word.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)
  return first !== undefined && first.far <= Math.max(1, Math.floor(first.word.length / 3)) ? first.word : null
}

/** `; did you mean …?` where one of the known words is near. */
export function suggestion(typed: string, known: readonly string[], prefix: string): string {
  const word = nearest(typed, known)
  return word === null ? '' : `; did you mean ${prefix}${word}?`
}

/** `maxlen` begins `max-length`, and `url` is a part of `redis-url`. */
function isPartOf(typed: string, word: string): boolean {
  const [part, whole] = [typed, word].map((text) => text.toLowerCase().replaceAll('_', '-')) as [string, string]
  if (part.length < LEAST_PART) return false
  return whole.replaceAll('-', '').startsWith(part.replaceAll('-', '')) || `-${whole}-`.includes(`-${part}-`)
}

/** The number of letters to insert, remove, replace, or swap with the next, to get from one word to the other. */
function distance(from: string, to: string): number {
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

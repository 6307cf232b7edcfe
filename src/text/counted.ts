/** Numbers and lists in sentences. */

/** A number with a word that agrees with it: `1 stream is`, `5 streams are`. */
export function counted(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`
}

/** Joins words for a sentence: `age, length and bytes`. */
export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

/** Keeps the items with the highest scores, in bounded memory. */

interface Scored<T> {
  readonly item: T
  readonly score: number
}

export class Best<T> {
  readonly #most: number
  #items: Scored<T>[] = []
  /** An item must score higher than this to enter, once enough are kept. */
  #least = Number.NEGATIVE_INFINITY

  constructor(most: number) {
    this.#most = most
  }

  offer(score: number, item: T): void {
    if (score <= this.#least) return
    this.#items.push({ item, score })
    // Sorting a full buffer now and then costs less than keeping it sorted.
    if (this.#items.length >= this.#most * 2) this.#prune()
  }

  /** The highest score first. */
  list(): readonly T[] {
    this.#prune()
    return this.#items.map(({ item }) => item)
  }

  #prune(): void {
    this.#items.sort((a, b) => b.score - a.score)
    this.#items = this.#items.slice(0, this.#most)
    if (this.#items.length === this.#most) this.#least = this.#items.at(-1)?.score ?? this.#least
  }
}

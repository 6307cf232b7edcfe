/** Keeps the longest streams of a sweep, in bounded memory. */

export interface LongStream {
  readonly key: Buffer
  readonly policy: string
  readonly length: number
}

export class Longest {
  readonly #most: number
  #streams: LongStream[] = []
  /** A stream must be longer than this to enter, once enough are kept. */
  #least = 0

  constructor(most: number) {
    this.#most = most
  }

  /** Keeps the stream if it is among the longest so far. Never keeps an empty one. */
  offer(key: Buffer, policy: string, length: number): void {
    if (length <= this.#least || this.#most === 0) return
    this.#streams.push({ key, policy, length })
    // Sorting a full buffer now and then costs less than keeping it sorted.
    if (this.#streams.length >= this.#most * 2 + 16) this.#prune()
  }

  /** The longest first. */
  list(): readonly LongStream[] {
    this.#prune()
    return this.#streams
  }

  #prune(): void {
    this.#streams.sort((a, b) => b.length - a.length || Buffer.compare(a.key, b.key))
    this.#streams = this.#streams.slice(0, this.#most)
    if (this.#streams.length === this.#most) this.#least = this.#streams.at(-1)?.length ?? 0
  }
}

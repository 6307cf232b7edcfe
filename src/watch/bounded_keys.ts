/** Keys of streams, each with a number, in the order in which they came: bounded in their number and in their length together. */

/** So many keys are remembered at most: by default the streams of a primary whose writes are counted, and again those that wait. */
export const MOST_KEYS = 50_000

/** Their bytes together: 84 for each where there are as many as there may be, and fewer of longer ones. */
const MOST_KEY_BYTES = 4 * 1024 * 1024

/** A longer key is left to the sweep: keys may be of any size, and what is remembered of them may not. */
export const LONGEST_KEY_BYTES = 1024

export class BoundedKeys {
  readonly #most: number
  readonly #numbers = new Map<string, number>()
  #bytes = 0
  /** Goes on where it was: what is taken leaves a hole at the front, and to begin anew is to go over all of them. */
  #fromOldest = this.#numbers.entries()

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#numbers.size
  }

  has(name: string): boolean {
    return this.#numbers.has(name)
  }

  get(name: string): number | undefined {
    return this.#numbers.get(name)
  }

  hasRoomFor(name: string): boolean {
    return this.#numbers.size < this.#most && this.#bytes + name.length <= MOST_KEY_BYTES
  }

  /** A key that is there already keeps its place. */
  set(name: string, number: number): void {
    const { size } = this.#numbers
    this.#numbers.set(name, number)
    if (this.#numbers.size > size) this.#bytes += name.length
  }

  delete(name: string): void {
    if (this.#numbers.delete(name)) this.#bytes -= name.length
  }

  /** Removes the one that came first. */
  takeOldest(): [name: string, number: number] | undefined {
    let next = this.#fromOldest.next()
    if (next.done) {
      this.#fromOldest = this.#numbers.entries()
      next = this.#fromOldest.next()
    }
    if (next.done) return undefined
    this.delete(next.value[0])
    return next.value
  }

  keys(): MapIterator<string> {
    return this.#numbers.keys()
  }
}

/** A map from stream keys to numbers, in insertion order, bounded in both the number of keys and their total bytes. */

/** Maximum number of keys remembered. By default each primary has two such maps: streams being counted and streams waiting. */
export const MAX_KEYS = 50_000

/** Maximum total bytes of the keys: 84 bytes a key when the map is full. Longer keys leave room for fewer. */
const MAX_TOTAL_KEY_BYTES = 4 * 1024 * 1024

/** Streams with longer keys are left to the sweep: Redis allows keys of any size, and our memory is bounded. */
export const LONGEST_KEY_BYTES = 1024

export class BoundedKeys {
  readonly #maxKeys: number
  readonly #numbers = new Map<string, number>()
  #bytes = 0
  /** One iterator, kept: deleted keys leave holes at the front of the map, and a new iterator would step over all of them. */
  #fromOldest = this.#numbers.entries()

  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys
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
    return this.#numbers.size < this.#maxKeys && this.#bytes + name.length <= MAX_TOTAL_KEY_BYTES
  }

  /** Adds a key at the end, or updates its number in place. */
  set(name: string, number: number): void {
    const { size } = this.#numbers
    this.#numbers.set(name, number)
    if (this.#numbers.size > size) this.#bytes += name.length
  }

  delete(name: string): void {
    if (this.#numbers.delete(name)) this.#bytes -= name.length
  }

  /** Removes and returns the key that was added first. */
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

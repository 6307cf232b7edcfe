/**
 * Remembers the length of every stream from one pass to the next, to find those that grow. It keeps twelve bytes a stream
 * instead of its key: a hash of 64 bits tells keys apart.
 */

/** Slots at first, and at most: 48 MB. Powers of 2, of which at most half are used. */
const FIRST_SLOTS = 1 << 12
const MOST_SLOTS = 1 << 22

export class LengthSample {
  #places = new Uint32Array(FIRST_SLOTS)
  #marks = new Uint32Array(FIRST_SLOTS)
  #lengths = new Uint32Array(FIRST_SLOTS)
  #used = 0
  /** Whether a whole pass has been remembered, so that a stream not seen before is new. */
  #knowsAll = false

  /** Whether there are more streams than can be remembered. */
  get isFull(): boolean {
    return this.#used * 2 >= MOST_SLOTS
  }

  /** To be called after each pass that saw every stream. */
  endPass(): void {
    this.#knowsAll = true
  }

  /**
   * Remembers the length. @returns how many entries the stream has more than in the pass before: all of them if it is new,
   * and 0 where that is not known, as in the first pass
   */
  grownTo(key: Uint8Array, length: number): number {
    const before = this.exchange(key, length)
    if (before !== null) return length - before
    return this.#knowsAll && !this.isFull ? length : 0
  }

  /** Remembers the length. @returns the one before; null if the stream is new or there is no room */
  exchange(key: Uint8Array, length: number): number | null {
    const [place, mark] = hashesOf(key)
    const at = this.#slotOf(place, mark)
    if (this.#marks[at] !== 0) {
      const before = this.#lengths[at] ?? 0
      this.#lengths[at] = length
      return before
    }
    if (this.isFull) return null
    if (this.#used * 2 >= this.#marks.length) this.#grow()
    this.#put(place, mark, length)
    this.#used++
    return null
  }

  #put(place: number, mark: number, length: number): void {
    const at = this.#slotOf(place, mark)
    this.#places[at] = place
    this.#marks[at] = mark
    this.#lengths[at] = length
  }

  /** The slot of this key, or the free one where it belongs. */
  #slotOf(place: number, mark: number): number {
    const last = this.#marks.length - 1
    let at = place & last
    while (this.#marks[at] !== 0 && !(this.#marks[at] === mark && this.#places[at] === place)) at = (at + 1) & last
    return at
  }

  #grow(): void {
    const [places, marks, lengths] = [this.#places, this.#marks, this.#lengths]
    const slots = marks.length * 2
    this.#places = new Uint32Array(slots)
    this.#marks = new Uint32Array(slots)
    this.#lengths = new Uint32Array(slots)
    for (let i = 0; i < marks.length; i++) {
      if (marks[i] !== 0) this.#put(places[i] ?? 0, marks[i] ?? 0, lengths[i] ?? 0)
    }
  }
}

/** Two hashes of 32 bits (FNV-1a with different starts, mixed as in murmur3); the second is never 0. */
function hashesOf(key: Uint8Array): [number, number] {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  for (let i = 0; i < key.length; i++) {
    a = Math.imul(a ^ (key[i] ?? 0), 0x01000193)
    b = Math.imul(b ^ (key[i] ?? 0), 0x85ebca6b) ^ (b >>> 15)
  }
  return [mixed(a), mixed(b) || 1]
}

function mixed(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

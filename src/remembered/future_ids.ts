/**
 * Remembers streams whose IDs lie after every plausible time, such as IDs in microseconds. No age limit can hold such a
 * stream, and nothing in its length shows it. Finding out costs as much as an XLEN, and IDs only grow. So where there are
 * many streams, the answer is remembered between sweeps, and each sweep asks only some of them again.
 */

/** Most streams remembered. Beyond this, every sweep looks at each stream one by one. */
const MOST_REMEMBERED = 10_000
/** Each sweep asks this many streams, which takes Redis about 30 ms in all. */
const ALWAYS_ASKED = 20_000
/** After the first sweep, the share of all other streams that a sweep asks again. */
const ASKED_AGAIN = 1 / 16

export class FutureIds {
  readonly #keys = new Set<string>()
  #isFirstSweep = true
  #hasBegun = false
  #asked = 0

  /** Begins a sweep. The first sweep asks every stream. */
  begin(): void {
    this.#isFirstSweep = !this.#hasBegun
    this.#hasBegun = true
    this.#asked = 0
  }

  /** Whether there are more such streams than can be remembered. */
  get isFull(): boolean {
    return this.#keys.size >= MOST_REMEMBERED
  }

  /** Decides whether to ask the next `streams` streams of this sweep. */
  shouldAsk(streams: number): boolean {
    this.#asked += streams
    return this.#isFirstSweep || this.#asked <= ALWAYS_ASKED || Math.random() < ASKED_AGAIN
  }

  has(key: Buffer): boolean {
    return this.#keys.size > 0 && this.#keys.has(key.toString('latin1'))
  }

  /** Records an answer. */
  set(key: Buffer, isInFuture: boolean): void {
    if (isInFuture && !this.isFull) this.#keys.add(key.toString('latin1'))
    else if (!isInFuture && this.#keys.size > 0) this.#keys.delete(key.toString('latin1'))
  }
}

/**
 * Streams whose IDs are behind every plausible time, such as microseconds: no age holds them, and nobody would be told.
 * To ask for that costs as much as the length of a stream, and IDs only grow: so where streams are many it is remembered
 * between sweeps, and asked of some of them in each.
 */

/** More than these are not remembered: then every stream is looked at by itself, in every sweep. */
const MOST_KNOWN = 10_000
/** So many are asked in every sweep, which takes Redis some 30 ms in all; of the others, after the first sweep, a share. */
const ALWAYS_ASKED = 20_000
const ASKED_AGAIN = 1 / 16

export class AheadStreams {
  readonly #known = new Set<string>()
  #isFirst = true
  #isBegun = false
  #asked = 0

  /** A sweep begins. The first one asks of all streams. */
  begin(): void {
    this.#isFirst = !this.#isBegun
    this.#isBegun = true
    this.#asked = 0
  }

  /** Whether there are so many that they cannot be remembered. */
  get areTooMany(): boolean {
    return this.#known.size >= MOST_KNOWN
  }

  /** Whether to ask these next streams of the sweep, so many. */
  isToAsk(streams: number): boolean {
    this.#asked += streams
    return this.#isFirst || this.#asked <= ALWAYS_ASKED || Math.random() < ASKED_AGAIN
  }

  has(key: Buffer): boolean {
    return this.#known.size > 0 && this.#known.has(key.toString('latin1'))
  }

  /** What asking has found. */
  set(key: Buffer, isAhead: boolean): void {
    if (isAhead && !this.areTooMany) this.#known.add(key.toString('latin1'))
    else if (!isAhead && this.#known.size > 0) this.#known.delete(key.toString('latin1'))
  }
}

/** Counts the writes to each stream since it was last capped, in bounded memory, and remembers which are due. */

/** Streams whose writes are counted at a time, and so the most that can wait: about 7 MB with keys of 60 bytes. */
export const MOST_COUNTED = 50_000

/** A longer key is left to the sweep: keys may be of any size, and what is remembered of them may not. */
const LONGEST_KEY_BYTES = 1024

/** The counts of one primary. */
export class WriteCounts {
  readonly #every: number
  readonly #most: number
  readonly #isCovered: (key: Buffer) => boolean
  /** By key as latin1, which keeps every byte; the one that came due longest ago first. */
  readonly #counts = new Map<string, number>()
  /** In the order in which they came due: a hot stream stands once, and behind those that wait. */
  readonly #due = new Set<string>()
  #onDue = Promise.withResolvers<void>()
  /** Writes to covered streams so far, those with too long a key left out. */
  writes = 0
  /** How often a stream was left to the next sweep: too many were written to or waited, or its key is too long. */
  leftToSweep = 0

  /** `isCovered` tells whether a key is to be held to anything at all. */
  constructor(every: number, isCovered: (key: Buffer) => boolean, most = MOST_COUNTED) {
    this.#every = every
    this.#isCovered = isCovered
    this.#most = most
  }

  /** One write to a stream. */
  add(key: Buffer): void {
    const name = key.toString('latin1')
    const count = this.#counts.get(name)
    if (count === undefined) {
      if (!this.#isCovered(key)) return
      if (key.length > LONGEST_KEY_BYTES) {
        this.leftToSweep++
        return
      }
      if (this.#counts.size >= this.#most) this.#forgetOne()
    }
    this.writes++
    if ((count ?? 0) + 1 < this.#every) {
      this.#counts.set(name, (count ?? 0) + 1)
      return
    }
    // Behind all others: who is written to most is forgotten last.
    this.#counts.delete(name)
    this.#counts.set(name, 0)
    this.#makeDue(name)
  }

  /** Nobody listened for a while: all that is remembered may have been written to. */
  addMissed(): void {
    for (const name of this.#counts.keys()) this.#makeDue(name)
  }

  /** How many streams wait to be capped. */
  get waiting(): number {
    return this.#due.size
  }

  /** Takes at most `most` due streams, those that wait longest. */
  take(most: number): Buffer[] {
    const keys: Buffer[] = []
    for (const name of this.#due) {
      if (keys.length === most) break
      this.#due.delete(name)
      keys.push(Buffer.from(name, 'latin1'))
    }
    return keys
  }

  /** Resolves when some stream is due. */
  async someDue(): Promise<void> {
    if (this.#due.size === 0) await this.#onDue.promise
  }

  #makeDue(name: string): void {
    if (this.#due.size >= this.#most) {
      this.leftToSweep++
      return
    }
    this.#due.add(name)
    this.#onDue.resolve()
    this.#onDue = Promise.withResolvers()
  }

  /** Makes room. A stream that is forgotten after n of `every` writes is capped at once with chance n / every, so none can grow for ever unseen. */
  #forgetOne(): void {
    const [oldest] = this.#counts
    if (oldest === undefined) return
    const [name, count] = oldest
    this.#counts.delete(name)
    if (Math.random() * this.#every < count) this.#makeDue(name)
    else if (count > 0) this.leftToSweep++
  }
}

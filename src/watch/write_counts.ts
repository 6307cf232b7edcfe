/** Counts the writes to each stream since it was last capped, in bounded memory, and remembers which are due. */

import { BoundedKeys, LONGEST_KEY_BYTES, MOST_KEYS } from './bounded_keys.ts'

/** The counts of one primary. */
export class WriteCounts {
  readonly #every: number
  readonly #isCovered: (key: Buffer) => boolean
  /** By key as latin1, which keeps every byte; the one that came due longest ago first. */
  readonly #counts: BoundedKeys
  /** In the order in which they came due: a hot stream stands once, and behind those that wait. */
  readonly #due: BoundedKeys
  /** Streams that are being capped, each with whether it came due meanwhile: it is not taken again before it is done with. */
  readonly #inHand = new Map<string, boolean>()
  #onDue = Promise.withResolvers<void>()
  #onDone = Promise.withResolvers<void>()
  /** Writes to covered streams so far, those with too long a key left out. */
  writes = 0
  /** How often a stream was left to the next sweep: too many were written to or waited, or its key is too long. */
  leftToSweep = 0

  /** `isCovered` tells whether a key is to be held to anything at all. */
  constructor(every: number, isCovered: (key: Buffer) => boolean, most = MOST_KEYS) {
    this.#every = every
    this.#isCovered = isCovered
    this.#counts = new BoundedKeys(most)
    this.#due = new BoundedKeys(most)
  }

  /** One write to a stream. */
  add(key: Buffer): void {
    const name = nameOf(key)
    const count = this.#counts.get(name)
    if (count === undefined) {
      if (!this.#isCovered(key)) return
      if (key.length > LONGEST_KEY_BYTES) {
        this.leftToSweep++
        return
      }
      while (!this.#counts.hasRoomFor(name)) this.#forgetOldest()
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

  /** A stream that is none of this primary's any more. */
  forget(key: Buffer): void {
    const name = nameOf(key)
    this.#counts.delete(name)
    this.#due.delete(name)
    this.#release(name)
  }

  /** How many streams wait to be capped. */
  get waiting(): number {
    return this.#due.size
  }

  /** How many streams are being capped. */
  get inHand(): number {
    return this.#inHand.size
  }

  /** Takes at most `most` due streams, those that wait longest. Each is in hand until `done` is told of it. */
  take(most: number): Buffer[] {
    const keys: Buffer[] = []
    while (keys.length < most) {
      const [name] = this.#due.takeOldest() ?? []
      if (name === undefined) break
      this.#inHand.set(name, false)
      keys.push(Buffer.from(name, 'latin1'))
    }
    return keys
  }

  /** A stream was capped. */
  done(key: Buffer): void {
    const name = nameOf(key)
    const isDueAgain = this.#inHand.get(name)
    this.#release(name)
    if (isDueAgain) this.#makeDue(name)
  }

  /** Resolves when some stream is due. */
  async someDue(): Promise<void> {
    if (this.#due.size === 0) await this.#onDue.promise
  }

  /** Resolves when at most so many streams are in hand. */
  async atMostInHand(most: number): Promise<void> {
    while (this.#inHand.size > most) await this.#onDone.promise
  }

  /** A stream is in hand no more, whatever became of it. */
  #release(name: string): void {
    if (!this.#inHand.delete(name)) return
    this.#onDone.resolve()
    this.#onDone = Promise.withResolvers()
  }

  #makeDue(name: string): void {
    if (this.#due.has(name)) return
    if (this.#inHand.has(name)) {
      this.#inHand.set(name, true)
      return
    }
    if (!this.#due.hasRoomFor(name)) {
      this.leftToSweep++
      return
    }
    this.#due.set(name, 0)
    this.#onDue.resolve()
    this.#onDue = Promise.withResolvers()
  }

  /** Makes room. A stream that is forgotten after n of `every` writes is capped at once with chance n / every, so none can grow for ever unseen. */
  #forgetOldest(): void {
    const [name, count] = this.#counts.takeOldest() ?? []
    if (name === undefined || count === undefined) return
    if (Math.random() * this.#every < count) this.#makeDue(name)
    else if (count > 0) this.leftToSweep++
  }
}

function nameOf(key: Buffer): string {
  return key.toString('latin1')
}

/** Counts the writes to each stream since it was last capped, in bounded memory, and queues the streams that are due. */

import assert from 'node:assert/strict'
import { BoundedKeys, LONGEST_KEY_BYTES, MAX_KEYS } from './bounded_keys.ts'

/**
 * The counts of one primary. Memory is bounded, so it may forget streams; which ones, and at what price, is chosen so that
 * no stream can grow forever unseen (see `#forgetOldest`).
 *
 * A stream is in one of these states:
 * - unknown: never written to, or forgotten. The next write makes it counted.
 * - counted: written to fewer than `every` times since it last became due. The write that reaches `every` makes it due; a
 *   gap in the subscription makes every counted stream due. It is forgotten when the map is full and it is the oldest.
 * - due: waiting to be capped, in the order in which streams became due, and counted again meanwhile. `take` moves it to
 *   in progress. If too many are waiting, it is left to the next sweep.
 * - in progress: being capped. It is not taken again before `done`, which makes it due at once if it came due meanwhile.
 *
 * `forget` makes it unknown from any state.
 */
export class WriteCounts {
  readonly #every: number
  readonly #isCovered: (key: Buffer) => boolean
  /** By key as latin1, which keeps every byte. The stream that became due longest ago comes first. */
  readonly #counts: BoundedKeys
  /** In the order in which they became due. A hot stream is in it once, behind those already waiting. */
  readonly #due: BoundedKeys
  /** Streams being capped, and whether each became due again meanwhile. */
  readonly #inProgress = new Map<string, boolean>()
  #onDue = Promise.withResolvers<void>()
  #onDone = Promise.withResolvers<void>()
  /** Writes to covered streams so far, without those whose key is too long. */
  writes = 0
  /** How often a stream was left to the next sweep: too many were written to or waiting, or its key is too long. */
  leftToSweep = 0

  /** `isCovered` says whether any policy covers a key. */
  constructor(every: number, isCovered: (key: Buffer) => boolean, maxKeys = MAX_KEYS) {
    this.#every = every
    this.#isCovered = isCovered
    this.#counts = new BoundedKeys(maxKeys)
    this.#due = new BoundedKeys(maxKeys)
  }

  /** Counts one write to a stream. */
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
    // Move it to the end, so that the busiest streams are forgotten last.
    this.#counts.delete(name)
    this.#counts.set(name, 0)
    this.#makeDue(name)
  }

  /** Makes every counted stream due: after a gap in the subscription, each may have been written to. */
  makeAllDue(): void {
    for (const name of this.#counts.keys()) this.#makeDue(name)
  }

  /** Forgets a stream that has moved to another primary. */
  forget(key: Buffer): void {
    const name = nameOf(key)
    this.#counts.delete(name)
    this.#due.delete(name)
    this.#release(name)
  }

  /** Number of streams waiting to be capped. */
  get waiting(): number {
    return this.#due.size
  }

  /** Number of streams being capped. */
  get inProgress(): number {
    return this.#inProgress.size
  }

  /** Takes at most `max` due streams, those waiting longest first. Each is in progress until `done` is called for it. */
  take(max: number): Buffer[] {
    const keys: Buffer[] = []
    while (keys.length < max) {
      const [name] = this.#due.takeOldest() ?? []
      if (name === undefined) break
      assert(!this.#inProgress.has(name), 'a stream in progress must not be taken again')
      this.#inProgress.set(name, false)
      keys.push(Buffer.from(name, 'latin1'))
    }
    return keys
  }

  /**
   * Puts a covered stream that may not be due in progress. @returns whether it was free; one that is being capped becomes
   * due again after that
   */
  takeIfFree(key: Buffer): boolean {
    if (!this.#isCovered(key)) return false
    const name = nameOf(key)
    const isFree = !this.#inProgress.has(name)
    this.#due.delete(name)
    this.#inProgress.set(name, !isFree)
    return isFree
  }

  /** Ends the work on all streams in progress, whose connection failed. Each is due again. */
  releaseAll(): void {
    for (const name of [...this.#inProgress.keys()]) {
      this.#release(name)
      this.#makeDue(name)
    }
  }

  /** Ends the work on a stream, whether it was capped or could not be. */
  done(key: Buffer): void {
    const name = nameOf(key)
    const isDueAgain = this.#inProgress.get(name)
    this.#release(name)
    if (isDueAgain) this.#makeDue(name)
  }

  /** Resolves when at least one stream is due. */
  async someDue(): Promise<void> {
    if (this.#due.size === 0) await this.#onDue.promise
  }

  /** Resolves when at most `max` streams are in progress. */
  async atMostInProgress(max: number): Promise<void> {
    while (this.#inProgress.size > max) await this.#onDone.promise
  }

  #release(name: string): void {
    if (!this.#inProgress.delete(name)) return
    this.#onDone.resolve()
    this.#onDone = Promise.withResolvers()
  }

  #makeDue(name: string): void {
    if (this.#due.has(name)) return
    if (this.#inProgress.has(name)) {
      this.#inProgress.set(name, true)
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

  /**
   * Makes room for another stream. A stream forgotten after n of `every` writes becomes due at once with probability
   * n / `every`: on average streams are capped as often as if none were forgotten, and none can grow forever unseen.
   */
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

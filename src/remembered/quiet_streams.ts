/**
 * Remembers streams in whose groups nothing can become reapable for a while, since asking for its groups costs Redis almost as
 * much as all the rest of the look at a stream. What makes something reapable is mostly time, so the earliest moment is known.
 *
 * Clients can bring it forward only in ways that cannot be seen without asking: they delete a consumer or a group, or remove
 * entries and add as many. So every stream is asked again after a few sweeps, not all of them in the same one.
 *
 * It holds 20 bytes for each stream: hashes instead of keys, which would take several times as much.
 */

/** Each stream is asked again after this many sweeps, chosen at random for each, and at the latest after an hour. */
const ASKED_AGAIN = { least: 5, most: 11, afterMs: 3_600_000 }

const LEAST_SLOTS = 1 << 12
/** 10 MB of memory. Beyond this many streams, some are asked in every sweep. */
const MOST_SLOTS = 1 << 19
/** Slots in which one stream may be: its own and those behind it. */
const PROBED = 32
/** Numbers in one slot: two hashes of the key; the second of Redis's clock and the sweep in which to ask again; the length. */
const WIDTH = 5
const FIELDS = { until: 2, asked: 3, length: 4 }
const MOST = 0xffffffff

export class QuietStreams {
  #slots = new Uint32Array(LEAST_SLOTS * WIDTH)
  #isEmpty = true
  #sweep = 1
  /** Differ from process to process, so that nobody can choose keys that meet. */
  readonly #seeds = [Math.random() * MOST, Math.random() * MOST] as const

  /** Begins a sweep. */
  begin(): void {
    this.#sweep++
  }

  /** Records that nothing of the stream's groups is reapable before `untilMs` of Redis's clock, unless it becomes shorter than `length`. */
  set(key: Buffer, length: number, nowMs: number, untilMs: number): void {
    this.#isEmpty = false
    const [a, b] = this.#hashesOf(key)
    const at = this.#find(a, b) ?? this.#freeSlot(a)
    const { least, most, afterMs } = ASKED_AGAIN
    const asked = this.#sweep + least + Math.floor(Math.random() * (most - least + 1))
    this.#slots.set([a, b, Math.floor(Math.min(untilMs, nowMs + afterMs) / 1000), asked, Math.min(length, MOST)], at)
  }

  /**
   * The length of the stream when it was found quiet; null if it must be asked at `nowMs` of Redis's clock. A stream that is
   * shorter now must be asked too: it lost entries, and its groups may have references to them.
   */
  lengthIfQuiet(key: Buffer, nowMs: number): number | null {
    const at = this.#isEmpty ? null : this.#find(...this.#hashesOf(key))
    if (at === null || nowMs >= this.#number(at, 'until') * 1000 || this.#sweep >= this.#number(at, 'asked'))
      return null
    return this.#number(at, 'length')
  }

  #number(at: number, field: keyof typeof FIELDS): number {
    return this.#slots[at + FIELDS[field]] as number
  }

  #find(a: number, b: number): number | null {
    for (let i = 0; i < PROBED; i++) {
      const at = this.#place(a + i)
      if (this.#slots[at] === a && this.#slots[at + 1] === b) return at
      // A slot that was taken once is never empty again.
      if (this.#number(at, 'asked') === 0) return null
    }
    return null
  }

  /** A slot for a new stream: a free one, or that of a stream whose time is over, or in a full table of any other. */
  #freeSlot(a: number): number {
    for (let i = 0; i < PROBED; i++) {
      const at = this.#place(a + i)
      if (this.#number(at, 'asked') <= this.#sweep) return at
    }
    if (this.#slots.length >= MOST_SLOTS * WIDTH) return this.#place(a + Math.floor(Math.random() * PROBED))
    this.#grow()
    return this.#freeSlot(a)
  }

  #grow(): void {
    const before = this.#slots
    this.#slots = new Uint32Array(2 * before.length)
    for (let at = 0; at < before.length; at += WIDTH) {
      if ((before[at + FIELDS.asked] as number) <= this.#sweep) continue
      const to = this.#freeSlot(before[at] as number)
      this.#slots.set(before.subarray(at, at + WIDTH), to)
    }
  }

  #place(n: number): number {
    return (n % (this.#slots.length / WIDTH)) * WIDTH
  }

  /** Two independent numbers of 32 bits: among a million streams two share both with a chance of one in ten million. */
  #hashesOf(key: Buffer): [number, number] {
    let [a, b] = this.#seeds
    for (const byte of key) {
      a = Math.imul(a ^ byte, 0x9e3779b1)
      b = Math.imul(b ^ byte, 0x85ebca77)
      a ^= a >>> 15
      b ^= b >>> 13
    }
    a = Math.imul(a ^ (b >>> 16), 0xc2b2ae3d)
    b = Math.imul(b ^ (a >>> 15), 0x27d4eb2f)
    return [(a ^ (a >>> 16)) >>> 0, (b ^ (b >>> 14)) >>> 0]
  }
}

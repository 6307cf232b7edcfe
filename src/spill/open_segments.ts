/** Fills segments with lines, and stores them. */

import type { LineBuffer } from '../archive/line_buffer.ts'
import { newSegmentName } from '../archive/segment_name.ts'
import { SegmentWriter } from '../archive/segment_writer.ts'
import type { StreamId } from '../entries/stream_id.ts'
import { ArchiveFault, type Store } from '../store/store.ts'

/** All segments together hold at most this many times the size of one. */
const MOST_SEGMENTS = 2

export interface OpenSegmentsEvents {
  /** A segment is durable. Everything that was added to this policy before is. */
  stored(policy: string, content: { readonly entries: number; readonly bytes: number }): void
}

/**
 * The segments of one primary: one for each policy, all together in bounded memory.
 *
 * A segment is *open* while lines are added to it, *closed* once it has its size, and *durable* once the store has it. One
 * closed segment at a time is on its way to the store, and meanwhile the others are filled: a store may take as long for a
 * segment as Redis does.
 */
export class OpenSegments {
  readonly #openStore: () => Promise<Store>
  readonly #segmentBytes: number
  readonly #stop: AbortSignal
  readonly #events: OpenSegmentsEvents
  readonly #writers = new Map<string, SegmentWriter>()
  /** How many segments of each policy are closed, and how many durable. */
  readonly #closed = new Map<string, number>()
  readonly #durable = new Map<string, number>()
  /** One thing at a time: a segment that is being closed takes no lines. */
  #turn: Promise<unknown> = Promise.resolve()
  /** The segment on its way to the store. If that fails, this resolves, and `fault` is set. */
  #storing: Promise<void> = Promise.resolve()
  #storingBytes = 0
  /** Why the archive does not work; it is not tried again. */
  fault: ArchiveFault | null = null

  /** `stop` ends a request to the store that takes long. */
  constructor(openStore: () => Promise<Store>, segmentBytes: number, stop: AbortSignal, events: OpenSegmentsEvents) {
    this.#openStore = openStore
    this.#segmentBytes = segmentBytes
    this.#stop = stop
    this.#events = events
  }

  /**
   * Writes lines to the segment of the policy. If it has its size then, waits until it is durable. @returns its number
   * @throws ArchiveFault
   */
  async add(
    policy: string,
    write: (lines: LineBuffer) => void,
    entries: number,
    from: StreamId,
    to: StreamId,
  ): Promise<number> {
    const { segment, stored } = await this.#inTurn(async () => {
      const segment = this.#closedOf(policy) + 1
      const writer = this.#writers.get(policy) ?? new SegmentWriter(this.#segmentBytes)
      this.#writers.set(policy, writer)
      await writer.add(write, entries, from, to)
      // In an object, because a promise alone would be awaited within the turn.
      if (writer.bytes >= this.#segmentBytes) return { segment, stored: await this.#close(policy, writer) }
      // Segments that are stored too early are too small: wait for the one on its way first.
      if (this.#isFull) await this.#storing
      if (this.#isFull) await this.#close(...this.#largest())
      return { segment }
    })
    if (stored !== undefined) await stored.promise
    if (this.fault !== null) throw this.fault
    return segment
  }

  /** Whether a segment is durable, and so all segments of the policy before it. */
  isDurable(policy: string, segment: number): boolean {
    return segment <= (this.#durable.get(policy) ?? 0)
  }

  #closedOf(policy: string): number {
    return this.#closed.get(policy) ?? 0
  }

  /** Stores every open segment. @throws ArchiveFault */
  async flush(): Promise<void> {
    await this.#inTurn(async () => {
      for (const [policy, writer] of this.#writers) await this.#close(policy, writer)
      await this.#storing
    })
    if (this.fault !== null) throw this.fault
  }

  /** Drops what is open, and waits for the segment on its way. */
  async abandon(): Promise<void> {
    this.#drop()
    await this.#storing
  }

  #drop(): void {
    for (const writer of this.#writers.values()) writer.abandon()
    this.#writers.clear()
  }

  get #isFull(): boolean {
    let bytes = this.#storingBytes
    for (const writer of this.#writers.values()) bytes += writer.bytes
    return bytes >= MOST_SEGMENTS * this.#segmentBytes
  }

  #largest(): [string, SegmentWriter] {
    const [first] = [...this.#writers].sort((a, b) => b[1].bytes - a[1].bytes)
    return first as [string, SegmentWriter]
  }

  /** Closes a segment, and begins to store it once the one before is stored. */
  async #close(policy: string, writer: SegmentWriter): Promise<{ readonly promise: Promise<void> }> {
    this.#writers.delete(policy)
    this.#closed.set(policy, this.#closedOf(policy) + 1)
    const { entries } = writer
    const content = await writer.finish()
    await this.#storing
    if (this.fault !== null) throw this.fault
    this.#storing = this.#store(policy, entries, content)
    return { promise: this.#storing }
  }

  async #store(policy: string, entries: number, content: readonly Buffer[]): Promise<void> {
    const bytes = content.reduce((sum, { length }) => sum + length, 0)
    this.#storingBytes = bytes
    try {
      const store = await this.#openStore()
      await store.put(newSegmentName(policy, Date.now()), content, this.#stop)
      this.#durable.set(policy, (this.#durable.get(policy) ?? 0) + 1)
      this.#events.stored(policy, { entries, bytes })
    } catch (error) {
      if (!(error instanceof ArchiveFault)) throw error
      this.fault = error
      this.#drop()
    } finally {
      this.#storingBytes = 0
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.fault !== null) throw this.fault
      return work()
    })
    this.#turn = result.catch(() => {})
    return result
  }
}

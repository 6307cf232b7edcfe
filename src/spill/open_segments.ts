/** The segments of one primary that are being filled: one for each policy, all together in bounded memory. */

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

export class OpenSegments {
  readonly #openStore: () => Promise<Store>
  readonly #segmentBytes: number
  readonly #stop: AbortSignal
  readonly #events: OpenSegmentsEvents
  readonly #writers = new Map<string, SegmentWriter>()
  /** How many segments of each policy are durable. */
  readonly #stored = new Map<string, number>()
  /** One thing at a time: a segment that is being stored takes no lines. */
  #turn: Promise<unknown> = Promise.resolve()
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
   * Adds lines to the segment of the policy, and stores it if it has its size. @returns the number of the segment
   * @throws ArchiveFault
   */
  add(policy: string, lines: Buffer, entries: number, from: StreamId, to: StreamId): Promise<number> {
    return this.#inTurn(async () => {
      if (this.fault !== null) throw this.fault
      const segment = this.#storedOf(policy) + 1
      const writer = this.#writers.get(policy) ?? new SegmentWriter()
      this.#writers.set(policy, writer)
      await writer.add(lines, entries, from, to)
      if (writer.bytes >= this.#segmentBytes) await this.#close(policy, writer)
      else if (this.#bytes >= MOST_SEGMENTS * this.#segmentBytes) await this.#close(...this.#largest())
      return segment
    })
  }

  /** Whether a segment is durable, and so all segments of the policy before it. */
  isDurable(policy: string, segment: number): boolean {
    return segment <= this.#storedOf(policy)
  }

  #storedOf(policy: string): number {
    return this.#stored.get(policy) ?? 0
  }

  /** Stores every open segment. @throws ArchiveFault */
  flush(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.fault !== null) throw this.fault
      for (const [policy, writer] of this.#writers) await this.#close(policy, writer)
    })
  }

  abandon(): void {
    for (const writer of this.#writers.values()) writer.abandon()
    this.#writers.clear()
  }

  get #bytes(): number {
    let bytes = 0
    for (const writer of this.#writers.values()) bytes += writer.bytes
    return bytes
  }

  #largest(): [string, SegmentWriter] {
    const [first] = [...this.#writers].sort((a, b) => b[1].bytes - a[1].bytes)
    return first as [string, SegmentWriter]
  }

  async #close(policy: string, writer: SegmentWriter): Promise<void> {
    this.#writers.delete(policy)
    try {
      const [store, content] = [await this.#openStore(), await writer.finish()]
      await store.put(newSegmentName(policy, Date.now()), content, this.#stop)
      this.#stored.set(policy, this.#storedOf(policy) + 1)
      this.#events.stored(policy, { entries: writer.entries, bytes: content.length })
    } catch (error) {
      if (!(error instanceof ArchiveFault)) throw error
      this.fault = error
      this.abandon()
      throw error
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    return result
  }
}

/** How fast a stream was written of late, by the IDs of its newest entries. */

import { type StreamId, timeId } from '../entries/stream_id.ts'
import type { EntryCounter } from '../forecast/entry_counter.ts'

export interface Written {
  readonly perSecond: number
  /** The time that this was measured over, up to now. */
  readonly overMs: number
}

/** The longest time to look back. */
const LONGEST_MS = 3_600_000
/** Most entries to look back at, and the most bytes: together they take Redis some 20 ms, in bites. */
const MOST_ENTRIES = 10_000
const MOST_BYTES = 16 * 1024 * 1024

/** The stream whose entries are counted, by Redis's clock `nowMs`. */
interface Recent {
  readonly length: number
  readonly oldest: StreamId
  /** Size of one entry. */
  readonly entryBytes: number
  readonly nowMs: number
}

/**
 * Entries per second over the last hour. Where that is too many to count, or longer than the stream reaches back, over the
 * time of as many as that; at least a second. Only for IDs that are times.
 */
export async function readWritten(counter: EntryCounter, stream: Recent): Promise<Written> {
  const { length, oldest, entryBytes, nowMs } = stream
  const most = Math.max(10, Math.min(MOST_ENTRIES, Math.floor(MOST_BYTES / Math.max(1, entryBytes))))
  const first = length > most ? ((await counter.idAt(length - most)) ?? oldest) : oldest
  const overMs = Math.max(1000, Math.min(LONGEST_MS, nowMs - Number(first.ms)))
  const entries = length - (await counter.before(timeId(nowMs - overMs)))
  return { perSecond: entries / (overMs / 1000), overMs }
}

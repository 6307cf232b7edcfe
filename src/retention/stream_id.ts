/** Stream IDs: two 64-bit integers, compared as such and never as text. */

/** An entry's ID, `<ms>-<seq>`; the first part is milliseconds since 1970 where Redis made it. */
export interface StreamId {
  readonly ms: bigint
  readonly seq: bigint
}

/** The largest that either part can be. */
const LAST = 2n ** 64n - 1n

/** Reads `<ms>-<seq>` as Redis writes it. A text without `-` has the sequence 0. */
export function parseStreamId(text: string): StreamId {
  const dash = text.indexOf('-')
  return dash < 0
    ? { ms: BigInt(text), seq: 0n }
    : { ms: BigInt(text.slice(0, dash)), seq: BigInt(text.slice(dash + 1)) }
}

/** The inverse of parseStreamId. */
export function formatStreamId(id: StreamId): string {
  return `${id.ms}-${id.seq}`
}

/** The first ID that can follow `id`: an exclusive start as an inclusive one. Nothing follows the last there can be. */
export function nextStreamId(id: StreamId): StreamId {
  if (id.seq < LAST) return { ms: id.ms, seq: id.seq + 1n }
  return id.ms < LAST ? { ms: id.ms + 1n, seq: 0n } : id
}

/** Whether `a` comes before `b` in a stream. */
export function isBefore(a: StreamId, b: StreamId): boolean {
  return a.ms < b.ms || (a.ms === b.ms && a.seq < b.seq)
}

/** The one that comes first in a stream. */
export function earlierOf(a: StreamId, b: StreamId): StreamId {
  return isBefore(b, a) ? b : a
}

/** The first ID of a time in milliseconds; of one before 1970 (an age limit that is off: minus Infinity) the first of all. */
export function timeId(ms: number): StreamId {
  return { ms: BigInt(Math.max(0, ms)), seq: 0n }
}

/** The ID's first part as a number: exact for every time that is one (below 2^53), still larger than those above. */
export function millisecondsOf(id: Uint8Array): number {
  let ms = 0
  for (const byte of id) {
    if (byte < 0x30 || byte > 0x39) break
    ms = ms * 10 + (byte - 0x30)
  }
  return ms
}

/**
 * Below this a number of milliseconds is a counter, or a time in seconds, and no time of an entry: 2000-01-01, years
 * before streams. Seconds reach it in 30,000 years, a counter after 946 billion entries.
 */
export const EARLIEST_TIME_MS = Date.UTC(2000, 0, 1)

/** Clocks of producers run ahead; by more than a day they do not, and IDs in microseconds are 50,000 years ahead. */
const LATEST_AHEAD_MS = 86_400_000

/** The latest ID that can be a time, by Redis's clock `nowMs`. */
export function latestTimeId(nowMs: number): StreamId {
  return { ms: BigInt(nowMs + LATEST_AHEAD_MS), seq: LAST }
}

/** Whether an ID's first part can be the time at which an entry was written, by Redis's clock `nowMs`. */
export function isTime(ms: number, nowMs: number): boolean {
  return ms >= EARLIEST_TIME_MS && ms <= nowMs + LATEST_AHEAD_MS
}

/**
 * What a stream's IDs are. IDs only grow, so an oldest one that is a time vouches for all after it; one that is none
 * leaves it `open`, until the second is read.
 */
export function idsAre(oldestMs: number, nowMs: number): 'times' | 'open' | 'custom' {
  if (isTime(oldestMs, nowMs)) return 'times'
  return oldestMs < EARLIEST_TIME_MS ? 'open' : 'custom'
}

/** Stream IDs: two 64-bit integers, compared as integers and never as text. */

/** An entry's ID, `<ms>-<seq>`. If Redis generated it, the first part is milliseconds since 1970. */
export interface StreamId {
  readonly ms: bigint
  readonly seq: bigint
}

/** The largest value of either part. */
const LAST = 2n ** 64n - 1n

/** Parses `<ms>-<seq>`. Without a `-` the sequence is 0. */
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

/** The smallest ID after `id`, which turns an exclusive start into an inclusive one. The largest possible ID returns itself. */
export function nextStreamId(id: StreamId): StreamId {
  if (id.seq < LAST) return { ms: id.ms, seq: id.seq + 1n }
  return id.ms < LAST ? { ms: id.ms + 1n, seq: 0n } : id
}

/** Whether `a` comes before `b` in a stream. */
export function isBefore(a: StreamId, b: StreamId): boolean {
  return a.ms < b.ms || (a.ms === b.ms && a.seq < b.seq)
}

/** Below 0 if `a` comes first, above 0 if `b` does: for sorting. */
export function compareIds(a: StreamId, b: StreamId): number {
  return isBefore(a, b) ? -1 : isBefore(b, a) ? 1 : 0
}

export function earlierOf(a: StreamId, b: StreamId): StreamId {
  return isBefore(b, a) ? b : a
}

export function laterOf(a: StreamId, b: StreamId): StreamId {
  return isBefore(a, b) ? b : a
}

/** The first ID of a time in milliseconds; 0-0 for one before 1970, such as -Infinity, the cut-off of an age limit that is off. */
export function timeId(ms: number): StreamId {
  return { ms: BigInt(Math.max(0, ms)), seq: 0n }
}

/** The first part of an ID as a number: exact for every real time (below 2^53), approximate and larger above. */
export function millisecondsOf(id: Uint8Array): number {
  let ms = 0
  for (const byte of id) {
    if (byte < 0x30 || byte > 0x39) break
    ms = ms * 10 + (byte - 0x30)
  }
  return ms
}

/**
 * A smaller first part is a counter or a time in seconds, not milliseconds. 2000-01-01 is long before streams existed;
 * seconds reach it in 30,000 years, a counter after 946 billion entries.
 */
export const EARLIEST_TIME_MS = Date.UTC(2000, 0, 1)

/** How far the clock of a producer may run ahead. IDs in microseconds are 50,000 years ahead. */
const MAX_AHEAD_MS = 86_400_000

/** The largest ID that counts as a time, by Redis's clock `nowMs`. */
export function latestTimeId(nowMs: number): StreamId {
  return { ms: BigInt(nowMs + MAX_AHEAD_MS), seq: LAST }
}

/** Whether the first part of an ID can be the time at which its entry was written, by Redis's clock `nowMs`. */
export function isTime(ms: number, nowMs: number): boolean {
  return ms >= EARLIEST_TIME_MS && ms <= nowMs + MAX_AHEAD_MS
}

/**
 * Classifies a stream by its oldest ID. IDs only grow, so if the oldest is a time, all are (`times`). A small one may be a
 * placeholder such as `0-1` before times: `open` until the second ID is read.
 */
export function classifyIds(oldestMs: number, nowMs: number): 'times' | 'open' | 'custom' {
  if (isTime(oldestMs, nowMs)) return 'times'
  return oldestMs < EARLIEST_TIME_MS ? 'open' : 'custom'
}

/** The rows of `top` from two readings, and their order. Pure. */
import type { Memory } from '../redis/server_state.ts'
import type { GroupFigures } from './figures.ts'
import type { Candidate, Sort } from './survey.ts'

/** One stream at one moment. */
export interface Reading {
  readonly candidate: Candidate
  /** Redis's clock. */
  readonly nowMs: number
  readonly entries: number
  /** As Redis reports it, with the groups; null where it does not. */
  readonly memory: number | null
  /** What the entries take; undefined beside groups until it is read by itself, null where Redis does not show it. */
  readonly bytes: number | null | undefined
  /** When its oldest entry was written; null for custom IDs and for an empty stream. */
  readonly oldestMs: number | null
  /** Null where Redis does not show them. */
  readonly groups: GroupFigures | null
}

export interface Row extends Reading {
  /** Entries a second since the reading before; null for the first one. */
  readonly entriesPerSecond: number | null
  readonly bytesPerSecond: number | null
}

/** Adds the growth since the reading before. */
export function rowOf(now: Reading, before: Reading | undefined): Row {
  const seconds = before === undefined ? 0 : (now.nowMs - before.nowMs) / 1000
  if (before === undefined || seconds <= 0) return { ...now, entriesPerSecond: null, bytesPerSecond: null }
  const grown = (now.bytes ?? Number.NaN) - (before.bytes ?? Number.NaN)
  return {
    ...now,
    entriesPerSecond: (now.entries - before.entries) / seconds,
    bytesPerSecond: Number.isNaN(grown) ? null : grown / seconds,
  }
}

const VALUE_OF: Readonly<Record<Sort, (row: Row) => number>> = {
  bytes: ({ bytes, memory }) => bytes ?? memory ?? 0,
  entries: ({ entries }) => entries,
  growth: ({ entriesPerSecond }) => entriesPerSecond ?? 0,
  lag: ({ groups }) => groups?.lag ?? 0,
  pending: ({ groups }) => groups?.pending ?? 0,
}

/** The greatest value first; by key where values are equal. */
export function sortRows(rows: readonly Row[], sort: Sort): Row[] {
  const value = VALUE_OF[sort]
  return rows.toSorted((a, b) => value(b) - value(a) || Buffer.compare(a.candidate.key, b.candidate.key))
}

/** Redis's memory, and where it is heading. */
export interface Outlook {
  readonly usedBytes: number
  /** Redis's maxmemory; 0 means no maximum. */
  readonly maxBytes: number
  /** Null until there are two readings. */
  readonly bytesPerSecond: number | null
  /** Until maxmemory is reached at this rate; null if it never is. */
  readonly fullInSeconds: number | null
}

export interface MemoryReading {
  readonly atMs: number
  readonly memory: Memory
}

/** From the first to the last reading. */
export function outlookOn(readings: readonly MemoryReading[]): Outlook | null {
  const [first, last] = [readings[0], readings.at(-1)]
  if (first === undefined || last === undefined) return null
  const { usedBytes, maxBytes, uncountedBytes } = last.memory
  const seconds = (last.atMs - first.atMs) / 1000
  const rate = seconds > 0 ? (usedBytes - first.memory.usedBytes) / seconds : null
  const left = Math.max(0, maxBytes - (usedBytes - uncountedBytes))
  return {
    usedBytes,
    maxBytes,
    bytesPerSecond: rate,
    fullInSeconds: maxBytes === 0 || rate === null || rate <= 0 ? null : left / rate,
  }
}

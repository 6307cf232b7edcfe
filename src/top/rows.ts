/** The rows of `top` from two readings, and their order. Pure. */
import { addMemory, type Memory, NO_MEMORY } from '../redis/server_state.ts'
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

/** Redis's memory, all primaries together, and where it is heading. */
export interface Outlook {
  readonly usedBytes: number
  /** Redis's maxmemory; 0 means no maximum. */
  readonly maxBytes: number
  /** Null until there are two readings. */
  readonly bytesPerSecond: number | null
  /** Until the first primary reaches its maxmemory at this rate; null if none ever does. */
  readonly fullInSeconds: number | null
}

/** By the address of each primary; null if not all of them tell. */
export type MemoryByPrimary = ReadonlyMap<string, Memory> | null

export interface MemoryReading {
  readonly atMs: number
  readonly memory: MemoryByPrimary
}

/** From the first to the last reading; null where Redis does not tell. A primary that is new in between has no rate. */
export function outlookOn(readings: readonly MemoryReading[]): Outlook | null {
  const [first, last] = [readings[0], readings.at(-1)]
  if (!first?.memory || !last?.memory) return null
  const { usedBytes, maxBytes } = [...last.memory.values()].reduce(addMemory, NO_MEMORY)
  const seconds = (last.atMs - first.atMs) / 1000
  if (seconds <= 0) return { usedBytes, maxBytes, bytesPerSecond: null, fullInSeconds: null }
  let bytesPerSecond = 0
  let fullInSeconds: number | null = null
  for (const [primary, now] of last.memory) {
    const before = first.memory.get(primary)
    if (before === undefined) continue
    const rate = (now.usedBytes - before.usedBytes) / seconds
    bytesPerSecond += rate
    if (now.maxBytes === 0 || rate <= 0) continue
    const left = Math.max(0, now.maxBytes - (now.usedBytes - now.uncountedBytes))
    fullInSeconds = Math.min(fullInSeconds ?? Number.POSITIVE_INFINITY, left / rate)
  }
  return { usedBytes, maxBytes, bytesPerSecond, fullInSeconds }
}

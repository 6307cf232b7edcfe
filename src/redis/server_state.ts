/** A server's clock, which decides what is old, its memory, and its number of keys. */
import type { Command, Connection, Reply } from './connection.ts'
import { Refusal } from './refusal.ts'
import { faultOf } from './refused.ts'

/** Memory of one or all primaries, in bytes. */
export interface Memory {
  readonly usedBytes: number
  /** Redis's maxmemory; 0 means no maximum. */
  readonly maxBytes: number
  /** Used memory that does not count towards maxmemory: buffers of replicas and of the append-only file. */
  readonly uncountedBytes: number
}

/** For a server that does not tell. */
export const NO_MEMORY: Memory = { usedBytes: 0, maxBytes: 0, uncountedBytes: 0 }

const TIME: Command = ['TIME']
const INFO_MEMORY: Command = ['INFO', 'memory']

/** Redis's clock in milliseconds since 1970. @throws Fault */
export async function readClock(ask: Connection['ask']): Promise<number> {
  const [time] = await ask([TIME])
  return clockOf(time)
}

/** @throws Fault, also if the server refuses INFO */
export async function readMemory(ask: Connection['ask']): Promise<Memory> {
  const [info] = await ask([INFO_MEMORY])
  if (info instanceof Refusal) throw faultOf(info, 'INFO', '--pressure')
  return memoryOf(info)
}

/** Reads clock and memory at once; `memory` is a Refusal if the server refuses INFO. @throws Fault */
export async function readServer(ask: Connection['ask']): Promise<{ nowMs: number; memory: Memory | Refusal }> {
  const [time, info] = await ask([TIME, INFO_MEMORY])
  return { nowMs: clockOf(time), memory: info instanceof Refusal ? info : memoryOf(info) }
}

/** The number of keys of every type; 0 if the server refuses DBSIZE. @throws Fault */
export async function readSize(ask: Connection['ask']): Promise<number> {
  const [size] = await ask([['DBSIZE']])
  return size instanceof Refusal ? 0 : Number(size)
}

/** The sum for two primaries. */
export function addMemory(a: Memory, b: Memory): Memory {
  return {
    usedBytes: a.usedBytes + b.usedBytes,
    maxBytes: a.maxBytes + b.maxBytes,
    uncountedBytes: a.uncountedBytes + b.uncountedBytes,
  }
}

function clockOf(time: Reply | undefined): number {
  if (time instanceof Refusal) throw faultOf(time, 'TIME', 'every sweep')
  const [seconds, microseconds] = (time as [Buffer, Buffer]).map(Number) as [number, number]
  return seconds * 1000 + Math.floor(microseconds / 1000)
}

function memoryOf(info: Reply | undefined): Memory {
  const text = String(info)
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return {
    usedBytes: field('used_memory'),
    maxBytes: field('maxmemory'),
    uncountedBytes: field('mem_not_counted_for_evict'),
  }
}

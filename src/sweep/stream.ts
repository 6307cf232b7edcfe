/** What one look at a stream tells, and what it takes to look. */

import type { Command, Reply } from '../redis/connection.ts'
import { millisecondsOf, parseStreamId, type StreamId } from '../retention/stream_id.ts'

/**
 * Sends commands and waits for all replies, in order. `shares` tells how much of what Redis is given at once they take
 * (see `LEAST_SHARE`): a number is of all of them, which stay together, as they do where nothing is told; with one for
 * each they may go one after another.
 */
export type Ask = (commands: readonly Command[], shares?: number | readonly number[]) => Promise<Reply[]>

export interface Oldest {
  readonly id: string
  readonly ms: number
  /** What its fields and values carry, in bytes. */
  readonly bytes: number
}

/** A stream as Redis described it a moment ago. */
export interface State {
  readonly length: number
  /** The first entry; null in an empty stream, undefined where it was not asked for. */
  readonly oldest: Oldest | null | undefined
  /** Whether it has no consumer group; undefined where that is not known. */
  readonly isGroupless?: boolean
}

export function oldestCommand(key: Buffer | string): Command {
  return ['XRANGE', key, '-', '+', 'COUNT', '1']
}

/** What Redis says the stream takes, from a sample of its nodes, as `MEMORY USAGE key` typed by hand answers. */
export function memoryCommand(key: Buffer | string): Command {
  return ['MEMORY', 'USAGE', key]
}

/** The entry in a reply of XRANGE … COUNT 1. */
export function readOldest(reply: Reply): Oldest | null {
  const entry = Array.isArray(reply) ? reply[0] : undefined
  if (!Array.isArray(entry)) return null
  const [id, fields] = entry
  let bytes = 0
  if (Array.isArray(fields)) for (const field of fields) bytes += Buffer.isBuffer(field) ? field.length : 0
  return Buffer.isBuffer(id) ? { id: id.toString('latin1'), ms: millisecondsOf(id), bytes } : null
}

/** The IDs in a reply of XRANGE. */
export function readIds(reply: Reply): StreamId[] {
  const entries = Array.isArray(reply) ? (reply as readonly (readonly [Buffer])[]) : []
  return entries.map(([id]) => parseStreamId(id.toString('latin1')))
}

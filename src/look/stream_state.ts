/** What one look at a stream tells, and the commands and replies of such a look. */

import { millisecondsOf, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Command, Reply } from '../redis/connection.ts'

export interface Oldest {
  readonly id: string
  readonly ms: number
  /** Size of its field names and values, in bytes. */
  readonly bytes: number
}

/** A stream as Redis last described it. */
export interface State {
  readonly length: number
  /** The first entry; null in an empty stream, undefined where nobody asked. */
  readonly oldest: Oldest | null | undefined
  /** Whether it has consumer groups; undefined where nobody asked. */
  readonly hasGroups?: boolean
  /** The reply to `XINFO GROUPS`; undefined where nobody asked. */
  readonly groups?: Reply
  /** Whether earlier sweeps tell that nothing can be reaped from its groups yet. */
  readonly isQuiet?: boolean
}

/** The state of a stream that had `quietLength` entries when it was found quiet, or null. One that lost entries is not quiet. */
export function asQuiet(state: State, quietLength: number | null): State {
  const isQuiet = quietLength !== null && state.length >= Math.max(1, quietLength) && state.hasGroups === undefined
  return isQuiet ? { ...state, isQuiet } : state
}

/** Asks for the oldest entry. */
export function oldestCommand(key: Buffer | string): Command {
  return ['XRANGE', key, '-', '+', 'COUNT', '1']
}

/** Asks for the stream's memory, which Redis estimates from a sample of its oldest nodes: five, unless told otherwise. */
export function memoryCommand(key: Buffer | string, samples?: number): Command {
  const usual = ['MEMORY', 'USAGE', key]
  return samples === undefined ? usual : [...usual, 'SAMPLES', String(samples)]
}

/** The entry in a reply to `XRANGE … COUNT 1`; null where there is none. */
export function readOldest(reply: Reply): Oldest | null {
  const entry = Array.isArray(reply) ? reply[0] : undefined
  if (!Array.isArray(entry)) return null
  const [id, fields] = entry
  let bytes = 0
  if (Array.isArray(fields)) for (const field of fields) bytes += Buffer.isBuffer(field) ? field.length : 0
  return Buffer.isBuffer(id) ? { id: id.toString('latin1'), ms: millisecondsOf(id), bytes } : null
}

/** The IDs in a reply to XRANGE. */
export function readIds(reply: Reply): StreamId[] {
  const entries = Array.isArray(reply) ? (reply as readonly (readonly [Buffer])[]) : []
  return entries.map(([id]) => parseStreamId(id.toString('latin1')))
}

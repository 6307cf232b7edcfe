/** Reads the ends of a stream: its first ID, its last ID ever, and the greatest ID deleted by `XDEL`; with its number of nodes. */

import { parseStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Command, Reply } from '../redis/connection.ts'

export interface StreamEnds {
  /** Null for an empty stream. */
  readonly first: StreamId | null
  /** The last ID that was ever added; null if the stream is gone. */
  readonly last: StreamId | null
  /** 0-0 if nothing was deleted; null before Redis 7.0, which does not know it. */
  readonly deleted: StreamId | null
  /** 0 if the stream is gone. */
  readonly nodes: number
}

const ENDS_LUA = `
local stream = redis.pcall('XINFO', 'STREAM', KEYS[1])
if stream.err then return string.find(stream.err, 'no such key', 1, true) and {'', '', '', 0} or stream end
local map = {}
for i = 1, #stream, 2 do map[stream[i]] = stream[i + 1] end
local first = map['first-entry']
return {first and first[1] or '', map['last-generated-id'], map['max-deleted-entry-id'] or '', map['radix-tree-keys']}`

/** Asks for the ends. `XINFO STREAM` carries the first and last entry whole: in a script they stay inside Redis. */
export function endsCommand(evaluate: 'EVAL' | 'EVAL_RO', key: Buffer): Command {
  return [evaluate, ENDS_LUA, '1', key]
}

export function readEnds(reply: Reply): StreamEnds {
  const [first, last, deleted, nodes] = reply as readonly [Buffer, Buffer, Buffer, number]
  return { first: idOrNull(first), last: idOrNull(last), deleted: idOrNull(deleted), nodes }
}

function idOrNull(id: Buffer): StreamId | null {
  return id.length === 0 ? null : parseStreamId(id.toString())
}

/** Scripts that check and remove in one step inside Redis, so that nothing can change in between. */

import type { Measured } from '../entries/entry_bytes.ts'
import { AVERAGED } from '../entries/reported_nodes.ts'
import { formatStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { GROUPS_CHANGED } from './group_guard.ts'

/**
 * Removes the oldest entries before a floor while the stream is longer than it may be. XTRIM takes either a length or a
 * floor, not both. Between measuring the length and `MINID ~ floor LIMIT surplus` another sweep could remove the same
 * surplus, so both happen in one script.
 *
 * Entries within a node are removed by count, not by `MINID = floor`: where the last entry of a node was deleted with XDEL,
 * that can leave a node without a live entry, and Redis 8.8 and newer refuse to load such a node (redis/redis #15808).
 * XDEL is not used either, since Redis cannot compute a group's lag after it.
 */
const CUT_TO_LENGTH_LUA = `
local surplus = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if surplus <= 0 then return 0 end
local most = math.min(surplus, tonumber(ARGV[3]))
if ARGV[4] == 'nodes' then return redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[2], 'LIMIT', most) end
local below = #redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[2], 'COUNT', most)
return redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', redis.call('XLEN', KEYS[1]) - below)`

/** Trims towards `length`, only before `floor`, by at most `most` entries: whole nodes or single entries. Replies with the number removed. */
export function cutToLength(
  key: Buffer,
  length: number,
  floor: StreamId,
  most: number,
  by: 'nodes' | 'entries',
): Command {
  return ['EVAL', CUT_TO_LENGTH_LUA, '1', key, String(length), formatStreamId(floor), String(most), by]
}

/**
 * Removes the oldest node, but never the newest entry. The number of entries in a node is not known: the LIMIT grows until
 * the node goes, in small steps, so that small nodes after a large one are not removed with it.
 */
const TAKE_NODE_LUA = `
local function takeNode()
  local most = redis.call('XLEN', KEYS[1]) - 1
  local gone, limit, tried = 0, 1, 0
  while gone == 0 and tried < most do
    tried = math.min(limit, most)
    gone = redis.call('XTRIM', KEYS[1], ARGV[1], '~', ARGV[2], 'LIMIT', tried)
    limit = limit + math.max(1, math.floor(limit / 8))
  end
  return gone
end`

/**
 * Removes nodes one by one while Redis reports more memory than is allowed. Redis estimates that memory from a sample of
 * the oldest nodes: one large entry among them makes the whole stream look large, and the size of the next node is not
 * known. So the script measures again after each node. It stops where there are groups: their memory is reported too.
 */
const SHRINK_LUA = `${TAKE_NODE_LUA}
if #redis.call('XINFO', 'GROUPS', KEYS[1]) > 0 then return ${GROUPS_CHANGED} end
local removed = 0
for _ = 1, tonumber(ARGV[4]) do
  if redis.call('MEMORY', 'USAGE', KEYS[1]) <= tonumber(ARGV[3]) then break end
  local gone = takeNode()
  if gone == 0 then break end
  removed = removed + gone
end
return removed`

/** Removes the oldest nodes, at most `nodes`, until the stream takes `maxBytes`; only before `floor`, and never the newest entry. Replies with the number of entries. */
export function shrink(key: Buffer, maxBytes: number, floor: StreamId | null, nodes: number): Command {
  return ['EVAL', SHRINK_LUA, '1', key, ...upTo(floor), String(maxBytes), String(nodes)]
}

function upTo(floor: StreamId | null): readonly [string, string] {
  return floor === null ? ['MAXLEN', '1'] : ['MINID', formatStreamId(floor)]
}

/**
 * Removes nodes one by one until the entries take so many bytes less. The bytes of groups do not change meanwhile, so
 * what Redis reports less is what entries took. The oldest entry must be the one that was seen: if somebody else has
 * trimmed the stream, there is less to remove.
 */
const FREE_LUA = `${TAKE_NODE_LUA}
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')[1]
if not first or first[1] ~= ARGV[3] then return {0, 0} end
local before = redis.call('MEMORY', 'USAGE', KEYS[1])
local removed, freed = 0, 0
for _ = 1, tonumber(ARGV[5]) do
  if freed >= tonumber(ARGV[4]) then break end
  local gone = takeNode()
  if gone == 0 then break end
  removed, freed = removed + gone, before - redis.call('MEMORY', 'USAGE', KEYS[1])
end
return {removed, freed}`

/** Removes the oldest nodes, at most `nodes`, until the entries take `bytes` less. Replies with the entries removed and the bytes freed. */
export function free(key: Buffer, bytes: number, oldest: string, floor: StreamId | null, nodes: number): Command {
  return ['EVAL', FREE_LUA, '1', key, ...upTo(floor), oldest, String(Math.ceil(bytes)), String(nodes)]
}

/**
 * Removes one node and measures the stream before and after: its tree, what `MEMORY USAGE` reports by 1, 2, … samples, and
 * what it reports for all nodes.
 */
const MEASURE_LUA = `${TAKE_NODE_LUA}
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')[1]
if not first or first[1] ~= ARGV[3] then return {0} end
local reply = {0}
local function measure()
  local told = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #told, 2 do
    if told[i] == 'radix-tree-keys' then reply[#reply + 1] = told[i + 1] end
  end
  for i = 1, #told, 2 do
    if told[i] == 'radix-tree-nodes' then reply[#reply + 1] = told[i + 1] end
  end
  for samples = 0, ${AVERAGED} do
    reply[#reply + 1] = redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', samples)
  end
end
measure()
reply[1] = takeNode()
measure()
return reply`

/** Removes the oldest node. Replies with the entries removed, then with the two measurements, to be read by `readMeasured`. */
export function measure(key: Buffer, oldest: string, floor: StreamId | null): Command {
  return ['EVAL', MEASURE_LUA, '1', key, ...upTo(floor), oldest]
}

/** The stream before and after; null where nothing was measured. */
export function readMeasured(reply: Reply): readonly [before: Measured, after: Measured] | null {
  const numbers = Array.isArray(reply) ? reply.slice(1).map(Number) : []
  if (numbers.length !== 2 * (AVERAGED + 3)) return null
  const read = ([nodes = 0, branches = 0, ofAll = 0, ...bySamples]: readonly number[]): Measured => ({
    tree: { nodes, branches },
    ofAll,
    bySamples,
  })
  return [read(numbers.slice(0, AVERAGED + 3)), read(numbers.slice(AVERAGED + 3))]
}

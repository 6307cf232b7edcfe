/** Scripts that check and remove in one step inside Redis, so that nothing can change in between. */

import type { Command } from '../redis/connection.ts'
import { formatStreamId, type StreamId } from '../retention/stream_id.ts'

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
 * Removes nodes one by one while Redis reports more memory than is allowed. Redis estimates that memory from a sample of
 * the oldest nodes: one large entry among them makes the whole stream look large, and the size of the next node is not
 * known. So the script measures again after each node. The number of entries in a node is not known either: the LIMIT
 * grows until the node goes, in small steps, so that small nodes after a large one are not removed with it.
 */
const SHRINK_LUA = `
local removed = 0
for _ = 1, tonumber(ARGV[4]) do
  if redis.call('MEMORY', 'USAGE', KEYS[1]) <= tonumber(ARGV[1]) then break end
  local most = redis.call('XLEN', KEYS[1]) - 1
  local gone, limit, tried = 0, 1, 0
  while gone == 0 and tried < most do
    tried = math.min(limit, most)
    gone = redis.call('XTRIM', KEYS[1], ARGV[2], '~', ARGV[3], 'LIMIT', tried)
    limit = limit + math.max(1, math.floor(limit / 8))
  end
  if gone == 0 then break end
  removed = removed + gone
end
return removed`

/** Removes the oldest nodes, at most `nodes`, until the stream takes `maxBytes`; only before `floor`, and never the newest entry. Replies with the number of entries. */
export function shrink(key: Buffer, maxBytes: number, floor: StreamId | null, nodes: number): Command {
  const limit = floor === null ? ['MAXLEN', '1'] : ['MINID', formatStreamId(floor)]
  return ['EVAL', SHRINK_LUA, '1', key, String(maxBytes), ...limit, String(nodes)]
}

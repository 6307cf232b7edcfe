/** The decisions that Redis must take and carry out as one, in its own language. */

import type { Command } from '../redis/connection.ts'
import { EARLIEST_TIME_MS, formatStreamId, type StreamId } from '../retention/stream_id.ts'

/**
 * Removes the oldest entries below a floor while the stream is longer than it may be. XTRIM cannot take both a length
 * and a floor, and between measuring and `MINID ~ floor LIMIT surplus` another sweep could take the same surplus.
 *
 * Entries within a node go by their number too, and not by `MINID = floor`: where the last entry of a node was deleted
 * by XDEL, that can leave the node without a live one, which Redis from 8.8 on refuses to load (redis/redis #15808).
 * Nor by XDEL, behind which Redis knows no group's lag.
 */
const CUT_TO_LENGTH_LUA = `
local surplus = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if surplus <= 0 then return 0 end
local most = math.min(surplus, tonumber(ARGV[3]))
if ARGV[4] == 'nodes' then return redis.call('XTRIM', KEYS[1], 'MINID', '~', ARGV[2], 'LIMIT', most) end
local below = #redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[2], 'COUNT', most)
return redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', redis.call('XLEN', KEYS[1]) - below)`

/** Cuts towards `length`, never at or behind `floor`, at most `most` entries: whole nodes, or single entries. Answers how many. */
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
 * Removes nodes one by one while Redis reports more memory than is allowed. It reports an estimate, from a sample of
 * the oldest nodes: one large entry among them makes the whole stream look large, and nothing tells how much goes with
 * the next node. So each is judged anew. Nor does anything tell how many entries a node holds: the LIMIT grows until
 * it goes, and by little, or many small nodes behind a large one would go with it.
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

/** Frees a stream's oldest nodes, at most `nodes`, until it takes `maxBytes`; none at or behind `floor`, and never the newest. Answers how many entries. */
export function shrink(key: Buffer, maxBytes: number, floor: StreamId | null, nodes: number): Command {
  const limit = floor === null ? ['MAXLEN', '1'] : ['MINID', formatStreamId(floor)]
  return ['EVAL', SHRINK_LUA, '1', key, String(maxBytes), ...limit, String(nodes)]
}

/**
 * Unlinks a stream that nobody can miss. A producer's XADD comes before it, and the stream is not empty, or behind it,
 * and makes a new one. An ID that is no time tells no age, so such a stream stays.
 */
const DELETE_IF_EMPTY_LUA = `
if redis.call('TYPE', KEYS[1]).ok ~= 'stream' or redis.call('XLEN', KEYS[1]) > 0 then return 0 end
local told = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #told, 2 do
  if told[i] == 'groups' and told[i + 1] > 0 then return 0 end
  if told[i] == 'last-generated-id' then
    local ms = tonumber(string.match(told[i + 1], '^%d+'))
    if ms < tonumber(ARGV[1]) or ms >= tonumber(ARGV[2]) then return 0 end
  end
end
return redis.call('UNLINK', KEYS[1])`

/** Unlinks the stream if it is empty, has no group, and its last ID is a time before `beforeMs`. Answers 1 if it did. */
export function deleteIfEmpty(key: Buffer, beforeMs: number): Command {
  return ['EVAL', DELETE_IF_EMPTY_LUA, '1', key, String(EARLIEST_TIME_MS), String(beforeMs)]
}

/**
 * Looks at many streams at once: what a command each takes us is the most of a sweep. An entry is carried only where it
 * is before the cut-off or the stream too long, and at the end nothing but IDs and sizes; whether such a stream has
 * groups is told as well, and where that is not to be had it counts as if. Of the others, if asked for, those with an ID behind
 * the latest that is plausible are named: XREAD decides that by the last ID alone, sixteen streams at a time. Where
 * entries are large it ends early, so that it holds Redis for no longer than a bite. A key that is no stream has the
 * length -1.
 *
 * Read-only by `EVAL_RO` (Redis 7.0): the server itself refuses any write in it.
 */
const LOOK_LUA = `
local lengths, due, others, ahead, bytes = {}, {}, {}, {}, 0
local call, cutoff, most, longest = redis.pcall, ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 1, #KEYS do
  local key = KEYS[i]
  local length = call('XLEN', key)
  if type(length) == 'table' then
    if string.sub(length.err, 1, 9) ~= 'WRONGTYPE' then return length end
    length = -1
  elseif length > 0 then
    local entries = call('XRANGE', key, '-', length > longest and '+' or cutoff, 'COUNT', '1')
    if entries.err then return entries end
    if entries[1] then
      local size = 0
      for _, field in ipairs(entries[1][2]) do size = size + #field end
      bytes = bytes + size
      local groups = call('XINFO', 'GROUPS', key)
      local n = #due
      due[n + 1], due[n + 2], due[n + 3] = i, entries[1][1], size
      due[n + 4] = (groups.err or groups[1]) and 1 or 0
    else
      others[#others + 1] = key
    end
  end
  lengths[i] = length
  if bytes > most then break end
end
for from = 1, ARGV[2] == '' and 0 or #others, 16 do
  local command, to = {'XREAD', 'COUNT', '1', 'STREAMS'}, math.min(from + 15, #others)
  for i = from, to do command[#command + 1] = others[i] end
  for _ = from, to do command[#command + 1] = ARGV[2] end
  local streams = call(unpack(command))
  if streams and streams.err then return streams end
  for _, stream in ipairs(streams or {}) do ahead[#ahead + 1] = stream[1] end
end
return {lengths, due, ahead}`

/** What of entries may be read in one look: beyond it the rest is left to the next. */
const LOOK_BYTES = 256 * 1024

/**
 * The lengths of streams, the oldest entry of those that have one before `cutOff` or are longer than `length`, whether
 * these have groups, and which of the others reach behind `latest`.
 */
export function lookAtMany(
  keys: readonly (Buffer | string)[],
  cutOff: StreamId,
  length: number,
  latest: StreamId | null,
): Command {
  const ids = [`(${formatStreamId(cutOff)}`, latest === null ? '' : formatStreamId(latest)]
  const longest = String(Math.min(length, Number.MAX_SAFE_INTEGER))
  return ['EVAL_RO', LOOK_LUA, String(keys.length), ...keys, ...ids, String(LOOK_BYTES), longest]
}

const LENGTHS_LUA = `
local lengths = {}
for i = 1, #KEYS do
  local length = redis.pcall('XLEN', KEYS[i])
  if type(length) == 'table' then
    if string.sub(length.err, 1, 9) ~= 'WRONGTYPE' then return length end
    length = -1
  end
  lengths[i] = length
end
return lengths`

/** The lengths of streams; -1 for a key that is none. */
export function lengthsOfMany(keys: readonly (Buffer | string)[]): Command {
  return ['EVAL_RO', LENGTHS_LUA, String(keys.length), ...keys]
}

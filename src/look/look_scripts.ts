/** Read-only scripts that look at many streams in one command. */

import { formatStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Command } from '../redis/connection.ts'

/**
 * Looks at many streams in one command, since sending a command for each stream takes most of a sweep's time. The script
 * reads an entry only where it is before the cut-off or the stream is too long, and replies with IDs and sizes only. For
 * such a stream it also reports whether there are groups; where that cannot be read it assumes there are. Of the other
 * streams it names, if asked, those with an ID after the latest plausible time: XREAD decides that by the last ID alone,
 * sixteen streams at a time. Where entries are large the script ends early, so that it holds Redis no longer than a bite.
 * A key that is not a stream has the length -1.
 *
 * It is read-only by `EVAL_RO` (Redis 7.0): the server refuses any write in it.
 */
const LOOK_LUA = `
local lengths, due, others, future, grouped, bytes = {}, {}, {}, {}, {}, 0
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
  if ARGV[5] == 'groups' and length >= 0 and due[#due - 3] ~= i then
    local groups = call('XINFO', 'GROUPS', key)
    if groups.err or groups[1] then grouped[#grouped + 1] = i end
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
  for _, stream in ipairs(streams or {}) do future[#future + 1] = stream[1] end
end
return {lengths, due, future, grouped}`

/** Most entry bytes to read in one look; the rest waits for the next. */
const LOOK_BYTES = 256 * 1024

/**
 * Asks for the length of each stream; for streams with an entry before `cutOff` or longer than `length`, also their oldest
 * entry and whether they have groups; and for the others, whether they have an ID after `latest` and, with
 * `asksGroups`, whether they have groups.
 */
export function lookAtMany(
  keys: readonly (Buffer | string)[],
  cutOff: StreamId,
  length: number,
  latest: StreamId | null,
  asksGroups: boolean,
): Command {
  const ids = [`(${formatStreamId(cutOff)}`, latest === null ? '' : formatStreamId(latest)]
  const longest = String(Math.min(length, Number.MAX_SAFE_INTEGER))
  return [
    'EVAL_RO',
    LOOK_LUA,
    String(keys.length),
    ...keys,
    ...ids,
    String(LOOK_BYTES),
    longest,
    asksGroups ? 'groups' : '',
  ]
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

/** Asks for the lengths of streams; -1 for a key that is not a stream. */
export function lengthsOfMany(keys: readonly (Buffer | string)[]): Command {
  return ['EVAL_RO', LENGTHS_LUA, String(keys.length), ...keys]
}

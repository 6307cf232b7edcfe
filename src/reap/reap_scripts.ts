/** Scripts that check and remove in one step inside Redis, so that nothing can wake up in between. */

import { EARLIEST_TIME_MS, formatStreamId, type StreamId } from '../entries/stream_id.ts'
import type { Command } from '../redis/connection.ts'
import type { Group } from '../retention/groups.ts'
import type { DeleteReason } from './reaped.ts'

/** How many arguments `judged` passes for a group, its name included. */
const ARGUMENTS_OF_GROUP = 6

/**
 * Defines `isAsJudged(group, at)`: whether a group is as it was judged. `ARGV[at]` holds its name, and the next ones its
 * last delivered ID, its numbers of consumers, pending references and entries read, and how long each consumer must have
 * been idle, in ms. A reader that woke up has moved the position, has something pending, or is idle no longer.
 */
const AS_JUDGED_LUA = `
local function told(fields)
  local map = {}
  for i = 1, #fields, 2 do map[fields[i]] = fields[i + 1] end
  return map
end
local function isAsJudged(group, at)
  if group['last-delivered-id'] ~= ARGV[at + 1] or group.consumers ~= tonumber(ARGV[at + 2])
    or group.pending ~= tonumber(ARGV[at + 3]) or tostring(group['entries-read'] or '') ~= ARGV[at + 4] then return false end
  if group.consumers == 0 then return true end
  local idle = tonumber(ARGV[at + 5])
  for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], group.name)) do
    for i = 1, #fields, 2 do
      if fields[i] == 'idle' and fields[i + 1] < idle then return false end
    end
  end
  return true
end`

function judged(group: Group, idleMs: number): (string | Buffer)[] {
  const { rawName, lastDelivered, consumers, pending, entriesRead } = group
  const counts = [consumers, pending, entriesRead ?? '', Math.min(idleMs, 2 ** 52)]
  return [Buffer.from(rawName), formatStreamId(lastDelivered), ...counts.map(String)]
}

const DESTROY_GROUPS_LUA = `${AS_JUDGED_LUA}
local groups, destroyed = {}, {}
for _, fields in ipairs(redis.call('EXISTS', KEYS[1]) == 0 and {} or redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = told(fields)
  groups[group.name] = group
end
for at = 1, #ARGV, ${ARGUMENTS_OF_GROUP} do
  local group = groups[ARGV[at]]
  destroyed[#destroyed + 1] = group and isAsJudged(group, at) and redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[at]) or 0
end
return destroyed`

/** Destroys those of the groups that are still as they were judged. Replies with 1 or 0 for each. */
export function destroyGroups(key: Buffer, groups: readonly Group[], staleGroupAfterMs: number): Command {
  return ['EVAL', DESTROY_GROUPS_LUA, '1', key, ...groups.flatMap((group) => judged(group, staleGroupAfterMs))]
}

/**
 * `XGROUP DELCONSUMER` destroys the consumer's pending references, so each consumer is asked for them right before. Deleting
 * one that is blocked in `XREADGROUP` harms nobody: when an entry arrives its client gets it, and the consumer exists again.
 * The group's own number of consumers tells how many were really there to delete.
 */
const DELETE_CONSUMERS_LUA = `
local function consumers()
  if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
  for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local name, n
    for i = 1, #fields, 2 do
      if fields[i] == 'name' then name = fields[i + 1] elseif fields[i] == 'consumers' then n = fields[i + 1] end
    end
    if name == ARGV[1] then return n end
  end
end
local before = consumers()
if not before then return 0 end
for i = 2, #ARGV do
  if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[i]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[i])
  end
end
return before - (consumers() or 0)`

/** Deletes those of the consumers that have nothing pending. Replies with how many it deleted. */
export function deleteConsumers(key: Buffer, group: Uint8Array, names: readonly Uint8Array[]): Command {
  return ['EVAL', DELETE_CONSUMERS_LUA, '1', key, Buffer.from(group), ...names.map((name) => Buffer.from(name))]
}

/**
 * Unlinks a stream. A producer's `XADD` runs either before the script, and the stream has a newer last ID, or after it, and
 * makes a new stream. A custom ID tells no age, so a stream with custom IDs stays. Replies with whether it did, and how many
 * entries it held.
 */
const DELETE_STREAM_LUA = `${AS_JUDGED_LUA}
local function padded(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #seq) .. seq
end
if redis.call('TYPE', KEYS[1]).ok ~= 'stream' then return {0, 0} end
local length = redis.call('XLEN', KEYS[1])
if ARGV[1] == 'empty' and length > 0 then return {0, 0} end
local last = told(redis.call('XINFO', 'STREAM', KEYS[1]))['last-generated-id']
local ms = tonumber(string.match(last, '^%d+'))
if ms < tonumber(ARGV[2]) or ms >= tonumber(ARGV[3]) then return {0, 0} end
if length > 0 and ARGV[4] ~= '' and padded(last) >= padded(ARGV[4]) then return {0, 0} end
local known = {}
for at = 5, #ARGV, ${ARGUMENTS_OF_GROUP} do known[ARGV[at]] = at end
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = told(fields)
  if not known[group.name] or not isAsJudged(group, known[group.name]) then return {0, 0} end
end
return {redis.call('UNLINK', KEYS[1]), length}`

/**
 * Unlinks the stream if its last ID is a time before `beforeMs` and it has no groups but these, still dead as they were
 * judged; `empty` also asks that it holds no entry. With `archivedBefore`, a stream with later entries stays.
 */
export function deleteStream(
  key: Buffer,
  kind: DeleteReason,
  beforeMs: number,
  deadGroups: readonly Group[],
  staleGroupAfterMs: number,
  archivedBefore: StreamId | null,
): Command {
  const groups = deadGroups.flatMap((group) => judged(group, staleGroupAfterMs))
  const archived = archivedBefore === null ? '' : formatStreamId(archivedBefore)
  return ['EVAL', DELETE_STREAM_LUA, '1', key, kind, String(EARLIEST_TIME_MS), String(beforeMs), archived, ...groups]
}

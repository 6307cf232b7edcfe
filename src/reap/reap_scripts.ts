/** Scripts that check and remove in one step inside Redis, so that nothing can wake up in between. */

import type { Command } from '../redis/connection.ts'
import type { Group } from '../retention/groups.ts'
import { EARLIEST_TIME_MS, formatStreamId, type StreamId } from '../retention/stream_id.ts'
import type { DeleteReason } from './reaped.ts'

/** Of groups with at most this many consumers, the scripts ask for the idle times again: 500 take Redis about 0.1 ms. */
const CONSUMERS_ASKED = 500

/**
 * Defines `isAsJudged(fields, at)`: whether a group is as it was judged. `ARGV[at]` holds its last delivered ID, and the next
 * ones its numbers of consumers and of pending references, and how long each consumer must have been idle, in ms. A
 * reader that woke up has moved the position, has something pending, or is idle no longer.
 */
const AS_JUDGED_LUA = `
local function told(fields)
  local map = {}
  for i = 1, #fields, 2 do map[fields[i]] = fields[i + 1] end
  return map
end
local function isAsJudged(group, at)
  if group['last-delivered-id'] ~= ARGV[at] or group.consumers ~= tonumber(ARGV[at + 1])
    or group.pending ~= tonumber(ARGV[at + 2]) then return false end
  if group.consumers == 0 or group.consumers > ${CONSUMERS_ASKED} then return true end
  for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], group.name)) do
    if told(fields).idle < tonumber(ARGV[at + 3]) then return false end
  end
  return true
end`

function judged(group: Group, idleMs: number): string[] {
  const { lastDelivered, consumers, pending } = group
  return [formatStreamId(lastDelivered), String(consumers), String(pending), String(Math.min(idleMs, 2 ** 52))]
}

const DESTROY_GROUP_LUA = `${AS_JUDGED_LUA}
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = told(fields)
  if group.name == ARGV[1] then
    return isAsJudged(group, 2) and redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1]) or 0
  end
end
return 0`

/** Destroys a group that is still as it was judged. Replies with 1 if it did. */
export function destroyGroup(key: Buffer, group: Group, staleGroupAfterMs: number): Command {
  return ['EVAL', DESTROY_GROUP_LUA, '1', key, Buffer.from(group.rawName), ...judged(group, staleGroupAfterMs)]
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
 * Acknowledges references in a range whose entries no longer exist. Before the first entry of the stream nothing exists,
 * and nothing ever will, since IDs only grow: there the script need not check. Replies with the number dropped, and the last
 * ID of the references it looked at, `''` at the end of the range.
 */
const DROP_PENDING_LUA = `
local listed = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if listed.err then return string.find(listed.err, 'NOGROUP', 1, true) and {0, ''} or listed end
local gone = {}
for _, reference in ipairs(listed) do
  local id = reference[1]
  if ARGV[5] == 'all' or #redis.call('XRANGE', KEYS[1], id, id) == 0 then gone[#gone + 1] = id end
end
local dropped = #gone > 0 and redis.call('XACK', KEYS[1], ARGV[1], unpack(gone)) or 0
local last = listed[#listed]
return {dropped, #listed == tonumber(ARGV[4]) and last[1] or ''}`

/** Drops references to missing entries between two IDs, which may be exclusive (`(id`). `all` means that none of them exists. */
export function dropPending(
  key: Buffer,
  group: Uint8Array,
  from: string,
  to: string,
  count: number,
  which: 'all' | 'missing',
): Command {
  return ['EVAL', DROP_PENDING_LUA, '1', key, Buffer.from(group), from, to, String(count), which]
}

/**
 * Unlinks a stream. A producer's `XADD` runs either before the script, and the stream has a newer last ID, or after it, and
 * makes a new stream. A custom ID tells no age, so a stream with custom IDs stays. Replies with whether it did, how many
 * entries went with it, and how many of them the group furthest behind had not read.
 */
const DELETE_STREAM_LUA = `${AS_JUDGED_LUA}
local function padded(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #seq) .. seq
end
if redis.call('TYPE', KEYS[1]).ok ~= 'stream' then return {0, 0, 0} end
local length = redis.call('XLEN', KEYS[1])
if ARGV[1] == 'empty' and length > 0 then return {0, 0, 0} end
local last = told(redis.call('XINFO', 'STREAM', KEYS[1]))['last-generated-id']
local ms = tonumber(string.match(last, '^%d+'))
if ms < tonumber(ARGV[2]) or ms >= tonumber(ARGV[3]) then return {0, 0, 0} end
if length > 0 and ARGV[4] ~= '' and padded(last) >= padded(ARGV[4]) then return {0, 0, 0} end
local known, unread = {}, 0
for at = 5, #ARGV, 5 do known[ARGV[at]] = at + 1 end
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = told(fields)
  if not known[group.name] or not isAsJudged(group, known[group.name]) then return {0, 0, 0} end
  unread = math.max(unread, tonumber(group.lag) or 0)
end
return {redis.call('UNLINK', KEYS[1]), length, math.min(unread, length)}`

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
  const groups = deadGroups.flatMap((group) => [Buffer.from(group.rawName), ...judged(group, staleGroupAfterMs)])
  const archived = archivedBefore === null ? '' : formatStreamId(archivedBefore)
  return ['EVAL', DELETE_STREAM_LUA, '1', key, kind, String(EARLIEST_TIME_MS), String(beforeMs), archived, ...groups]
}

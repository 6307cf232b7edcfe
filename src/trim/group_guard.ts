/** Guards bites: inside Redis, a bite first checks that the consumer groups have not changed since they were judged. */

import { formatStreamId } from '../entries/stream_id.ts'
import type { Command } from '../redis/connection.ts'
import { type Group, isStale } from '../retention/groups.ts'

/** What a bite expects of each group: its name, its last delivered ID, and whether it is alive or dead. */
export type Guard = readonly (string | Buffer)[]

/** The reply of a guarded bite that removed nothing because the groups have changed. */
export const GROUPS_CHANGED = -1

/** The guard for groups as they were judged. */
export function guardOf(groups: readonly Group[], staleGroupAfterMs: number, nowMs: number): Guard {
  return groups.flatMap((group) => [
    Buffer.from(group.rawName),
    formatStreamId(group.lastDelivered),
    isStale(group, staleGroupAfterMs, nowMs) ? 'dead' : 'alive',
  ])
}

/**
 * A floor stays valid until a group appears that may need entries before it: a new group, a group that was set back, or a
 * dead group that was delivered something. A living group may read on. IDs are two 64-bit integers, which Lua does not
 * have, so they are compared as strings padded to one length.
 */
const guardLua = (argumentsBefore: number): string => `
local known = {}
for i = ${argumentsBefore + 1}, #ARGV, 3 do known[ARGV[i]] = {at = ARGV[i + 1], life = ARGV[i + 2]} end
local function padded(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #seq) .. seq
end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
if groups.err then return string.find(groups.err, 'no such key', 1, true) and 0 or groups end
for _, fields in ipairs(groups) do
  local told = {}
  for i = 1, #fields, 2 do told[fields[i]] = fields[i + 1] end
  local judged, at = known[told.name], told['last-delivered-id']
  if not judged or padded(at) < padded(judged.at) or (judged.life == 'dead' and at ~= judged.at) then
    return ${GROUPS_CHANGED}
  end
end`

const trimLua = (argumentsOfTrim: number): string => `
return redis.call('XTRIM', KEYS[1], unpack(ARGV, 1, ${argumentsOfTrim}))`

/** Adds the guard to a bite, which is an `XTRIM` or a script on one key. Without a guard, returns the bite itself. */
export function guarded(bite: Command, guard: Guard | null): Command {
  if (guard === null) return bite
  const [name, ...rest] = bite
  const [script, key, ...args] = name === 'EVAL' ? [rest[0], ...rest.slice(2)] : [trimLua(rest.length - 1), ...rest]
  return ['EVAL', `${guardLua(args.length)}${script}`, '1', key as Buffer, ...args, ...guard]
}

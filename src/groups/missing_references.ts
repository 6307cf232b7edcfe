/** Pending references whose entry no longer exists: a script that finds them, to count them or to drop them. */

import { LEAST_COST } from '../entries/bites.ts'
import { formatStreamId, isBefore, type StreamId } from '../entries/stream_id.ts'
import type { Command, Reply } from '../redis/connection.ts'

/** References that one script goes through: each takes Redis 2 to 4 microseconds. */
const REFERENCES_AT_ONCE = 200
/** Most entry bytes that one script reads to find out which entries exist; the rest waits for the next. */
const READ_BYTES = 256 * 1024

/**
 * Goes through the references of a group in a range, and asks for the first entry from each of them on: references before
 * that entry are missing theirs. So a range without entries takes one question. Whether an entry exists is asked in the
 * same step in which its reference is dropped: even behind the last entry, a new one may be added and delivered at any time.
 * Replies with the number of missing entries, the last ID it looked at, `''` at the end of the range, and whose they are.
 */
const missingLua = (act: string): string => `
local function padded(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #seq) .. seq
end
local listed = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if listed.err then return string.find(listed.err, 'NOGROUP', 1, true) and {0, ''} or listed end
local missing, owners, by, bytes, entry, at = {}, {}, {}, 0, '', ''
local last = #listed > 0 and listed[#listed][1] or ''
local rest = #listed == tonumber(ARGV[4]) and last or ''
for i, reference in ipairs(listed) do
  local id = reference[1]
  if at < padded(id) then
    local found = redis.call('XRANGE', KEYS[1], id, last, 'COUNT', 1)[1]
    entry = found and found[1] or '18446744073709551615-18446744073709551615'
    at = padded(entry)
    for _, field in ipairs(found and found[2] or {}) do bytes = bytes + #field end
  end
  if entry ~= id then
    missing[#missing + 1] = id
    by[reference[2]] = (by[reference[2]] or 0) + 1
  end
  if bytes > ${READ_BYTES} and i < #listed then
    rest = id
    break
  end
end
${act}
for name, n in pairs(by) do
  owners[#owners + 1], owners[#owners + 2] = name, n
end
return {#missing, rest, owners}`

const COUNT_LUA = missingLua('')
const DROP_LUA = missingLua("if #missing > 0 then redis.call('XACK', KEYS[1], ARGV[1], unpack(missing)) end")

/** The IDs between which a group may have references to missing entries. */
export interface ReferenceRange {
  readonly from: string
  readonly to: string
}

/**
 * Entries may be missing before the first one, `first`, and up to the last one that `XDEL` deleted. Redis before 7.0 does
 * not know the latter: then entries may be missing anywhere.
 */
export function missingRange(first: StreamId | null, deleted: StreamId | null): ReferenceRange {
  if (first === null || deleted === null) return { from: '-', to: '+' }
  return { from: '-', to: isBefore(deleted, first) ? `(${formatStreamId(first)}` : formatStreamId(deleted) }
}

/** Counts references to missing entries, or drops them, in one bite. */
export function missingCommand(
  act: 'count' | 'drop',
  evaluate: 'EVAL' | 'EVAL_RO',
  key: Buffer,
  group: Uint8Array,
  { from, to }: ReferenceRange,
): Command {
  const script = act === 'count' ? COUNT_LUA : DROP_LUA
  return [evaluate, script, '1', key, Buffer.from(group), from, to, String(REFERENCES_AT_ONCE)]
}

/** The cost of one bite in a group with `pending` references (see `redis/ask.ts`). */
export function costOfReferences(pending: number): number {
  return LEAST_COST + Math.min(pending, REFERENCES_AT_ONCE) / (2 * REFERENCES_AT_ONCE)
}

/** The reply of one bite. */
export interface Bitten {
  readonly missing: number
  /** The consumers with references to missing entries, by their names as Latin-1, and how many each has. */
  readonly owners: readonly (readonly [name: string, references: number])[]
  /** What is left of the range; null at its end. */
  readonly rest: ReferenceRange | null
}

export function readBitten(reply: Reply, { to }: ReferenceRange): Bitten {
  const [missing, last, owned = []] = reply as [number, Buffer, (readonly (Buffer | number)[])?]
  const owners = owned.flatMap((name, i): [string, number][] =>
    i % 2 === 0 ? [[(name as Buffer).toString('latin1'), Number(owned[i + 1])]] : [],
  )
  return { missing, owners, rest: last.length === 0 ? null : { from: `(${last}`, to } }
}

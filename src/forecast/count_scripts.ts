/** Read-only scripts that count inside Redis, so that no entry has to leave it. */

import { entriesWithin } from '../entries/bites.ts'
import type { Command } from '../redis/connection.ts'

/** Most entries that one step reads, and the most bytes: 64 KB take Redis about 0.02 ms. */
const STEP_ENTRIES = 100
const STEP_BYTES = 64 * 1024

/** How many entries of this size to read in one step. */
export function stepFor(entryBytes: number): number {
  return entriesWithin(STEP_ENTRIES, STEP_BYTES, entryBytes)
}

/** `EVAL_RO` (Redis 7.0) lets the server itself refuse any write. Before 7.0 there is only `EVAL`. */
export type Evaluate = 'EVAL_RO' | 'EVAL'

/**
 * Counts entries from one end of a range, a few at a time, and stops after about `most` small entries' worth of work. Reading
 * an entry of 100 bytes takes Redis 1 to 1.7 microseconds. No clock runs inside a script on Redis 7.0, so the work is
 * measured in entries, and where they are large in bytes: the last entry of each step tells how many the next one may read.
 * Replies with the count and the place to go on from, `(` and the last ID, which is empty at the end of the range.
 */
const COUNT_LUA = `
local command, from, to, step, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local limit, n, work = tonumber(ARGV[6]), 0, 0
repeat
  step = math.min(step, limit - n)
  local entries = redis.call(command, KEYS[1], from, to, 'COUNT', step)
  n, work = n + #entries, work + ${STEP_ENTRIES}
  if #entries < step then return {n, ''} end
  local last, bytes = entries[#entries], 1
  from = '(' .. last[1]
  for _, field in ipairs(last[2]) do bytes = bytes + #field end
  step = math.max(1, math.min(${STEP_ENTRIES}, math.floor(${STEP_BYTES} / bytes)))
until work >= most or n >= limit
return {n, from}`

/** Counts from one end of a range: `step` entries first, for as long as `most` small entries take Redis, at most `limit`. */
export function countRange(
  evaluate: Evaluate,
  key: Buffer,
  range: { readonly command: 'XRANGE' | 'XREVRANGE'; readonly from: string; readonly to: string },
  step: number,
  most: number,
  limit: number,
): Command {
  const { command, from, to } = range
  return [evaluate, COUNT_LUA, '1', key, command, from, to, String(step), String(most), String(limit)]
}

/** Fills streams quickly, with chosen times in their IDs, and reads them. */

import { clockMs } from '../../scripts/stage/redis_client.ts'
import type { RedisServer } from './redis_server.ts'

export interface Filling {
  readonly count: number
  /** Time of the first entry, in ms since 1970. */
  readonly from: number
  /** Time from one entry to the next, in ms. It may be 0 or a fraction, because every ID has its own sequence number. */
  readonly stepMs: number
  /** Size of each entry's value, in bytes. */
  readonly bytes: number
}

/** Entries that one call of the script adds; takes Redis about 10 ms. */
const CHUNK = 5_000

/**
 * Adds entries inside Redis, which is many times faster than sending each XADD. ARGV: the number of the first entry, how
 * many, `from`, `stepMs`, `bytes`.
 */
const FILL = `
local first, count, from, step = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local body = string.rep('x', tonumber(ARGV[5]))
for number = first, first + count - 1 do
  local ms = math.floor(from + number * step)
  redis.call('XADD', KEYS[1], string.format('%.0f-%d', ms, number), 'body', body)
end`

/**
 * Appends `count` entries with one field `body`. Entry number i (from 0) has the ID `<from + i * stepMs>-<i>`.
 * A million take about 2 s.
 */
export async function fillStream(redis: RedisServer, key: string | Buffer, filling: Filling): Promise<void> {
  const { count, from, stepMs, bytes } = filling
  for (let first = 0; first < count; first += CHUNK) {
    const chunk = Math.min(CHUNK, count - first)
    const numbers = [first, chunk, from, stepMs, bytes].map(String)
    await redis.command('EVAL', FILL, '1', key, ...numbers)
  }
}

/** Appends entries that are about `agoMs` old, one a millisecond. */
export async function fillBurst(
  redis: RedisServer,
  key: string,
  count: number,
  agoMs: number,
  bytes = 20,
): Promise<void> {
  await fillStream(redis, key, { count, from: (await redisNow(redis)) - agoMs, stepMs: 1, bytes })
}

/** Appends entries at an even rate from two days ago until now. */
export async function fillTwoDays(redis: RedisServer, key: string, count: number): Promise<void> {
  const twoDaysMs = 48 * 3_600_000
  const from = (await redisNow(redis)) - twoDaysMs
  await fillStream(redis, key, { count, from, stepMs: twoDaysMs / count, bytes: 200 })
}

/** How many entries a stream has. */
export async function lengthOf(redis: RedisServer, key: string | Buffer): Promise<number> {
  return Number(await redis.command('XLEN', key))
}

/** Redis's own clock, in ms since 1970. */
export function redisNow(redis: Pick<RedisServer, 'client'>): Promise<number> {
  return clockMs(redis.client)
}

/** The IDs in a stream, oldest first; with `newest`, only those of that many newest entries. */
export async function streamIds(redis: RedisServer, key: string | Buffer, newest?: number): Promise<string[]> {
  const limit = newest === undefined ? [] : ['COUNT', String(newest)]
  const entries = (await redis.command('XREVRANGE', key, '+', '-', ...limit)) as [string, unknown][]
  return entries.map(([id]) => id).reverse()
}

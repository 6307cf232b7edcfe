/** Streams longer than the default policy allows. */

import type { RedisServer } from './redis_server.ts'
import { fillStream, redisNow, streamIds } from './streams.ts'

const HOUR = 3_600_000

/** The default of `--max-length`. */
export const LENGTH_LIMIT = 1_000
/** Entries that an overlong stream has beyond the limit: two nodes. */
export const SURPLUS = 200

/** Replaces each of these streams by an overlong one whose entries are an hour old. */
export async function fillOverlong(redis: RedisServer, keys: readonly string[]): Promise<void> {
  const from = (await redisNow(redis)) - HOUR
  for (const key of keys) {
    await redis.command('UNLINK', key)
    await fillStream(redis, key, { count: LENGTH_LIMIT + SURPLUS, from, stepMs: 1, bytes: 10 })
  }
}

/** The same as `fillOverlong`. @returns the IDs that must stay, by key */
export async function overfill(redis: RedisServer, keys: readonly string[]): Promise<Map<string, string[]>> {
  await fillOverlong(redis, keys)
  const kept = keys.map(async (key) => [key, await streamIds(redis, key, LENGTH_LIMIT)] as const)
  return new Map(await Promise.all(kept))
}

/** How many entries of these overlong streams have been removed so far. */
export async function goneFrom(redis: RedisServer, keys: readonly string[]): Promise<number> {
  const lengths = await Promise.all(keys.map((key) => redis.command('XLEN', key).then(Number)))
  return lengths.reduce((sum, length) => sum + LENGTH_LIMIT + SURPLUS - length, 0)
}

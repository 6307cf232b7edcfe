/** A user with rights of its own, a stream that is to be trimmed for it, and what Redis refused it. */

import assert from 'node:assert/strict'
import type { RedisServer } from './redis_server.ts'
import { fieldsOf } from './replies.ts'
import { fillStream, redisNow } from './streams.ts'

const HOUR = 3_600_000
/** The stream. */
export const KEY = 'stream:conversation:a'

/** Commands that a sweep does without, and says so or loses nothing by it: refused wherever their feature is not asked for. */
export const DISPENSABLE = [
  'client|setname',
  'client|no-touch',
  'eval_ro',
  'xread',
  'info',
  'xinfo|groups',
  'multi',
  'exec',
  'memory|usage',
]

/** What the program prints as JSON. */
export type Report = Record<string, unknown>

/** A thousand entries that are too old, a thousand too many, a thousand to keep: and so many more of the first two. */
export async function fill(redis: RedisServer, more = 0, bytes = 10): Promise<void> {
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 1_000 + more, from: now - 48 * HOUR, stepMs: 1, bytes })
  await fillStream(redis, KEY, { count: 2_000 + more, from: now - HOUR, stepMs: 1, bytes })
}

/** Asserts that the stream, as it was filled, was brought inside the policy. */
export function assertTrimmed({ removed }: Report): void {
  assert.deepEqual(removed, { age: 1_000, length: 1_000, bytes: 0, acked: 0 })
}

/** The server as it is prepared, with a user that has these rules alone. */
export async function begin(
  redis: RedisServer,
  prepare: (redis: RedisServer) => Promise<void>,
  rules: readonly string[],
): Promise<void> {
  await redis.command('FLUSHALL')
  await prepare(redis)
  await redis.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', 'resetkeys', '-@all', ...rules)
  await redis.command('ACL', 'LOG', 'RESET')
  await redis.command('CONFIG', 'RESETSTAT')
}

/** The server's URL for that user. */
export function urlOf(redis: RedisServer, database = 0): string {
  return `redis://ops:pass@127.0.0.1:${redis.port}${database === 0 ? '' : `/${database}`}`
}

/** The commands that Redis refused the user, as `ACL LOG` names them. */
export async function refusals(redis: RedisServer): Promise<string[]> {
  const entries = (await redis.command('ACL', 'LOG', '1000')) as unknown[][]
  return entries
    .map(fieldsOf)
    .filter((entry) => entry.get('reason') === 'command')
    .map((entry) => String(entry.get('object')))
}

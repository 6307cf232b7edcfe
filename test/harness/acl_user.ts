/** A Redis user with limited rights, a stream to trim as that user, and the commands that Redis refused it. */

import assert from 'node:assert/strict'
import type { RedisServer } from './redis_server.ts'
import { fieldsOf } from './replies.ts'
import { fillStream, redisNow } from './streams.ts'

const HOUR = 3_600_000
export const KEY = 'stream:conversation:a'

/** Commands that a sweep can do without. Redis refuses them unless the feature that needs them is under test. */
export const DISPENSABLE = [
  'client|setname',
  'client|no-touch',
  'eval_ro',
  'xread',
  'info',
  'config|get',
  'get',
  'xinfo|groups',
  'multi',
  'exec',
  'memory|usage',
]

/** The program's JSON output. */
export type Report = Record<string, unknown>

/** Adds 1,000 entries that are too old, 1,000 beyond the length limit and 1,000 to keep; `more` adds to the first two. */
export async function fill(redis: RedisServer, more = 0, bytes = 10): Promise<void> {
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 1_000 + more, from: now - 48 * HOUR, stepMs: 1, bytes })
  await fillStream(redis, KEY, { count: 2_000 + more, from: now - HOUR, stepMs: 1, bytes })
}

/** Asserts that a sweep trimmed the filled stream to its policy. */
export function assertTrimmed({ removed }: Report): void {
  assert.deepEqual(removed, { age: 1_000, length: 1_000, bytes: 0, acked: 0 })
}

/** Empties and prepares the server, and gives the user exactly these rules. */
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

/** The URL with which that user logs in. */
export function urlOf(redis: RedisServer, database = 0): string {
  return `redis://ops:pass@127.0.0.1:${redis.port}${database === 0 ? '' : `/${database}`}`
}

/** The commands that Redis refused, as `ACL LOG` names them. */
export async function refusals(redis: RedisServer): Promise<string[]> {
  const entries = (await redis.command('ACL', 'LOG', '1000')) as unknown[][]
  return entries
    .map(fieldsOf)
    .filter((entry) => entry.get('reason') === 'command')
    .map((entry) => String(entry.get('object')))
}

/** Consumers that have shown no life for days, without waiting for days. */

import { RESP_TYPES } from '@redis/client'
import type { RedisServer } from './redis_server.ts'

/** What a server needs to let RESTORE take a dump that was changed. */
export const IDLE_CONFIG = { 'enable-debug-command': 'yes' } as const

/**
 * Lets consumers of a stream's groups have been idle for so much longer than they are. Nothing in Redis can be told so
 * but RESTORE: in a dump, the time a consumer was last seen stands behind its name, which must be one of a kind.
 */
export async function makeIdle(
  redis: RedisServer,
  key: string,
  idleMs: Readonly<Record<string, number>>,
): Promise<void> {
  const consumers = Object.entries(idleMs)
  if (consumers.length === 0) return
  const binary = redis.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const dump = (await binary.sendCommand(['DUMP', key])) as unknown as Buffer
  for (const [consumer, ms] of consumers) {
    const name = Buffer.concat([Buffer.from([consumer.length]), Buffer.from(consumer)])
    const at = dump.indexOf(name)
    if (at < 0) throw new RangeError(`${key} has no consumer ${consumer}`)
    const seen = at + name.length
    dump.writeBigInt64LE(dump.readBigInt64LE(seen) - BigInt(ms), seen)
  }
  await redis.command('DEBUG', 'SET-SKIP-CHECKSUM-VALIDATION', '1')
  await redis.command('RESTORE', key, '0', dump, 'REPLACE')
}

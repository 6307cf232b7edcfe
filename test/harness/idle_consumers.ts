/** Makes consumers look idle for days, without waiting for days. */

import { RESP_TYPES } from '@redis/client'
import type { OneServer } from './cluster_as_one.ts'

/** Settings with which RESTORE accepts an edited dump. */
export const IDLE_CONFIG = { 'enable-debug-command': 'yes' } as const

/**
 * Makes consumers of a stream's groups this much more idle than they are. Only RESTORE can do that: in a dump, the time a
 * consumer was last seen follows its name, which must be unique.
 */
export async function makeIdle(redis: OneServer, key: string, idleMs: Readonly<Record<string, number>>): Promise<void> {
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

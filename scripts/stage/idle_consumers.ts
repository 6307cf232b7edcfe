/** Makes consumers look idle for days, without waiting for days. */

import { RESP_TYPES } from '@redis/client'
import type { Client } from './redis_client.ts'

/** Settings with which RESTORE accepts an edited dump. */
export const IDLE_CONFIG = { 'enable-debug-command': 'yes' } as const

/**
 * Makes consumers of a stream's groups this much more idle than they are. Only RESTORE can do that: in a dump, the time a
 * consumer was last seen follows its name, which must be unique.
 */
export async function makeIdle(
  client: Pick<Client, 'withTypeMapping' | 'sendCommand'>,
  key: string,
  idleMs: ReadonlyMap<string, number>,
): Promise<void> {
  if (idleMs.size === 0) return
  const binary = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
  const dump = (await binary.sendCommand(['DUMP', key])) as unknown as Buffer
  for (const [consumer, ms] of idleMs) {
    const name = Buffer.concat([Buffer.from([consumer.length]), Buffer.from(consumer)])
    const at = dump.indexOf(name)
    if (at < 0) throw new RangeError(`${key} has no consumer ${consumer}`)
    const seen = at + name.length
    dump.writeBigInt64LE(dump.readBigInt64LE(seen) - BigInt(ms), seen)
  }
  await client.sendCommand(['DEBUG', 'SET-SKIP-CHECKSUM-VALIDATION', '1'])
  await client.sendCommand(['RESTORE', key, '0', dump, 'REPLACE'])
}

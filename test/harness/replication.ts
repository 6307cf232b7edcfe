/** Primaries and replicas, as they tell of themselves. */

import type { RedisServer } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

/** Returns when the replica has all that its primary has. */
export async function untilInSync(replica: RedisServer): Promise<void> {
  await waitUntil(async () => /master_link_status:up/.test(await replicationOf(replica)), {
    timeoutMs: 60_000,
    what: 'a replica to be in sync',
  })
}

/** Whether it takes itself for a primary; not where it does not answer. */
export async function isPrimary(server: RedisServer): Promise<boolean> {
  return /role:master/.test(await replicationOf(server))
}

async function replicationOf(server: RedisServer): Promise<string> {
  return String(await server.command('INFO', 'replication').catch(() => ''))
}

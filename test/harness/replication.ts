/** The replication state of a server, as it reports it. */

import type { RedisServer } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

/** Waits until the replica is in sync with its primary. */
export async function untilInSync(replica: RedisServer): Promise<void> {
  await waitUntil(async () => /master_link_status:up/.test(await replicationOf(replica)), {
    timeoutMs: 60_000,
    what: 'a replica to be in sync',
  })
}

/** Whether the server reports that it is a primary; false if it does not answer. */
export async function isPrimary(server: RedisServer): Promise<boolean> {
  return /role:master/.test(await replicationOf(server))
}

async function replicationOf(server: RedisServer): Promise<string> {
  return String(await server.command('INFO', 'replication').catch(() => ''))
}

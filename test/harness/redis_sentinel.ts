/** A private primary with one replica, and the three sentinels that watch them. */

import type { TestContext } from 'node:test'
import { type RedisServer, startRedis } from './redis_server.ts'
import { isPrimary, untilInSync } from './replication.ts'
import { fieldsOf } from './replies.ts'
import { type Sentinel, startSentinel } from './sentinel.ts'
import { waitUntil } from './waiting.ts'

export const MASTER = 'mymaster'
const SENTINELS = 3
const QUORUM = 2
const READY_WITHIN_MS = 60_000

export interface WatchedRedis {
  /** The original primary. */
  readonly primary: RedisServer
  readonly replica: RedisServer
  /** The URLs of the three sentinels, separated by commas. */
  readonly urls: string
  /** Makes a sentinel promote the replica although nothing is wrong. */
  failOver(): Promise<void>
  /** Waits until every sentinel names this server as the primary and it is one. */
  untilPrimaryIs(server: RedisServer): Promise<void>
}

/**
 * Starts all five, each with `password` if given, and waits until every sentinel knows the others and the replica. The
 * sentinels consider a primary down after a second of silence. All are killed when the test ends.
 */
export async function startWatchedRedis(
  t: TestContext,
  options: { readonly password?: string } = {},
): Promise<WatchedRedis> {
  const { password } = options
  const config = {
    'repl-diskless-sync-delay': '0',
    ...(password === undefined ? {} : { requirepass: password, masterauth: password }),
  }
  const [primary, replica] = await Promise.all([startRedis(t, { config }), startRedis(t, { config })])
  await replica.command('REPLICAOF', '127.0.0.1', String(primary.port))
  await untilInSync(replica)
  const sentinels = await Promise.all(
    Array.from({ length: SENTINELS }, () => startSentinelOf(t, primary.port, password)),
  )
  const [first] = sentinels as [Sentinel]
  for (const sentinel of sentinels) {
    await waitUntil(
      async () => {
        const told = fieldsOf(await sentinel.command('SENTINEL', 'MASTER', MASTER))
        return told.get('num-slaves') === '1' && told.get('num-other-sentinels') === String(SENTINELS - 1)
      },
      { timeoutMs: READY_WITHIN_MS, what: 'the sentinels to know each other' },
    )
  }
  return {
    primary,
    replica,
    urls: sentinels.map(({ port }) => `redis://127.0.0.1:${port}`).join(','),
    async failOver() {
      // Refused until the sentinel knows that the replica can be promoted.
      await waitUntil(
        () =>
          first.command('SENTINEL', 'FAILOVER', MASTER).then(
            () => true,
            () => false,
          ),
        { timeoutMs: READY_WITHIN_MS, what: 'a sentinel to begin the failover' },
      )
    },
    async untilPrimaryIs(server) {
      const names = async ({ command }: Sentinel) =>
        String(await command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)) === `127.0.0.1,${server.port}`
      await waitUntil(
        async () => (await Promise.all(sentinels.map(names))).every(Boolean) && (await isPrimary(server)),
        { timeoutMs: READY_WITHIN_MS, what: 'every sentinel to name the new primary' },
      )
    },
  }
}

function startSentinelOf(t: TestContext, primaryPort: number, password: string | undefined): Promise<Sentinel> {
  const secrets =
    password === undefined
      ? []
      : [`requirepass ${password}`, `sentinel sentinel-pass ${password}`, `sentinel auth-pass ${MASTER} ${password}`]
  const timing = [`sentinel down-after-milliseconds ${MASTER} 1000`, `sentinel failover-timeout ${MASTER} 3000`]
  return startSentinel(t, {
    master: MASTER,
    primaryPort,
    quorum: QUORUM,
    lines: [...timing, ...secrets],
    ...(password === undefined ? {} : { credentials: { password } }),
  })
}

/** A private primary with one replica, and the three sentinels that watch them. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createClient } from '@redis/client'
import { freePort } from './free_port.ts'
import { type RedisServer, startRedis } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

export const MASTER = 'mymaster'
const SENTINELS = 3
const QUORUM = 2
const READY_WITHIN_MS = 20_000

export interface WatchedRedis {
  /** The one that was the primary at first. */
  readonly primary: RedisServer
  readonly replica: RedisServer
  /** The URLs of the three sentinels. */
  readonly urls: string
  /** Has a sentinel promote the replica, although nothing is wrong. */
  failOver(): Promise<void>
  /** Waits until every sentinel names this server as the primary, and it is one. */
  untilPrimaryIs(server: RedisServer): Promise<void>
}

/**
 * Starts all five, with `password` on each of them if given, and returns once every sentinel knows of the others and of
 * the replica. A primary that is silent for a second is taken for dead. They end with the test.
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
  await waitUntil(async () => /master_link_status:up/.test(await replicationOf(replica)), {
    timeoutMs: READY_WITHIN_MS,
    what: 'the replica to be in sync',
  })
  const sentinels = await Promise.all(
    Array.from({ length: SENTINELS }, () => startSentinelOf(t, primary.port, password)),
  )
  const [first] = sentinels as [Sentinel]
  for (const sentinel of sentinels) {
    await waitUntil(
      async () => {
        const told = flatPairs(await sentinel.command('SENTINEL', 'MASTER', MASTER))
        return told['num-slaves'] === '1' && told['num-other-sentinels'] === String(SENTINELS - 1)
      },
      { timeoutMs: READY_WITHIN_MS, what: 'the sentinels to know each other' },
    )
  }
  return {
    primary,
    replica,
    urls: sentinels.map(({ port }) => `redis://127.0.0.1:${port}`).join(','),
    async failOver() {
      // Refused until the replica has told that it is fit to be promoted.
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
        async () =>
          (await Promise.all(sentinels.map(names))).every(Boolean) && /role:master/.test(await replicationOf(server)),
        { timeoutMs: 30_000, what: 'every sentinel to name the new primary' },
      )
    },
  }
}

interface Sentinel {
  readonly port: number
  command(...args: readonly string[]): Promise<unknown>
}

async function startSentinelOf(t: TestContext, primaryPort: number, password: string | undefined): Promise<Sentinel> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-sentinel-'))
  const port = await freePort()
  const file = join(folder, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `logfile ${join(folder, 'sentinel.log')}`,
    `sentinel monitor ${MASTER} 127.0.0.1 ${primaryPort} ${QUORUM}`,
    `sentinel down-after-milliseconds ${MASTER} 1000`,
    `sentinel failover-timeout ${MASTER} 3000`,
    ...(password === undefined
      ? []
      : [`requirepass ${password}`, `sentinel sentinel-pass ${password}`, `sentinel auth-pass ${MASTER} ${password}`]),
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const child = spawn(process.env.TEST_REDIS_SERVER || 'redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  const exit = once(child, 'exit').catch(() => {})
  const client = createClient({
    ...(password === undefined ? {} : { password }),
    socket: { host: '127.0.0.1', port, reconnectStrategy: 50 },
    RESP: 2,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
  })
  client.on('error', () => {})
  t.after(async () => {
    client.destroy()
    child.kill('SIGKILL')
    await exit
    await rm(folder, { recursive: true, force: true })
  })
  void client.connect().catch(() => {})
  await waitUntil(() => client.isReady || child.exitCode !== null, {
    timeoutMs: READY_WITHIN_MS,
    what: 'a sentinel to answer',
  })
  if (child.exitCode !== null) throw new Error('a sentinel ended at once')
  return { port, command: (...args) => client.sendCommand([...args]) }
}

async function replicationOf(server: RedisServer): Promise<string> {
  return String(await server.command('INFO', 'replication').catch(() => ''))
}

function flatPairs(reply: unknown): Record<string, string> {
  const flat = reply as string[]
  return Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1] ?? '']] : [])))
}

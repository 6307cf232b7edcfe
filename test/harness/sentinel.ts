/** A private sentinel that watches one server, with a user of its own. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { createClient } from '@redis/client'
import { freePort } from './free_port.ts'
import type { RedisServer } from './redis_server.ts'
import { waitUntil } from './waiting.ts'

export interface Sentinel {
  readonly port: number
  /** Any command at all, by a user with every right. */
  command(...args: readonly string[]): Promise<unknown>
}

/** Starts a sentinel that knows the server by this name, and lets nobody in without a user and password. It ends with the test. */
export async function startSentinel(t: TestContext, redis: RedisServer, master: string): Promise<Sentinel> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-sentinel-'))
  const port = await freePort()
  const file = join(folder, 'sentinel.conf')
  await writeFile(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `logfile ${join(folder, 'sentinel.log')}`,
      'user default off',
      'user boss on >boss ~* &* +@all',
      `sentinel monitor ${master} 127.0.0.1 ${redis.port} 1`,
      '',
    ].join('\n'),
  )
  const child = spawn(process.env.TEST_REDIS_SERVER || 'redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  const exit = once(child, 'exit').catch(() => {})
  const client = createClient({
    username: 'boss',
    password: 'boss',
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
    timeoutMs: 10_000,
    what: 'the sentinel to answer',
  })
  if (child.exitCode !== null) throw new Error('the sentinel ended at once')
  return { port, command: (...args) => client.sendCommand([...args]) }
}

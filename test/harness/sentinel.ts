/** A private sentinel. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from '../../scripts/stage/free_port.ts'
import { makeClient } from '../../scripts/stage/redis_client.ts'
import { waitUntil } from './waiting.ts'

export interface Sentinel {
  readonly port: number
  /** Sends any command. */
  command(...args: readonly string[]): Promise<unknown>
}

export interface SentinelOptions {
  readonly master: string
  readonly primaryPort: number
  readonly quorum: number
  /** Further configuration lines. */
  readonly lines?: readonly string[]
  /** Credentials for `command()`, if the sentinel requires them. */
  readonly credentials?: { readonly username?: string; readonly password: string }
}

/** Starts a sentinel and waits until it answers. It is killed when the test ends. */
export async function startSentinel(t: TestContext, options: SentinelOptions): Promise<Sentinel> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-sentinel-'))
  const port = await freePort()
  const file = join(folder, 'sentinel.conf')
  const { master, primaryPort, quorum, lines = [] } = options
  const common = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, `logfile ${join(folder, 'sentinel.log')}`]
  const monitor = `sentinel monitor ${master} 127.0.0.1 ${primaryPort} ${quorum}`
  await writeFile(file, [...common, monitor, ...lines, ''].join('\n'))
  const child = spawn(process.env.TEST_REDIS_SERVER || 'redis-server', [file, '--sentinel'], { stdio: 'ignore' })
  const exit = once(child, 'exit').catch(() => {})
  const client = makeClient({
    ...options.credentials,
    socket: { host: '127.0.0.1', port, reconnectStrategy: 50 },
    disableOfflineQueue: true,
  })
  t.after(async () => {
    client.destroy()
    child.kill('SIGKILL')
    await exit
    await rm(folder, { recursive: true, force: true })
  })
  void client.connect().catch(() => {})
  await waitUntil(() => client.isReady || child.exitCode !== null, { timeoutMs: 60_000, what: 'a sentinel to answer' })
  if (child.exitCode !== null) throw new Error('a sentinel ended at once')
  return { port, command: (...args) => client.sendCommand([...args]) }
}

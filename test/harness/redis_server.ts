/** A private redis-server for one test, and faults to inject into it. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from '../../scripts/stage/free_port.ts'
import { type Client, infoField, makeClient, usedMemory } from '../../scripts/stage/redis_client.ts'
import { waitUntil } from './waiting.ts'

export interface RedisOptions {
  /**
   * Further `redis.conf` settings by name, such as `{ maxmemory: '10mb' }`. They survive `restart()`. The test client uses
   * a `requirepass`; `url` does not contain it.
   */
  readonly config?: Readonly<Record<string, string>>
  /** Which server to start, where a test runs on several; see `servers.ts`. */
  readonly program?: string
}

/** One entry of Redis's slow log. */
export interface SlowCommand {
  readonly microseconds: number
  readonly command: readonly string[]
}

export interface RedisServer {
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  readonly socketPath: string
  /** The pid of the running server. It changes with `restart()`. */
  readonly pid: number
  /** Reconnects by itself after `kill()` and `restart()`. While Redis is down, its commands fail at once. */
  readonly client: Client
  /** Sends any command. Replies are RESP2, so maps are flat arrays; an error reply rejects. */
  command(...args: readonly (string | Buffer)[]): Promise<unknown>
  /** Stops the process (SIGSTOP) and resolves once it is stopped. */
  freeze(): Promise<void>
  /** Resumes a frozen server. */
  thaw(): Promise<void>
  /** Kills the server (SIGKILL) and resolves once it is gone. Its data is lost. */
  kill(): Promise<void>
  /**
   * Kills the server if it still runs, and starts another with the same port, socket and settings. It is empty unless the
   * test made the first one SAVE.
   */
  restart(): Promise<void>
  /** Empties the slow log and records every command in it from now on. */
  recordCommands(): Promise<void>
  /** The slow log, newest first. Redis's default threshold of 10 ms applies unless `recordCommands()` was called. */
  slowlog(): Promise<SlowCommand[]>
  /** `used_memory`, in bytes. */
  usedMemory(): Promise<number>
  /** How often Redis has executed this command (in lower case, as in INFO) since its start or `CONFIG RESETSTAT`. */
  callsOf(command: string): Promise<number>
}

/** The server that tests run on unless they name another. */
export const DEFAULT_SERVER = process.env.TEST_REDIS_SERVER || 'redis-server'

/** Includes loading the data, which a test may slow down. */
const READY_WITHIN_MS = 60_000
const CONNECT_WITHIN_MS = 10_000
const BIND_ATTEMPTS = 10

/**
 * Starts `redis-server`, or the program in `TEST_REDIS_SERVER`, on a free port of 127.0.0.1 and on a unix socket. It is
 * empty and does not save to disk. When the test ends it is killed and its folder removed.
 *
 * @throws if it is not ready within a minute; the message contains the server's log
 */
export async function startRedis(t: TestContext, options: RedisOptions = {}): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-redis-'))
  let running: RunningServer | undefined
  let client: Client | undefined
  t.after(async () => {
    client?.destroy()
    if (running) await killed(running.process)
    await rm(folder, { recursive: true, force: true })
  })

  const { config = {}, program = DEFAULT_SERVER } = options
  const first = await launchOnFreePort(program, folder, config)
  running = first
  const { port, socketPath } = first
  const testClient = await connectTestClient(port, config.requirepass)
  client = testClient

  const alive = (): RunningServer => {
    if (!running) throw new Error('the test has killed this redis-server and not restarted it')
    return running
  }
  const command: RedisServer['command'] = (...args) => testClient.sendCommand([...args])

  const server: RedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    socketPath,
    get pid() {
      return alive().pid
    },
    client: testClient,
    command,
    async freeze() {
      const { pid } = alive()
      process.kill(pid, 'SIGSTOP')
      await waitUntil(async () => (await processState(pid)) === 'T', {
        timeoutMs: 30_000,
        what: 'redis-server to stop',
      })
    },
    async thaw() {
      const { pid } = alive()
      process.kill(pid, 'SIGCONT')
      await waitUntil(async () => (await processState(pid)) !== 'T', {
        timeoutMs: 30_000,
        what: 'redis-server to resume',
      })
    },
    async kill() {
      const { process: gone } = alive()
      running = undefined
      await killed(gone)
    },
    async restart() {
      if (running) await server.kill()
      running = await launch(program, folder, port, config)
      await waitUntil(() => testClient.isReady, { timeoutMs: READY_WITHIN_MS, what: 'the test client to reconnect' })
    },
    async recordCommands() {
      await command('CONFIG', 'SET', 'slowlog-max-len', '1000000')
      await command('CONFIG', 'SET', 'slowlog-log-slower-than', '0')
      await command('SLOWLOG', 'RESET')
    },
    async slowlog() {
      const lines = (await command('SLOWLOG', 'GET', '1000000')) as [number, number, number, string[]][]
      return lines.map(([, , microseconds, words]) => ({ microseconds, command: words }))
    },
    usedMemory: () => usedMemory(testClient),
    callsOf: async (name) =>
      Number(
        /^calls=(\d+)/.exec(await infoField(testClient, 'commandstats', `cmdstat_${name.replace('|', '\\|')}`))?.[1] ??
          0,
      ),
  }
  return server
}

interface RunningServer {
  readonly process: ChildProcess
  readonly pid: number
  readonly port: number
  readonly socketPath: string
}

/** Another process can take a free port before Redis does; then try the next port. */
async function launchOnFreePort(
  program: string,
  folder: string,
  config: Readonly<Record<string, string>>,
): Promise<RunningServer> {
  let lastError: unknown
  for (let attempt = 0; attempt < BIND_ATTEMPTS; attempt++) {
    try {
      return await launch(program, folder, await freePort(), config)
    } catch (error) {
      if (!String(error).includes('Address already in use')) throw error
      lastError = error
    }
  }
  throw lastError
}

async function launch(
  program: string,
  folder: string,
  port: number,
  config: Readonly<Record<string, string>>,
): Promise<RunningServer> {
  const socketPath = join(folder, 'redis.sock')
  const logPath = join(folder, 'redis.log')
  const settings = Object.entries({
    port: String(port),
    bind: '127.0.0.1',
    unixsocket: socketPath,
    dir: folder,
    save: '',
    appendonly: 'no',
    ...config,
  }).flatMap(([name, value]) => [`--${name}`, value])

  // A new log for every launch, so that an earlier server's "Ready" is not taken for this one's.
  const log = openSync(logPath, 'w')
  const child = spawn(program, settings, { stdio: ['ignore', log, log] })
  closeSync(log)
  const spawnFailure = new Promise<never>((_, reject) => child.once('error', reject))
  spawnFailure.catch(() => {})

  const ready = waitUntil(
    async () => {
      // Checked before reading, so that the last lines of an ended server are read too.
      const over = child.exitCode !== null || child.signalCode !== null
      const text = await readFile(logPath, 'utf8')
      if (over) throw new Error(`redis-server ended:\n${text}`)
      return text.includes('eady to accept connections')
    },
    { timeoutMs: READY_WITHIN_MS, what: 'redis-server to be ready', everyMs: 5 },
  )
  try {
    await Promise.race([ready, spawnFailure])
  } catch (error) {
    await killed(child)
    throw error
  }
  return { process: child, pid: child.pid as number, port, socketPath }
}

async function connectTestClient(port: number, password: string | undefined): Promise<Client> {
  const client = makeClient({
    ...(password === undefined ? {} : { password }),
    socket: { host: '127.0.0.1', port, connectTimeout: CONNECT_WITHIN_MS, reconnectStrategy: 50 },
    disableOfflineQueue: true,
  })
  await client.connect()
  return client
}

/** Sends SIGKILL, which also ends a frozen process, and waits for the exit. */
async function killed(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** The letter with which Linux reports the state of a process; `T` is stopped. */
async function processState(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2)[0]
}

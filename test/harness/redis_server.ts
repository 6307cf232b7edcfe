/** A private, real redis-server for one test, and the faults that can be done to it. */

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
   * More `redis.conf` settings, by name: `{ maxmemory: '10mb' }`. They survive `restart()`. A `requirepass` is used
   * by the test client too, and is not in `url`.
   */
  readonly config?: Readonly<Record<string, string>>
}

/** One line of Redis's slow log: what it ran and how long it held the server. */
export interface SlowCommand {
  readonly microseconds: number
  readonly command: readonly string[]
}

export interface RedisServer {
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  readonly socketPath: string
  /** The pid of the server that runs now; another one after `restart()`. */
  readonly pid: number
  /** Connects again by itself after `kill()` and `restart()`; while Redis is away, its commands fail at once. */
  readonly client: Client
  /** Any command at all, its reply as RESP2 gives it (maps are flat arrays); an error reply rejects. */
  command(...args: readonly (string | Buffer)[]): Promise<unknown>
  /** Stops the process where it stands (SIGSTOP), and returns once it stands still. */
  freeze(): Promise<void>
  /** Lets a frozen server go on. */
  thaw(): Promise<void>
  /** Ends the server at once (SIGKILL); returns once it is gone. What it held is lost. */
  kill(): Promise<void>
  /**
   * Kills the server if it still runs and starts another in its place: same port, socket and settings, and empty
   * unless the test itself had it SAVE.
   */
  restart(): Promise<void>
  /** Records every command from here on in the slow log, which begins empty. */
  recordCommands(): Promise<void>
  /** The slow log, newest first. Redis's own threshold (10 ms) holds unless `recordCommands()` was called. */
  slowlog(): Promise<SlowCommand[]>
  /** `used_memory`, in bytes. */
  usedMemory(): Promise<number>
  /** How often it carried out this command, in lower case as INFO has it, since it began or `CONFIG RESETSTAT`. */
  callsOf(command: string): Promise<number>
}

/** Loading included, which a test may slow down. */
const READY_WITHIN_MS = 60_000
const CONNECT_WITHIN_MS = 10_000
const BIND_ATTEMPTS = 10

/**
 * Starts `redis-server` (or what `TEST_REDIS_SERVER` names) on a free port of 127.0.0.1 and on a unix socket, empty
 * and never writing to disk. It is killed and its folder removed when the test ends.
 *
 * @throws when no server could be started within a minute; the message carries the server's own log.
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

  const config = options.config ?? {}
  const first = await launchOnFreePort(folder, config)
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
        what: 'redis-server to go on',
      })
    },
    async kill() {
      const { process: gone } = alive()
      running = undefined
      await killed(gone)
    },
    async restart() {
      if (running) await server.kill()
      running = await launch(folder, port, config)
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

/** Somebody else can take a free port before Redis does: then try the next one. */
async function launchOnFreePort(folder: string, config: Readonly<Record<string, string>>): Promise<RunningServer> {
  let lastError: unknown
  for (let attempt = 0; attempt < BIND_ATTEMPTS; attempt++) {
    try {
      return await launch(folder, await freePort(), config)
    } catch (error) {
      if (!String(error).includes('Address already in use')) throw error
      lastError = error
    }
  }
  throw lastError
}

async function launch(folder: string, port: number, config: Readonly<Record<string, string>>): Promise<RunningServer> {
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

  // A fresh log for every launch: an earlier server's "Ready" must not be read as this one's.
  const log = openSync(logPath, 'w')
  const child = spawn(process.env.TEST_REDIS_SERVER || 'redis-server', settings, { stdio: ['ignore', log, log] })
  closeSync(log)
  const spawnFailure = new Promise<never>((_, reject) => child.once('error', reject))
  spawnFailure.catch(() => {})

  const ready = waitUntil(
    async () => {
      // Asked before reading, so that its last words are read too.
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

/** Sends SIGKILL, which also ends a frozen process, and waits until it is gone. */
async function killed(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** The letter Linux gives a process' state: `T` is stopped. */
async function processState(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2)[0]
}

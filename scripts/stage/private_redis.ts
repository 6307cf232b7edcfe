/** A redis-server that nobody else can reach: it has no port, only a Unix socket in a temporary folder, and writes nothing to disk. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, clockMs, infoField, makeClient, usedMemory } from './redis_client.ts'
import { atExit } from './undo.ts'

export interface PrivateRedis {
  /** For --redis-url: `unix:///…` */
  readonly url: string
  readonly version: string
  readonly client: Client
  /** Another connection, whose commands do not queue behind those of `client`. */
  connect(): Promise<Client>
  /** Redis's own clock, in ms since 1970. */
  now(): Promise<number>
  /** Bytes of memory used now, minus what the empty server used. */
  memory(): Promise<number>
  /** The length of every stream. */
  streamLengths(): Promise<number[]>
  stop(): Promise<void>
}

const CONNECT_ATTEMPTS = 100

/**
 * @param further settings, such as `--hz 50`
 * @param variables for its environment
 * @throws if redis-server is not installed or ends at once
 */
export async function startPrivateRedis(
  further: readonly string[] = [],
  variables: Readonly<Record<string, string>> = {},
): Promise<PrivateRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-demo-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  const socket = join(folder, 'redis.sock')
  const settings = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'no',
    ...further,
  ]

  // In its own process group, so that Ctrl-C reaches only this process, which stops Redis last.
  const env = { ...process.env, ...variables }
  const server = spawn('redis-server', settings, { stdio: 'ignore', detached: true, env })
  atExit(() => server.kill('SIGKILL'))
  const ended = once(server, 'exit')
  const lost = ended.then(
    () => Promise.reject(new Error('redis-server ended unexpectedly')),
    (cause) => Promise.reject(new Error('could not start redis-server', { cause })),
  )

  const connect = () => Promise.race([connectTo(socket), lost])
  const client = await connect()
  const version = await infoField(client, 'server', 'redis_version')
  const emptyBytes = await usedMemory(client)
  return {
    url: `unix://${socket}`,
    version,
    client,
    connect,
    now: () => clockMs(client),
    memory: async () => (await usedMemory(client)) - emptyBytes,
    async streamLengths() {
      const keys: string[] = []
      let cursor = '0'
      do {
        const page = await client.scan(cursor, { TYPE: 'stream', COUNT: 1000 })
        keys.push(...page.keys)
        cursor = page.cursor
      } while (cursor !== '0')
      // SCAN may return a key twice.
      return Promise.all([...new Set(keys)].map((key) => client.xLen(key)))
    },
    async stop() {
      server.kill('SIGKILL')
      await ended
    },
  }
}

async function connectTo(path: string): Promise<Client> {
  const client = makeClient({
    socket: {
      path,
      tls: false,
      // The socket appears a few milliseconds after the process.
      reconnectStrategy: (attempts) => (attempts < CONNECT_ATTEMPTS ? 20 : new Error('redis-server does not answer')),
    },
  })
  await client.connect()
  return client
}

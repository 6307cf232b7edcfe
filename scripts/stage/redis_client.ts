/** The Redis client of the demo, the benchmarks and the tests. */

import {
  createClient,
  type RedisClientOptions,
  type RedisClientType,
  type RedisFunctions,
  type RedisModules,
  type RedisScripts,
} from '@redis/client'

/** Replies are as in RESP2: plain strings, and maps as flat arrays. */
export type Client = RedisClientType<RedisModules, RedisFunctions, RedisScripts, 2>

type Options = Pick<
  RedisClientOptions<RedisModules, RedisFunctions, RedisScripts, 2>,
  'socket' | 'username' | 'password' | 'disableOfflineQueue'
>

/** A client that sends no commands of its own and waits for replies without a timeout. Not connected yet. */
export function makeClient(options: Options): Client {
  const client: Client = createClient({
    RESP: 2,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    commandOptions: { timeout: 0 },
    ...options,
  })
  // A lost connection shows in the commands that fail.
  client.on('error', () => {})
  return client
}

/** Redis's own clock, in ms since 1970. */
export async function clockMs(client: Client): Promise<number> {
  const [seconds, microseconds] = await client.time()
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
}

/** The value of an INFO field up to the first space, or an empty string. */
export async function infoField(client: Client, section: string, field: string): Promise<string> {
  const text = await client.info(section)
  return new RegExp(`^${field}:(\\S*)`, 'm').exec(text)?.[1] ?? ''
}

/** `used_memory`, in bytes. */
export async function usedMemory(client: Client): Promise<number> {
  return Number(await infoField(client, 'memory', 'used_memory'))
}

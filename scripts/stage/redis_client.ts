/** How the demo, the benchmarks and the tests speak to a Redis of their own. */

import {
  createClient,
  type RedisClientOptions,
  type RedisClientType,
  type RedisFunctions,
  type RedisModules,
  type RedisScripts,
} from '@redis/client'

/** Plain strings in, plain strings out: replies as RESP2 gives them, maps as flat arrays. */
export type Client = RedisClientType<RedisModules, RedisFunctions, RedisScripts, 2>

type Options = Pick<
  RedisClientOptions<RedisModules, RedisFunctions, RedisScripts, 2>,
  'socket' | 'username' | 'password' | 'disableOfflineQueue'
>

/** A client that sends nothing but what it is told to, and waits for an answer as long as it takes. Not connected yet. */
export function makeClient(options: Options): Client {
  const client: Client = createClient({
    RESP: 2,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    commandOptions: { timeout: 0 },
    ...options,
  })
  // Losing the server is told by the commands that meet it.
  client.on('error', () => {})
  return client
}

/** Redis's own clock, in ms since 1970. */
export async function clockMs(client: Client): Promise<number> {
  const [seconds, microseconds] = await client.time()
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
}

/** The value of a field in a section of INFO, up to the first space; empty where there is none. */
export async function infoField(client: Client, section: string, field: string): Promise<string> {
  const text = await client.info(section)
  return new RegExp(`^${field}:(\\S*)`, 'm').exec(text)?.[1] ?? ''
}

/** `used_memory`, in bytes. */
export async function usedMemory(client: Client): Promise<number> {
  return Number(await infoField(client, 'memory', 'used_memory'))
}

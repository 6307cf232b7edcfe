/** A cluster that takes commands as one server does: each goes to the primary of its key, and those without a key to all. */

import type { RedisCluster } from './redis_cluster.ts'
import type { RedisServer } from './redis_server.ts'

/** The part of a server that a test uses to create streams and to look at them. */
export type OneServer = Pick<RedisServer, 'command' | 'client'>

type Arguments = readonly (string | Buffer)[]

export function asOneServer({ primaries, homeOf }: RedisCluster): OneServer {
  const homes = new Map<string, RedisServer>()
  const home = async (key: string): Promise<RedisServer> => {
    const known = homes.get(key) ?? (primaries[await homeOf(key)] as RedisServer)
    homes.set(key, known)
    return known
  }
  const command = async (...args: Arguments): Promise<unknown> => {
    const key = keyOf(args)
    if (key !== null) return (await home(key)).command(...args)
    const replies = await Promise.all(primaries.map((primary) => primary.command(...args)))
    return replies.join('\n')
  }
  const client = {
    time: () => primaries[0]?.client.time(),
    sendCommand: (args: Arguments) => command(...args),
    withTypeMapping: (mapping: never) => ({
      sendCommand: async (args: string[]) =>
        (await home(keyOf(args) ?? '')).client.withTypeMapping(mapping).sendCommand(args),
    }),
  }
  return { command, client: client as unknown as RedisServer['client'] }
}

/** The key of a command; null for one that concerns the whole server. */
function keyOf(args: Arguments): string | null {
  const [name, ...rest] = args.map(String)
  switch (name) {
    case 'CONFIG':
    case 'FLUSHALL':
    case 'DEBUG':
    case 'CLIENT':
      return null
    case 'EVAL':
      return rest[2] ?? null
    case 'XGROUP':
    case 'XINFO':
    case 'MEMORY':
      return rest[1] ?? null
    case 'XREADGROUP':
      return rest[rest.indexOf('STREAMS') + 1] ?? null
    default:
      return rest[0] ?? null
  }
}

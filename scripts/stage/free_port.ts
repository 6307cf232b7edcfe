/** Ports for servers that need a fixed port, for example to restart on the same one. */

import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that Linux uses for outgoing connections (32768 and up), so that no connection takes a port between two
 * uses. The port 10,000 above is below them too; nodes of a Redis Cluster talk to each other there.
 */
const LOWEST = 15_000
const HIGHEST = 22_700

/** Ports returned before. Their servers may not be listening yet. */
const given = new Set<number>()

/** A free TCP port of 127.0.0.1, different in each call, that no outgoing connection will take. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if (given.has(port)) continue
    given.add(port)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch {
    return false
  }
  server.close()
  await once(server, 'close')
  return true
}

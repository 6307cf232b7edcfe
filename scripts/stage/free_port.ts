/** Ports for what must be told its own, or must have the same one again after it was gone. */

import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ports that Linux gives to outgoing connections (32768 and up), so that none takes a port between two uses; and
 * so is the port 10,000 above, on which a node of a Redis Cluster talks to the others.
 */
const LOWEST = 15_000
const HIGHEST = 22_700

/** What this process was given before: who asked may not be listening yet. */
const given = new Set<number>()

/** A TCP port of 127.0.0.1 that nobody listened on a moment ago, that no outgoing connection will take, and another one each time. */
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

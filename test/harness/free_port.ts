import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ports Linux gives to outgoing connections (32768 and up), so that none takes a port between two uses. */
const LOWEST = 15_000
const HIGHEST = 31_000

/** A TCP port of 127.0.0.1 that nobody listened on a moment ago, and that no outgoing connection will take. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
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

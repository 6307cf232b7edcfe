/** A TCP proxy between the program and its server, with faults that a test can set and heal. */

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../../scripts/stage/free_port.ts'

/** Has one fault at a time: setting one ends the previous one. A fault affects open and new connections alike. */
export interface TcpProxy {
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  /** How many connections are open. */
  readonly connections: number
  /** How many connections it has accepted so far. */
  readonly accepted: number
  /** How many bytes of replies it has passed on so far. */
  readonly replyBytes: number
  /** Every piece of a reply arrives this much later. */
  delay(ms: number): void
  /** Requests reach the server, which executes them; replies are lost. */
  swallowReplies(): void
  /** Every connection is cut after `n` more bytes of replies, possibly in the middle of one. */
  cutAfterReplyBytes(n: number): void
  /** Accepts connections but stays silent: nothing reaches the server either. */
  blackhole(): void
  /**
   * Holds a request that contains this text, after letting the first `passed` of them through, and everything behind it on
   * its connection until the fault ends. A test can then act between two commands of the program.
   */
  hold(text: string, passed?: number): void
  /** How many requests have been held since `hold()`. */
  readonly held: number
  /** New connections lead to this port of 127.0.0.1, until the next call. */
  leadTo(port: number): void
  /** Stops listening: new connections get ECONNREFUSED. Open ones stay. */
  refuse(): Promise<void>
  /** Destroys all open connections. New ones work. */
  dropAll(): void
  /** Ends the fault. Connections that lost bytes are cut, because the rest would make no sense. */
  heal(): Promise<void>
}

type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'swallow' }
  | { readonly kind: 'cut'; readonly bytes: number }
  | { readonly kind: 'blackhole' }
  | { readonly kind: 'hold'; readonly text: string }
  | { readonly kind: 'refuse' }

interface Link {
  readonly near: Socket
  readonly far: Socket | undefined
  /** Bytes of replies to pass before the fault `cut` cuts this connection. */
  bytesLeft: number
  lostBytes: boolean
  /** Requests that wait for the fault `hold` to end. */
  held: Buffer[]
  /** Keeps delayed pieces in order: each waits for the previous one. */
  delayed: Promise<void>
}

/** How long a client may take to read the last bytes of a connection that is cut. */
const LAST_BYTES_MS = 5_000

/** Starts a proxy to 127.0.0.1:`targetPort` on a free port. It closes when the test ends. */
export async function startProxy(t: TestContext, targetPort: number): Promise<TcpProxy> {
  const links = new Set<Link>()
  let fault: Fault = { kind: 'none' }
  let target = targetPort
  let accepted = 0
  let replyBytes = 0
  let toPass = 0
  let held = 0

  const server = createServer({ noDelay: true }, (near) => {
    accepted++
    const far = fault.kind === 'blackhole' ? undefined : connect({ host: '127.0.0.1', port: target, noDelay: true })
    const link: Link = {
      near,
      far,
      bytesLeft: fault.kind === 'cut' ? fault.bytes : 0,
      lostBytes: far === undefined,
      held: [],
      delayed: Promise.resolve(),
    }
    links.add(link)
    for (const socket of [near, far]) {
      socket?.on('error', () => cut(link))
      socket?.on('close', () => cut(link))
    }
    near.on('data', (request) => {
      if (fault.kind === 'blackhole') link.lostBytes = true
      else if (isHeld(link, request)) link.held.push(request)
      else far?.write(request)
    })
    far?.on('data', (reply) => passReply(link, reply))
  })

  function isHeld(link: Link, request: Buffer): boolean {
    if (fault.kind !== 'hold') return false
    if (link.held.length === 0 && (!request.includes(fault.text) || toPass-- > 0)) return false
    held++
    return true
  }

  function passReply(link: Link, reply: Buffer): void {
    switch (fault.kind) {
      case 'swallow':
      case 'blackhole':
        link.lostBytes = true
        return
      case 'delay': {
        const { ms } = fault
        const rested = pause(ms)
        link.delayed = link.delayed.then(() => rested).then(() => deliver(link, reply))
        return
      }
      case 'cut':
        if (reply.length >= link.bytesLeft) {
          replyBytes += link.bytesLeft
          endAfter(link, reply.subarray(0, link.bytesLeft))
          return
        }
        link.bytesLeft -= reply.length
        deliver(link, reply)
        return
      default:
        // After a delay has healed, pieces that are still delayed come first.
        link.delayed = link.delayed.then(() => deliver(link, reply))
    }
  }

  /** The last bytes arrive before the end of the connection: a reset would take back what the client has not read yet. */
  function endAfter(link: Link, last: Buffer): void {
    link.far?.removeAllListeners('close').destroy()
    link.near.removeAllListeners('data').resume()
    link.near.end(last)
    setTimeout(() => cut(link), LAST_BYTES_MS).unref()
  }

  function deliver(link: Link, reply: Buffer): void {
    if (link.near.destroyed) return
    replyBytes += reply.length
    link.near.write(reply)
  }

  function cut(link: Link): void {
    links.delete(link)
    link.near.destroy()
    link.far?.destroy()
  }

  function set(next: Fault): void {
    fault = next
    for (const link of links) {
      link.bytesLeft = next.kind === 'cut' ? next.bytes : 0
      for (const request of link.held.splice(0)) link.far?.write(request)
    }
  }

  async function listen(port: number): Promise<void> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }

  const port = await freePort()
  await listen(port)
  t.after(() => {
    server.close()
    for (const link of links) cut(link)
  })

  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get connections() {
      return links.size
    },
    get accepted() {
      return accepted
    },
    get replyBytes() {
      return replyBytes
    },
    leadTo(next) {
      target = next
    },
    delay: (ms) => set({ kind: 'delay', ms }),
    swallowReplies: () => set({ kind: 'swallow' }),
    cutAfterReplyBytes: (bytes) => set({ kind: 'cut', bytes }),
    blackhole: () => set({ kind: 'blackhole' }),
    async refuse() {
      set({ kind: 'refuse' })
      // Does not wait for 'close', which comes only after the last open connection has ended.
      server.close()
    },
    hold(text, passed = 0) {
      set({ kind: 'hold', text })
      toPass = passed
      held = 0
    },
    get held() {
      return held
    },
    dropAll: () => {
      for (const link of links) cut(link)
    },
    async heal() {
      set({ kind: 'none' })
      for (const link of links) if (link.lostBytes) cut(link)
      if (!server.listening) await listen(port)
    },
  }
}

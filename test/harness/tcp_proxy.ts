/** A network between the program and its server that can be made to misbehave, and healed. */

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../../scripts/stage/free_port.ts'

/** One fault at a time: setting one ends the one before. Each bites connections already open and new ones alike. */
export interface TcpProxy {
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  /** How many connections are open through it. */
  readonly connections: number
  /** How many connections it has accepted since it began. */
  readonly accepted: number
  /** How many bytes of replies it has passed on since it began. */
  readonly replyBytes: number
  /** Every piece of a reply arrives this much later. */
  delay(ms: number): void
  /** Requests reach the server and are carried out; replies are lost. */
  swallowReplies(): void
  /** Every connection is cut after `n` more bytes of replies: in the middle of one, if `n` says so. */
  cutAfterReplyBytes(n: number): void
  /** Accepts connections and is silent: nothing reaches the server either. */
  blackhole(): void
  /**
   * A request that holds this text, the first `passed` of them aside, waits here with all that follows it on its
   * connection until the fault ends: so a test can do something between two commands of the program.
   */
  hold(text: string, passed?: number): void
  /** How many requests were held since `hold()`. */
  readonly held: number
  /** Connections from now on lead to this port of 127.0.0.1, where something else may listen. Lasts until told again. */
  leadTo(port: number): void
  /** Stops listening: a new connection gets ECONNREFUSED. Those open are left alone. */
  refuse(): Promise<void>
  /** Destroys the connections that are open now. No lasting fault. */
  dropAll(): void
  /** Ends every fault. Connections that lost bytes to one are cut: what they carry no longer makes sense. */
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
  /** Replies still to pass before the fault `cut` strikes this connection. */
  bytesLeft: number
  lostBytes: boolean
  /** Requests that wait here for the fault `hold` to end. */
  held: Buffer[]
  /** Keeps delayed pieces in order: each waits for the one before. */
  delayed: Promise<void>
}

/** Starts a proxy to 127.0.0.1:`targetPort` on a port of its own; it is gone when the test ends. */
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
          link.near.end(reply.subarray(0, link.bytesLeft), () => cut(link))
          link.far?.destroy()
          return
        }
        link.bytesLeft -= reply.length
        deliver(link, reply)
        return
      default:
        // After a delay was healed, what is still on its way goes first.
        link.delayed = link.delayed.then(() => deliver(link, reply))
    }
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
      // Not waiting for 'close': that comes only once the connections still open are gone.
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

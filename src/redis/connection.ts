/** A connection whose every reply has a deadline; it is closed when one passes. Only this file imports node-redis. */
import { ConnectionTimeoutError, ErrorReply, RESP_TYPES, RedisClient } from '@redis/client'
import { type Address, formatAddress } from './address.ts'
import { Fault, Refusal, type Reply } from './refusal.ts'

export type { Reply } from './refusal.ts'
export type Command = readonly (string | Buffer)[]

export interface Credentials {
  readonly username: string | null
  readonly password: string | null
}

export interface TlsOptions {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
  /** The name to expect in the server's certificate, also sent as SNI. */
  readonly servername?: string
}

/** How to reach a server, whatever its address. */
export interface Reach {
  /** Called for every connection, so a rotated password file takes effect. May throw a Fault. */
  readonly credentials: () => Credentials
  readonly database: number
  /** Called for every connection; null for a plain one. */
  readonly tls: (() => TlsOptions) | null
  /** Deadline for connecting, and for each batch of replies, in milliseconds. */
  readonly replyTimeoutMs: number
  /** Whether the servers are nodes of a cluster. */
  readonly inCluster?: boolean
}

export interface Connection {
  readonly address: Address
  /**
   * Sends the commands in one write and waits for all replies, in order. An error reply becomes a Refusal in its place.
   * @throws Fault when the connection is lost (`connect`) or the deadline passes (`timeout`), with the replies received
   * until then. The connection is unusable afterwards.
   */
  ask(commands: readonly Command[]): Promise<Reply[]>
  /**
   * Passes every message on the channel to `listener` from now on. Only PING may be sent afterwards.
   * @returns the refusal if Redis refuses the subscription, else null
   * @throws Fault when the connection is lost or the deadline passes
   */
  subscribe(channel: string, listener: (message: Buffer) => void): Promise<Refusal | null>
  /** Resolves when the connection has ended, with the reason. */
  readonly ended: Promise<Fault>
  /** Ends the connection now, without waiting for replies. */
  close(): void
}

/**
 * How long to wait for replies after a stop was requested. Redis answers a page in milliseconds, and a frozen Redis must not
 * keep a pod from ending.
 */
const STOP_GRACE_MS = 2000

/** The part of node-redis used here. Its own type takes seconds to check and does not match its own factory. */
interface Client {
  connect(): Promise<unknown>
  sendCommand(args: Command): Promise<Reply>
  subscribe(channel: string, listener: (message: Buffer) => void, bufferMode: true): Promise<unknown>
  destroy(): void
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: () => void): unknown
}

/** Opens a connection, which closes two seconds after `stop` at the latest. @throws Fault */
export async function connect(address: Address, reach: Reach, stop?: AbortSignal): Promise<Connection> {
  const client = makeClient(address, reach)
  let lost: Error | undefined
  const { promise: ended, resolve: end } = Promise.withResolvers<Fault>()
  client.on('error', (error) => {
    lost ??= error
    end(asFault(error, address))
  })

  const waiting = new Set<(fault: Fault) => void>()
  const close = (fault = new Fault('connect', 'the connection was closed')): void => {
    stop?.removeEventListener('abort', startGrace)
    clearTimeout(grace)
    // A later `ask` fails with the same reason.
    lost ??= fault
    end(fault)
    // Reject the waiting commands before destroy() rejects them with an error that hides the reason.
    for (const reject of waiting) reject(fault)
    // destroy() does not end a socket that is still connecting: destroy again once it has connected.
    client.on('connect', () => client.destroy())
    client.destroy()
  }

  let grace: NodeJS.Timeout | undefined
  const startGrace = (): void => {
    grace = setTimeout(
      () => close(new Fault('timeout', `no reply within ${STOP_GRACE_MS} ms of being asked to stop`)),
      STOP_GRACE_MS,
    )
  }
  if (stop?.aborted) startGrace()
  else stop?.addEventListener('abort', startGrace, { once: true })

  /** Runs `work` with the reply deadline. If it passes, closes the connection: nobody would match its late replies to commands. */
  const within = <T>(work: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      let reading: NodeJS.Immediate | undefined
      const settle = (then: () => void): void => {
        clearTimeout(timer)
        clearImmediate(reading)
        waiting.delete(fail)
        then()
      }
      const fail = (error: Error): void => settle(() => reject(asFault(lost ?? error, address)))
      const timer = setTimeout(() => {
        // After a pause of this process the timer fires before the replies that arrived meanwhile are read. Read them first.
        reading = setImmediate(() => {
          reading = setImmediate(giveUp)
        })
      }, reach.replyTimeoutMs)
      const giveUp = (): void =>
        close(new Fault('timeout', `no reply within ${reach.replyTimeoutMs} ms from ${formatAddress(address)}`))
      waiting.add(fail)
      work((value) => settle(() => resolve(value)), fail)
    })

  const ask = async (commands: readonly Command[]): Promise<Reply[]> => {
    let sent: readonly Promise<Reply>[] = []
    try {
      return await within((resolve, reject) => {
        // Use the same two functions for all replies: a closure for each costs a tenth of a sweep's speed.
        sent = commands.map((command) => client.sendCommand(command).then(asReply, asRefusal))
        Promise.all(sent).then(resolve, reject)
      })
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      const { code, message, cause } = error
      throw new Fault(code, message, { cause }, await receivedReplies(sent))
    }
  }

  const subscribe = (channel: string, listener: (message: Buffer) => void): Promise<Refusal | null> =>
    within<Refusal | null>((resolve, reject) => {
      client
        .subscribe(channel, listener, true)
        .then(() => null, asRefusal)
        .then(resolve, reject)
    })

  try {
    await within<unknown>((resolve, reject) => {
      client.connect().then(resolve, reject)
    })
    lost = undefined
    await introduce(ask, reach.inCluster ?? false)
    return { address, ask, subscribe, ended, close: () => close() }
  } catch (error) {
    close()
    throw error
  }
}

/**
 * Added to node-redis's own connect deadline, so that ours, which still reads late replies, comes first. The later one cleans
 * up a socket that was still connecting when we gave up.
 */
const CONNECT_DEADLINE_MARGIN_MS = 1000

/** RESP2 does not need HELLO, which an ACL may forbid and which drops a user name given without a password. */
const RESP = 2

/**
 * Makes a client of the one class with node-redis's commands. Its `createClient` makes that class anew, in 10 ms, whenever the
 * options differ from those of the call before: at every connection to a cluster.
 */
const newClient = RedisClient.factory({ RESP })

function makeClient(address: Address, reach: Reach): Client {
  const { username, password } = reach.credentials()
  return newClient({
    RESP,
    socket:
      'path' in address
        ? { path: address.path, tls: false, reconnectStrategy: false }
        : {
            ...address,
            ...(reach.tls === null ? {} : { ...reach.tls(), tls: true }),
            connectTimeout: reach.replyTimeoutMs + CONNECT_DEADLINE_MARGIN_MS,
            reconnectStrategy: false,
          },
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    database: reach.database,
    // Commands queued before the handshake run even if AUTH or SELECT fails, and then on the wrong database.
    disableOfflineQueue: true,
    // A timer for each command would halve the speed; `ask` sets one for each batch.
    commandOptions: { timeout: 0, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    disableClientInfo: true,
    maintNotifications: 'disabled',
  } as Parameters<typeof newClient>[0]) as unknown as Client
}

/**
 * Sets a name for CLIENT LIST, and NO-TOUCH, so that looking at a stream does not reset its idle time. An older server or
 * an ACL may refuse either without harm; a server that refuses every command is noticed here.
 *
 * Never NO-TOUCH in a cluster: it makes Redis 8.0.2 and Valkey 8.1.1 crash at the first command on an existing key whose slot
 * is being moved.
 */
async function introduce(ask: Connection['ask'], inCluster: boolean): Promise<void> {
  const setName = ask([['CLIENT', 'SETNAME', 'xtrimd']])
  const setNoTouch = inCluster ? Promise.resolve() : ask([['CLIENT', 'NO-TOUCH', 'ON']])
  // A server with too many clients answers the first command with an error and hangs up on the second.
  setNoTouch.catch(() => {})
  const [reply] = await setName
  if (reply instanceof Refusal && (reply.word === 'NOAUTH' || /max number of clients/.test(reply.message))) {
    throw Fault.of(reply)
  }
  await setNoTouch
}

const UNANSWERED = Symbol('unanswered')

/** The replies received so far. Redis answers in order. */
async function receivedReplies(sent: readonly Promise<Reply>[]): Promise<Reply[]> {
  const unanswered = Promise.resolve(UNANSWERED)
  const settled = await Promise.all(
    sent.map((reply) => Promise.race([reply, unanswered]).catch(() => UNANSWERED) as Promise<Reply | symbol>),
  )
  const first = settled.indexOf(UNANSWERED)
  return (first < 0 ? settled : settled.slice(0, first)) as Reply[]
}

function asReply(reply: Reply): Reply {
  // Errors of commands inside a transaction arrive inside its reply.
  return Array.isArray(reply) && reply.some(isErrorReply)
    ? reply.map((part) => (isErrorReply(part) ? asRefusal(part) : part))
    : reply
}

function isErrorReply(reply: unknown): reply is Error {
  return reply instanceof ErrorReply
}

/** An error reply of Redis is an answer; any other error ended the connection. */
function asRefusal(error: Error): Refusal {
  if (isErrorReply(error)) return new Refusal(error.message)
  throw error
}

function asFault(error: Error, address: Address): Fault {
  if (error instanceof Fault) return error
  if (error instanceof ErrorReply) return Fault.of(new Refusal(error.message))
  // An AggregateError (every address of a host name failed) has an empty message.
  const first = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error
  const code = first instanceof ConnectionTimeoutError ? 'timeout' : 'connect'
  return new Fault(code, `${formatAddress(address)}: ${first.message || first.name}`, { cause: first })
}

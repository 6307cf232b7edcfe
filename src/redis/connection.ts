/** The one door to node-redis: a connection that answers within its deadline or is gone. */
import { ConnectionTimeoutError, createClient, ErrorReply, RESP_TYPES } from '@redis/client'
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
  /** The name to expect in the server's certificate, and to ask for. */
  readonly servername?: string
}

export interface Reach {
  /** Read at every connection, so that a rotated password file counts. May throw a Fault. */
  readonly credentials: () => Credentials
  readonly database: number
  /** Null for a plain connection. Read at every one as well. */
  readonly tls: (() => TlsOptions) | null
  /** The longest that connecting, or one batch of replies, may take, in milliseconds. */
  readonly replyTimeoutMs: number
}

export interface Connection {
  readonly address: Address
  /**
   * Sends the commands in one write and waits for all replies, in order. An error reply is a Refusal in its place.
   * @throws Fault when the connection is lost (`connect`) or the deadline passes (`timeout`), with the replies that had
   * come; it is unusable then
   */
  ask(commands: readonly Command[]): Promise<Reply[]>
  /**
   * Gives every message on the channel to `listener` from now on. Nothing but PING may be asked afterwards.
   * @throws Fault also where Redis does not allow it
   */
  subscribe(channel: string, listener: (message: Buffer) => void): Promise<void>
  /** Resolves when the connection is gone, with what ended it. */
  readonly ended: Promise<Fault>
  /** Ends the connection now, whatever is under way. */
  close(): void
}

/**
 * How long replies are still waited for once a stop was asked: a page is answered in milliseconds, and a frozen Redis
 * must not keep a pod from ending.
 */
const STOP_GRACE_MS = 2000

/** What of node-redis is used. Its own type takes seconds to check and does not fit its own factory. */
interface Client {
  connect(): Promise<unknown>
  sendCommand(args: Command): Promise<Reply>
  subscribe(channel: string, listener: (message: Buffer) => void, bufferMode: true): Promise<unknown>
  destroy(): void
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: () => void): unknown
}

/** Opens a connection. After `stop` its replies are waited for a grace of two seconds only. @throws Fault */
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
    stop?.removeEventListener('abort', hurry)
    clearTimeout(grace)
    // Who asks now is told what ended it, too.
    lost ??= fault
    end(fault)
    // Its commands are rejected first, so that they tell the reason and not what destroy() makes of it.
    for (const reject of waiting) reject(fault)
    // A socket that is still being connected is not ended with its client, and would be let in when it is through.
    client.on('connect', () => client.destroy())
    client.destroy()
  }

  let grace: NodeJS.Timeout | undefined
  const hurry = (): void => {
    grace = setTimeout(
      () => close(new Fault('timeout', `no reply within ${STOP_GRACE_MS} ms of being asked to stop`)),
      STOP_GRACE_MS,
    )
  }
  if (stop?.aborted) hurry()
  else stop?.addEventListener('abort', hurry, { once: true })

  /** The deadline of one wait: destroys the connection when it passes, since what it still answers is nobody's. */
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
        // A process that stood still finds the time over first, and then what came meanwhile: that is read before.
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
        // The same two functions for all: closures of their own for each of a thousand replies cost a tenth of a sweep.
        sent = commands.map((command) => client.sendCommand(command).then(asReply, asRefusal))
        Promise.all(sent).then(resolve, reject)
      })
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      const { code, message, cause } = error
      throw new Fault(code, message, { cause }, await answersTo(sent))
    }
  }

  const subscribe = (channel: string, listener: (message: Buffer) => void): Promise<void> =>
    within((resolve, reject) => {
      client.subscribe(channel, listener, true).then(() => resolve(), reject)
    })

  try {
    await within<unknown>((resolve, reject) => {
      client.connect().then(resolve, reject)
    })
    lost = undefined
    await greet(ask)
    return { address, ask, subscribe, ended, close: () => close() }
  } catch (error) {
    close()
    throw error
  }
}

/**
 * node-redis has a deadline for connecting too, and would be first where ours gives a late reply its chance. It ends what a
 * connection leaves behind that was given up while its socket was being made.
 */
const ITS_OWN_DEADLINE_LATER_MS = 1000

function makeClient(address: Address, reach: Reach): Client {
  const { username, password } = reach.credentials()
  return createClient({
    // RESP2 needs no HELLO, which an ACL may not allow and which drops a user name that comes without a password.
    RESP: 2,
    socket:
      'path' in address
        ? { path: address.path, tls: false, reconnectStrategy: false }
        : {
            ...address,
            ...(reach.tls === null ? {} : { ...reach.tls(), tls: true }),
            connectTimeout: reach.replyTimeoutMs + ITS_OWN_DEADLINE_LATER_MS,
            reconnectStrategy: false,
          },
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    database: reach.database,
    // Commands queued before the handshake is through run even where AUTH or SELECT fails: on the wrong database.
    disableOfflineQueue: true,
    // A timer per command would halve the speed; `ask` has one per batch.
    commandOptions: { timeout: 0, typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
    disableClientInfo: true,
    maintNotifications: 'disabled',
  } as Parameters<typeof createClient>[0]) as unknown as Client
}

/**
 * The first words: a name for CLIENT LIST, and NO-TOUCH, so that looking at streams does not make them look hot. Both
 * may be refused (an older server, an ACL) without harm; a server that refuses everything is found out here.
 */
async function greet(ask: Connection['ask']): Promise<void> {
  const named = ask([['CLIENT', 'SETNAME', 'xtrimd']])
  const untouching = ask([['CLIENT', 'NO-TOUCH', 'ON']])
  // A server with too many clients says so to the first command and hangs up on the second.
  untouching.catch(() => {})
  const [reply] = await named
  if (reply instanceof Refusal && (reply.word === 'NOAUTH' || /max number of clients/.test(reply.message))) {
    throw Fault.of(reply)
  }
  await untouching
}

const UNANSWERED = Symbol('unanswered')

/** The replies that have come; Redis answers in order. */
async function answersTo(sent: readonly Promise<Reply>[]): Promise<Reply[]> {
  const unanswered = Promise.resolve(UNANSWERED)
  const settled = await Promise.all(
    sent.map((reply) => Promise.race([reply, unanswered]).catch(() => UNANSWERED) as Promise<Reply | symbol>),
  )
  const first = settled.indexOf(UNANSWERED)
  return (first < 0 ? settled : settled.slice(0, first)) as Reply[]
}

function asReply(reply: Reply): Reply {
  // Errors of commands inside a transaction come inside its reply.
  return Array.isArray(reply) && reply.some(isErrorReply)
    ? reply.map((part) => (isErrorReply(part) ? asRefusal(part) : part))
    : reply
}

function isErrorReply(reply: unknown): reply is Error {
  return reply instanceof ErrorReply
}

/** An error that Redis replied is an answer; any other is the end of the connection. */
function asRefusal(error: Error): Refusal {
  if (isErrorReply(error)) return new Refusal(error.message)
  throw error
}

function asFault(error: Error, address: Address): Fault {
  if (error instanceof Fault) return error
  if (error instanceof ErrorReply) return Fault.of(new Refusal(error.message))
  // An AggregateError (several addresses of one name tried) has no message of its own.
  const first = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error
  const code = first instanceof ConnectionTimeoutError ? 'timeout' : 'connect'
  return new Fault(code, `${formatAddress(address)}: ${first.message || first.name}`, { cause: first })
}

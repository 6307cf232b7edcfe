/** Which servers hold the streams right now: asked anew for each sweep, so a failover costs at most the one under way. */
import { type Address, formatAddress } from './address.ts'
import { type Command, type Connection, connect, type Reach, type Reply } from './connection.ts'
import { Fault, Refusal } from './refusal.ts'

/** What the addresses lead to: one server, nodes of a cluster, or sentinels that know a primary by the name `master`. */
export type Topology =
  | { readonly mode: 'standalone'; readonly addresses: readonly Address[] }
  | { readonly mode: 'cluster'; readonly addresses: readonly Address[] }
  | { readonly mode: 'sentinel'; readonly addresses: readonly Address[]; readonly master: string }

/** The primaries as they are now. `layout` differs whenever keys may have moved from one to another. */
export interface Primaries {
  readonly addresses: readonly Address[]
  readonly layout: string
  /** Whether keys are spread over them by slots, which may be on their way from one to another. */
  readonly haveSlots: boolean
}

const SLOTS = 16_384

/** Finds the primaries. @throws Fault where nobody who should know answers, or nobody serves */
export async function findPrimaries(topology: Topology, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const { mode, addresses } = topology
  if (mode === 'standalone') return { addresses, layout: '', haveSlots: false }
  const ask = mode === 'cluster' ? askCluster : (address: Address) => askSentinel(address, topology.master, reach, stop)
  return firstToAnswer(addresses.map((address) => ask(address, reach, stop)))
}

/** The first answer; when none comes, the first fault. */
async function firstToAnswer<T>(answers: readonly Promise<T>[]): Promise<T> {
  try {
    return await Promise.any(answers)
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error
  }
}

async function askCluster(seed: Address, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const reply = await askOnce(seed, reach, ['CLUSTER', 'SLOTS'], stop)
  const addresses = new Map<string, Address>()
  const layout: string[] = []
  let covered = 0
  for (const [from, to, primary] of reply as readonly (readonly [number, number, readonly Reply[]])[]) {
    // A node that does not know its own name or address means the one it was asked at.
    const host = String(primary[0] ?? '') || ('host' in seed ? seed.host : '')
    const address = { host, port: Number(primary[1]) }
    addresses.set(formatAddress(address), address)
    layout.push(`${from}-${to} ${formatAddress(address)}`)
    covered += to - from + 1
  }
  if (covered < SLOTS) throw new Fault('CLUSTERDOWN', `${SLOTS - covered} of ${SLOTS} slots have no primary`)
  return { addresses: [...addresses.values()], layout: layout.sort().join('\n'), haveSlots: true }
}

async function askSentinel(sentinel: Address, master: string, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]
  const open = { ...reach, database: 0, credentials: () => ({ username: null, password: null }) }
  let reply: Reply
  try {
    reply = await askOnce(sentinel, open, command, stop)
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'NOAUTH') throw error
    // A sentinel with a password: the same one as Redis's, as most set it.
    reply = await askOnce(sentinel, { ...reach, database: 0 }, command, stop)
  }
  if (!Array.isArray(reply))
    throw new Fault('other', `--sentinel-master: sentinel ${formatAddress(sentinel)} knows no master of this name`)
  const address = { host: String(reply[0]), port: Number(reply[1]) }
  return { addresses: [address], layout: formatAddress(address), haveSlots: false }
}

async function askOnce(address: Address, reach: Reach, command: Command, stop?: AbortSignal): Promise<Reply> {
  return withConnection(address, reach, stop, async ({ ask }) => {
    const [reply] = await ask([command])
    if (reply instanceof Refusal) throw Fault.of(reply)
    return reply ?? null
  })
}

/** Works on a connection that is closed behind the work. @throws Fault, also where the connection cannot be made */
export async function withConnection<T>(
  address: Address,
  reach: Reach,
  stop: AbortSignal | undefined,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect(address, reach, stop).catch((error: unknown) => {
    throw error instanceof Fault ? askingForTls(error, reach.tls !== null) : error
  })
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

/**
 * One side that speaks TLS to another that does not looks like many another fault: a server without TLS waits for the end
 * of a line, one with TLS hangs up. So the fault asks.
 */
function askingForTls(fault: Fault, weSpeakIt: boolean): Fault {
  const { code, message, cause } = fault
  if (weSpeakIt && /^no reply within \d+ ms from/.test(message))
    return new Fault(code, `${message}: is this a TLS port?`, { cause })
  if (!weSpeakIt && /ECONNRESET|closed unexpectedly|Unknown RESP type/.test(message))
    return new Fault(code, `${message}: does this port want TLS, and so a rediss: URL?`, { cause })
  return fault
}

/** The slots of one node, as it says itself in its own line of `CLUSTER NODES`. */
export interface OwnSlots {
  /** Ranges that it serves, as one text. */
  readonly served: string
  /** Whether some are open, `[slot->-id]` or `[slot-<-id]`: their keys move one by one, and one may be on neither side. */
  readonly areOpen: boolean
}

/** Asks a node for its slots. @throws Fault where Redis does not allow to ask */
export async function readOwnSlots({ ask }: Connection): Promise<OwnSlots> {
  const [reply] = await ask([['CLUSTER', 'NODES']])
  if (reply instanceof Refusal) throw Fault.of(reply)
  const own = String(reply)
    .split('\n')
    .find((line) => / (?:\S+,)?myself\b/.test(line))
  // Eight fields stand before the slots.
  const slots = own?.split(' ').slice(8) ?? []
  const isOpen = (slot: string): boolean => slot.startsWith('[')
  return { served: slots.filter((slot) => !isOpen(slot)).join(' '), areOpen: slots.some(isOpen) }
}

/** Where a slot has gone, out of `MOVED <slot> <host>:<port>`; null for another refusal. */
export function movedTo(refusal: Refusal, asked: Address): Address | null {
  const parts = /^MOVED \d+ (.*):(\d+)$/.exec(refusal.message)
  if (parts === null) return null
  return { host: parts[1] || ('host' in asked ? asked.host : ''), port: Number(parts[2]) }
}

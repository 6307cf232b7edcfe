/** Finds the servers that hold the streams. Every sweep asks again, so a failover costs at most the sweep in progress. */
import { type Address, formatAddress } from './address.ts'
import { type Command, type Connection, connect, type Reach, type Reply } from './connection.ts'
import { Fault, Refusal } from './refusal.ts'
import { faultOf, nameOf } from './refused.ts'
import { SLOTS, type SlotRange, slotOf } from './slots.ts'

/** What the addresses are: one server, nodes of a cluster, or sentinels that know the primary as `master`. */
export type Topology =
  | { readonly mode: 'standalone'; readonly addresses: readonly Address[] }
  | { readonly mode: 'cluster'; readonly addresses: readonly Address[] }
  | { readonly mode: 'sentinel'; readonly addresses: readonly Address[]; readonly master: string }

/** The current primaries. */
export interface Primaries {
  readonly addresses: readonly Address[]
  /** A text that differs whenever keys may have moved from one primary to another. */
  readonly layout: string
  /** Whether keys are spread over the primaries by slots, as in a cluster. */
  readonly haveSlots: boolean
  /** Which slots they serve; empty outside a cluster. */
  readonly slots: readonly SlotRange[]
}

/** @throws Fault if no cluster node or sentinel answers, or none knows a primary */
export async function findPrimaries(topology: Topology, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const { mode, addresses } = topology
  if (mode === 'standalone') return { addresses, layout: '', haveSlots: false, slots: [] }
  return mode === 'cluster'
    ? firstComplete(addresses.map((address) => askCluster(address, reach, stop)))
    : firstToAnswer(addresses.map((address) => askSentinel(address, topology.master, reach, stop)))
}

/** The primary of a key; undefined if none serves its slot. */
export function primaryOf(key: string | Uint8Array, { addresses, haveSlots, slots }: Primaries): Address | undefined {
  if (!haveSlots) return addresses[0]
  const slot = slotOf(key)
  return slots.find(({ from, to }) => from <= slot && slot <= to)?.address
}

/** A Fault if some slots have no primary, else null. */
export function gapIn(primaries: Primaries): Fault | null {
  const gap = primaries.haveSlots ? SLOTS - servedSlots(primaries) : 0
  return gap > 0 ? new Fault('CLUSTERDOWN', `${gap} of ${SLOTS} slots have no primary`) : null
}

function servedSlots({ slots }: Primaries): number {
  return slots.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}

/** The first answer that covers every slot (a node that just joined knows few); else the one that covers most. */
async function firstComplete(answers: readonly Promise<Primaries>[]): Promise<Primaries> {
  const complete = answers.map(async (answer) => {
    const gap = gapIn(await answer)
    if (gap !== null) throw gap
    return answer
  })
  return Promise.any(complete).catch(async () => {
    const settled = await Promise.allSettled(answers)
    const known = settled.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    const [most] = known.sort((a, b) => servedSlots(b) - servedSlots(a))
    return most ?? firstToAnswer(answers)
  })
}

/** The first answer; if all fail, the first fault. */
async function firstToAnswer<T>(answers: readonly Promise<T>[]): Promise<T> {
  try {
    return await Promise.any(answers)
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error
  }
}

async function askCluster(seed: Address, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const reply = await askOnce(seed, reach, ['CLUSTER', 'SLOTS'], 'cluster', stop)
  const slots = (reply as readonly (readonly [number, number, readonly Reply[]])[]).map(([from, to, primary]) => {
    // A node that does not know its own host sends none: use the one we asked.
    const host = String(primary[0] ?? '') || ('host' in seed ? seed.host : '')
    return { from, to, address: { host, port: Number(primary[1]) } }
  })
  const addresses = new Map(slots.map(({ address }) => [formatAddress(address), address]))
  const layout = slots.map(({ from, to, address }) => `${from}-${to} ${formatAddress(address)}`)
  return { addresses: [...addresses.values()], layout: layout.sort().join('\n'), haveSlots: true, slots }
}

async function askSentinel(sentinel: Address, master: string, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const command = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', master]
  const withoutPassword = { ...reach, database: 0, credentials: () => ({ username: null, password: null }) }
  let reply: Reply
  try {
    reply = await askOnce(sentinel, withoutPassword, command, 'sentinel', stop)
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'NOAUTH') throw error
    // The sentinel wants a password: most people give it the same one as Redis.
    reply = await askOnce(sentinel, { ...reach, database: 0 }, command, 'sentinel', stop)
  }
  if (!Array.isArray(reply))
    throw new Fault('other', `sentinel ${formatAddress(sentinel)} does not know --sentinel-master ${master}`)
  const address = { host: String(reply[0]), port: Number(reply[1]) }
  return { addresses: [address], layout: formatAddress(address), haveSlots: false, slots: [] }
}

async function askOnce(
  address: Address,
  reach: Reach,
  command: Command,
  mode: Topology['mode'],
  stop?: AbortSignal,
): Promise<Reply> {
  return withConnection(address, reach, stop, async ({ ask }) => {
    const [reply] = await ask([command])
    if (reply instanceof Refusal) throw faultOf(reply, nameOf(command), `--redis-mode ${mode}`)
    return reply ?? null
  })
}

/** Opens a connection, runs `work` with it, and closes it. @throws Fault, also if it cannot connect */
export async function withConnection<T>(
  address: Address,
  reach: Reach,
  stop: AbortSignal | undefined,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect(address, reach, stop).catch((error: unknown) => {
    throw error instanceof Fault ? withTlsHint(error, reach.tls !== null) : error
  })
  try {
    return await work(connection)
  } finally {
    connection.close()
  }
}

/**
 * If only one side speaks TLS, the fault looks like many others: a server without TLS waits for the end of a line, one with
 * TLS hangs up. So add a question to the message.
 */
function withTlsHint(fault: Fault, weUseTls: boolean): Fault {
  const { code, message, cause } = fault
  if (weUseTls && /^no reply within \d+ ms from/.test(message))
    return new Fault(code, `${message}: is this a TLS port?`, { cause })
  if (!weUseTls && /ECONNRESET|closed unexpectedly|Unknown RESP type/.test(message))
    return new Fault(code, `${message}: does this port require TLS (a rediss:// URL)?`, { cause })
  return fault
}

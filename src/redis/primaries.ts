/** Which servers hold the streams right now: asked anew for each sweep, so a failover costs at most the one under way. */
import { type Address, formatAddress } from './address.ts'
import { type Command, type Connection, connect, type Reach, type Reply } from './connection.ts'
import { Fault, Refusal } from './refusal.ts'
import { SLOTS, type SlotRange, slotOf } from './slots.ts'

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
  /** Which slots they serve; none where keys are not spread. */
  readonly slots: readonly SlotRange[]
}

/** Finds the primaries. @throws Fault where nobody who should know answers, or nobody serves */
export async function findPrimaries(topology: Topology, reach: Reach, stop?: AbortSignal): Promise<Primaries> {
  const { mode, addresses } = topology
  if (mode === 'standalone') return { addresses, layout: '', haveSlots: false, slots: [] }
  return mode === 'cluster'
    ? firstWhole(addresses.map((address) => askCluster(address, reach, stop)))
    : firstToAnswer(addresses.map((address) => askSentinel(address, topology.master, reach, stop)))
}

/** The primary that a key belongs to; undefined where nobody serves its slot. */
export function primaryOf(key: string, { addresses, haveSlots, slots }: Primaries): Address | undefined {
  if (!haveSlots) return addresses[0]
  const slot = slotOf(key)
  return slots.find(({ from, to }) => from <= slot && slot <= to)?.address
}

/** What is wrong where some slots have no primary; null where each has one. */
export function gapIn(primaries: Primaries): Fault | null {
  const gap = primaries.haveSlots ? SLOTS - servedSlots(primaries) : 0
  return gap > 0 ? new Fault('CLUSTERDOWN', `${gap} of ${SLOTS} slots have no primary`) : null
}

function servedSlots({ slots }: Primaries): number {
  return slots.reduce((sum, { from, to }) => sum + to - from + 1, 0)
}

/** The first answer without a gap, since a node that is new to a cluster knows little of it; else the one that knows most. */
async function firstWhole(answers: readonly Promise<Primaries>[]): Promise<Primaries> {
  const wholes = answers.map(async (answer) => {
    const gap = gapIn(await answer)
    if (gap !== null) throw gap
    return answer
  })
  return Promise.any(wholes).catch(async () => {
    const settled = await Promise.allSettled(answers)
    const known = settled.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    const [most] = known.sort((a, b) => servedSlots(b) - servedSlots(a))
    return most ?? firstToAnswer(answers)
  })
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
  const slots = (reply as readonly (readonly [number, number, readonly Reply[]])[]).map(([from, to, primary]) => {
    // A node that does not know its own name or address means the one it was asked at.
    const host = String(primary[0] ?? '') || ('host' in seed ? seed.host : '')
    return { from, to, address: { host, port: Number(primary[1]) } }
  })
  const addresses = new Map(slots.map(({ address }) => [formatAddress(address), address]))
  const layout = slots.map(({ from, to, address }) => `${from}-${to} ${formatAddress(address)}`)
  return { addresses: [...addresses.values()], layout: layout.sort().join('\n'), haveSlots: true, slots }
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
  return { addresses: [address], layout: formatAddress(address), haveSlots: false, slots: [] }
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

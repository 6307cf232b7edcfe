/** Works on the primary that holds one key, and follows the key where its slot moves. */
import type { Address } from '../redis/address.ts'
import type { Command, Connection, Reach, Reply } from '../redis/connection.ts'
import { findPrimaries, primaryOf, type Topology, withConnection } from '../redis/primaries.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { Refused } from '../redis/refused.ts'
import { redirectionOf } from '../redis/slots.ts'

/** Redirections to follow; a slot rarely moves even twice in the time that the work takes. */
const MAX_REDIRECTIONS = 3

/**
 * Runs the work on the primary of the key. If that refuses with MOVED or ASK, runs it again on the node it names.
 * @throws Fault, Refused
 */
export async function onPrimaryOf<T>(
  key: Buffer,
  topology: Topology,
  reach: Reach,
  stop: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const address = primaryOf(key, await findPrimaries(topology, reach, stop))
  if (address === undefined) throw noPrimary()
  let node = { address, asking: false }
  for (let redirections = 0; ; redirections++) {
    const { asking } = node
    try {
      return await withConnection(node.address, reach, stop, (connection) =>
        work(asking ? { ...connection, ask: askingFirst(connection) } : connection),
      )
    } catch (error) {
      const redirection = error instanceof Refused ? redirectionOf(error.refusal, node.address) : null
      if (redirection === null || redirections === MAX_REDIRECTIONS) throw error
      node = redirection
    }
  }
}

/** The node that takes over a slot answers a command only right after `ASKING`. */
function askingFirst({ ask }: Connection): Connection['ask'] {
  return async (commands) => {
    const replies = await ask(commands.flatMap((command) => [['ASKING'], command]))
    return replies.filter((_, i) => i % 2 === 1)
  }
}

/** The server that has a key. In a cluster it is remembered, and looked up again after an error. */
export class KeyHome {
  readonly #key: string
  readonly #topology: Topology
  readonly #reach: Reach
  /** The cluster node that had the key last time; null to look it up. */
  #home: Address | null = null

  constructor(key: string, topology: Topology, reach: Reach) {
    this.#key = key
    this.#topology = topology
    this.#reach = reach
  }

  /** Undefined if no primary serves the slot of the key. @throws Fault */
  async find(stop?: AbortSignal): Promise<Address | undefined> {
    return this.#home ?? primaryOf(this.#key, await findPrimaries(this.#topology, this.#reach, stop))
  }

  /** Sends one command to the node, or to where it redirects us. Returns any other refusal. @throws Fault */
  async ask(node: Address | undefined, command: Command, stop?: AbortSignal): Promise<Reply> {
    let next = node && { address: node, asking: false }
    for (let redirections = 0; next !== undefined; redirections++) {
      const { address, asking } = next
      this.#home = null
      const commands = asking ? [['ASKING'], command] : [command]
      const replies = await withConnection(address, this.#reach, stop, ({ ask }) => ask(commands))
      const reply = replies.find((one) => one instanceof Refusal) ?? replies.at(-1) ?? null
      const redirection = reply instanceof Refusal ? redirectionOf(reply, address) : null
      if (redirection === null || redirections === MAX_REDIRECTIONS) {
        // Remember the node only in a cluster, which redirects us if it is wrong. A demoted primary behind Sentinel would not.
        if (this.#topology.mode === 'cluster' && !asking && !(reply instanceof Refusal)) this.#home = address
        return reply
      }
      next = redirection
    }
    throw noPrimary()
  }
}

function noPrimary(): Fault {
  return new Fault('CLUSTERDOWN', 'no primary serves the slot of the key')
}

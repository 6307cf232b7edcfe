/** Works on the primary that holds one key, and follows the key where its slot moves. */
import type { Connection, Reach } from './connection.ts'
import { findPrimaries, primaryOf, type Topology, withConnection } from './primaries.ts'
import { Fault } from './refusal.ts'
import { Refused } from './refused.ts'
import { redirectionOf } from './slots.ts'

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
  if (address === undefined) throw new Fault('CLUSTERDOWN', 'no primary serves the slot of the key')
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

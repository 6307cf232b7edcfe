/** Reads how far the groups of many streams are, with one command for each stream. */

import { leastCosts } from '../entries/bites.ts'
import { argument } from '../look/in_batches.ts'
import type { Ask } from '../redis/ask.ts'
import type { Reply } from '../redis/connection.ts'
import { Fault, isServerWide, Refusal } from '../redis/refusal.ts'
import { lackOf, type Missing } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import { readGroup } from './consumer_groups.ts'

/**
 * Calls `onGroup` for each group. Streams that are gone have none.
 * @returns false if Redis refuses the command, which it then does for every stream
 * @throws Fault when the connection fails or the whole server refuses
 */
export async function surveyGroups<Stream extends { readonly key: Buffer }>(
  ask: Ask,
  streams: readonly Stream[],
  missing: Missing,
  onGroup: (stream: Stream, group: Group) => void,
): Promise<boolean> {
  if (streams.length === 0) return true
  const replies = await ask(
    streams.map(({ key }) => ['XINFO', 'GROUPS', argument(key)]),
    leastCosts(streams.length),
  )
  for (const [i, stream] of streams.entries()) {
    const reply: Reply = replies[i] ?? null
    if (reply instanceof Refusal) {
      if (isServerWide(reply)) throw Fault.of(reply)
      const lack = lackOf('XINFO GROUPS', reply)
      if (lack === null) continue
      missing(lack.command, '--group-metrics', lack.why)
      return false
    }
    if (Array.isArray(reply)) for (const fields of reply) onGroup(stream, readGroup(fields))
  }
  return true
}

/** Counts what a stream that goes had not delivered to its groups. */

import { costOfReading, entriesWithin } from '../entries/bites.ts'
import { formatStreamId, nextStreamId } from '../entries/stream_id.ts'
import { readIds } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import { accepted } from '../redis/refused.ts'
import { furthestBehind, type Group } from '../retention/groups.ts'

/** Entries are read so many at once, or so many bytes of them, and this often at most. */
const MOST_ENTRIES = 1000
const MOST_BYTES = 256 * 1024
const MOST_READS = 10

/**
 * How many of `length` entries were never delivered to the group furthest behind. A lag may be too large: Redis before 8.0 keeps counting entries that were removed before the group
 * could read them. So the delivered entries are counted, up to 10,000 of `entryBytes` each; where there are more, the lag tells.
 * @throws Refused, Fault
 */
export async function countUnread(
  ask: Ask,
  key: Buffer,
  groups: readonly Group[],
  length: number,
  entryBytes: number,
): Promise<number> {
  const { lag = 0, lastDelivered } = furthestBehind(groups) ?? {}
  if (!lag || lastDelivered === undefined) return 0
  const count = entriesWithin(MOST_ENTRIES, MOST_BYTES, entryBytes)
  let delivered = 0
  let from = '-'
  for (let read = 0; read < MOST_READS; read++) {
    const command = ['XRANGE', key, from, formatStreamId(lastDelivered), 'COUNT', String(count)]
    const [reply] = await ask([command], costOfReading(count))
    const ids = readIds(accepted(reply, command))
    const last = ids.at(-1)
    delivered += ids.length
    if (ids.length < count || last === undefined) return Math.max(0, length - delivered)
    from = formatStreamId(nextStreamId(last))
  }
  return Math.min(lag, length - delivered)
}

/** Counts pending references whose entry does not exist, or will not once the stream is trimmed. */

import { costOfReading } from '../entries/bites.ts'
import { formatStreamId, isBefore, type StreamId } from '../entries/stream_id.ts'
import { missingCommand, missingRange, type ReferenceRange, readBitten } from '../groups/missing_references.ts'
import type { StreamEnds } from '../look/stream_ends.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { accepted, isGone } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { CountingWay } from './counting_way.ts'

/** The stream as trimming will leave it. */
export interface LeftByTrim {
  readonly entries: number
  /** Its first entry then; null for none. */
  readonly first: StreamId | null
}

/** References to missing entries in one group. */
export class MissingReferences {
  total = 0
  /** By the consumer's name as Latin-1. */
  readonly #byOwner = new Map<string, number>()

  add(owner: string, references: number): void {
    this.total += references
    this.#byOwner.set(owner, (this.#byOwner.get(owner) ?? 0) + references)
  }

  /** How many of them a consumer has. */
  of(name: Uint8Array): number {
    return this.#byOwner.get(Buffer.from(name).toString('latin1')) ?? 0
  }
}

export const NO_MISSING: Pick<MissingReferences, 'total' | 'of'> = new MissingReferences()

/** References that will be dangling: all before the first entry that trimming leaves, and after it those to deleted ones. */
export async function countMissing(
  key: Buffer,
  { rawName }: Group,
  left: LeftByTrim,
  ends: StreamEnds | null,
  { ask, way }: { readonly ask: Ask; readonly way: CountingWay },
): Promise<MissingReferences> {
  const sum = new MissingReferences()
  const isUnknown = left.first === null && left.entries > 0
  if (ends === null || isUnknown) return sum
  // Entries that trimming will remove still exist: what stands before the first one left is counted as it is.
  const before = left.first === null ? '+' : `(${formatStreamId(left.first)}`
  await countListed(key, rawName, before, ask, sum)
  if (left.first === null || (ends.deleted !== null && isBefore(ends.deleted, left.first))) return sum
  let rest: ReferenceRange | null = { ...missingRange(left.first, ends.deleted), from: formatStreamId(left.first) }
  while (rest !== null) {
    const range: ReferenceRange = rest
    const reply = await way.evaluate(ask, (evaluate) => missingCommand('count', evaluate, key, rawName, range))
    if (reply === null) return sum
    const bitten = readBitten(reply, range)
    for (const [owner, references] of bitten.owners) sum.add(owner, references)
    rest = bitten.rest
  }
  return sum
}

/** References that one look goes through. */
const LISTED_AT_ONCE = 500

/** Adds all references that a group has before an ID. */
async function countListed(
  key: Buffer,
  group: Uint8Array,
  to: string,
  ask: Ask,
  sum: MissingReferences,
): Promise<void> {
  for (let from = '-'; ; ) {
    const command: Command = ['XPENDING', key, Buffer.from(group), from, to, String(LISTED_AT_ONCE)]
    const [reply] = await ask([command], costOfReading(LISTED_AT_ONCE))
    if (reply instanceof Refusal && isGone(reply)) return
    const listed = accepted(reply, command) as readonly (readonly [id: Buffer, owner: Buffer])[]
    for (const [, owner] of listed) sum.add(owner.toString('latin1'), 1)
    const last = listed.at(-1)
    if (listed.length < LISTED_AT_ONCE || last === undefined) return
    from = `(${last[0]}`
  }
}

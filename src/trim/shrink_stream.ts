/** Brings a stream under its limit on bytes, node by node. The newest entry stays. */

import { type EntryBytes, measureEntries } from '../entries/entry_bytes.ts'
import { type Contents, lookAtContents } from '../look/entry_bytes.ts'
import { memoryHabits } from '../look/memory_habits.ts'
import { memoryCommand } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import { accepted } from '../redis/refused.ts'
import type { Hold } from '../retention/groups.ts'
import type { CountedBites } from './counted_bites.ts'
import type { Guard } from './group_guard.ts'
import { free, measure, readMeasured, shrink } from './trim_scripts.ts'

/** Nodes removed for their memory in one script. Each takes Redis about 0.03 ms, mostly to find out how many entries it holds. */
const NODES_AT_ONCE = 10

/** `MEMORY USAGE` takes Redis about 0.05 ms for a thousand consumers or nodes that it looks at. One script may look at so many. */
const LOOKED_AT_ONCE = 10_000
/** A measurement asks six times, before and after. */
const MEASUREMENTS = 12
/** Where the tree over the nodes is not counted by rule, what it loses with a node is known only to some 60 bytes. */
const LEAST_MEASURED_BYTES = 1024
/** `XINFO STREAM` carries two entries into the script. Larger ones than this are not carried. */
const MOST_CARRIED_BYTES = 128 * 1024

export interface ShrinkContext {
  readonly key: Buffer
  readonly bites: CountedBites
  readonly ask: Ask
  readonly maxBytes: number
  readonly hold: Hold | null
  readonly guard: Guard | null
  readonly mayGoOn: () => boolean
}

/** The bytes that the entries of a stream take; with `contents` where they were told from those of its groups. */
export interface StreamBytes {
  readonly memoryBytes: number
  readonly contents?: Contents
}

/** Reads what the entries of a stream take. Where `MEMORY USAGE` is within the limit, so are they. @throws Refused */
export async function readBytes(ask: Ask, key: Buffer, maxBytes: number): Promise<StreamBytes> {
  const command = memoryCommand(key)
  const [reply] = await ask([command])
  const memoryBytes = Number(accepted(reply, command))
  if (memoryBytes <= maxBytes) return { memoryBytes }
  const contents = await lookAtContents(ask, key, memoryBytes, memoryHabits(ask))
  return contents === null ? { memoryBytes } : { memoryBytes: contents.entries.bytes, contents }
}

/**
 * An estimate of what the entries take beside groups is off by a share of what they took when it was made, which may be more
 * than the limit. So it is made anew once the stream has shrunk to this share.
 */
const ESTIMATED_ANEW_AT = 1 / 4

/** Shrinks a stream that takes `bytes`. @returns what it takes then @throws Refused */
export async function shrinkStream(bytes: StreamBytes, context: ShrinkContext): Promise<number> {
  const { key, ask, bites, maxBytes, mayGoOn } = context
  let { memoryBytes, contents } = bytes
  while (contents !== undefined) {
    const { likelyBytes } = contents.entries
    const removedBefore = bites.removed.bytes
    const target = Math.max(maxBytes, likelyBytes * ESTIMATED_ANEW_AT)
    memoryBytes = await shrinkEntries(contents, target, context)
    const isCertain = target === maxBytes && memoryBytes > likelyBytes / 2
    if (isCertain || bites.removed.bytes === removedBefore || !mayGoOn()) return memoryBytes
    ;({ memoryBytes, contents } = await readBytes(ask, key, maxBytes))
    if (memoryBytes <= maxBytes) return memoryBytes
  }
  return shrinkWhole(memoryBytes, context)
}

/** Without groups, what Redis reports is what the entries take. */
async function shrinkWhole(bytes: number, context: ShrinkContext): Promise<number> {
  const { bites, key, ask, maxBytes, hold, guard, mayGoOn } = context
  const most = bites.removed.bytes + bites.state.length - 1
  let memoryBytes = bytes
  while (memoryBytes > maxBytes && bites.removed.bytes < most && mayGoOn()) {
    const command = shrink(key, maxBytes, hold?.floor ?? null, NODES_AT_ONCE)
    const gone = await bites.make('bytes', command, bites.state.length - 1, guard)
    // Groups have appeared: they are judged first.
    if (bites.areGroupsOutdated) break
    memoryBytes = (await readBytes(ask, key, maxBytes)).memoryBytes
    if (gone === 0) break
  }
  return memoryBytes
}

/**
 * Beside groups, the first node that goes shows what the entries take; until then it is an estimate. From there on each
 * bite tells how much less they take.
 */
async function shrinkEntries(contents: Contents, target: number, context: ShrinkContext): Promise<number> {
  const { entries: estimated, counts, habits, newest } = contents
  const { bites, key, ask, maxBytes, hold, guard, mayGoOn } = context
  const most = bites.removed.bytes + bites.state.length - 1
  const floor = hold?.floor ?? null
  const looked = habits.treeCount === 'by rule' ? counts.groups + counts.consumers : 0
  const isExact = habits.treeCount === 'by rule' || estimated.bytes / estimated.tree.nodes >= LEAST_MEASURED_BYTES
  const canMeasure =
    isExact &&
    MEASUREMENTS * looked + 2 * (estimated.tree.nodes + counts.groups + counts.consumers) < LOOKED_AT_ONCE &&
    Math.max(newest.rawBytes, bites.state.oldest?.bytes ?? 0) < MOST_CARRIED_BYTES
  const nodes = Math.max(1, Math.min(NODES_AT_ONCE, Math.floor(LOOKED_AT_ONCE / (looked + 1))))
  // What is not over the limit for certain is kept. What is over it is brought to it.
  let entries = estimated.bytes > maxBytes ? { ...estimated, bytes: estimated.likelyBytes } : estimated
  let isMeasured = !canMeasure
  while (entries.bytes > target && bites.removed.bytes < most && mayGoOn()) {
    const oldest = bites.state.oldest?.id ?? ''
    const command = isMeasured ? free(key, entries.bytes - target, oldest, floor, nodes) : measure(key, oldest, floor)
    const gone = await bites.make('bytes', command, bites.state.length - 1, guard)
    if (gone === 0) {
      // Somebody else has trimmed it, or groups hold the rest.
      if (bites.state.oldest?.id !== oldest) return (await readBytes(ask, key, maxBytes)).memoryBytes
      break
    }
    entries = afterBite(entries)
    isMeasured = true
  }
  return entries.bytes

  function afterBite(before: EntryBytes): EntryBytes {
    const measured = readMeasured(bites.reply)
    if (measured !== null)
      return measureEntries(...measured, before.newestNode, counts, habits) ?? estimateAfter(before, measured)
    const freed = Array.isArray(bites.reply) ? Number(bites.reply[1]) : 0
    return { ...before, bytes: before.bytes - freed }
  }
}

/** Where more than one node went at once, what Redis reports less is all that is known. */
function estimateAfter(entries: EntryBytes, [before, after]: NonNullable<ReturnType<typeof readMeasured>>): EntryBytes {
  const freed = (before.bySamples.at(-1) ?? 0) - (after.bySamples.at(-1) ?? 0)
  return { ...entries, tree: after.tree, bytes: entries.bytes - freed }
}

/** Advice that follows from the figures of a plan, in sentences. */

import { NODE_BYTES, NODE_ENTRIES } from '../entries/bites.ts'
import { type GroupSize, groupBytes } from '../entries/entry_bytes.ts'
import { counted } from '../text/counted.ts'
import { roundSize } from '../text/quantities.ts'
import type { Policy } from './policy.ts'

/** The figures of one policy's plan that advice is based on. */
export interface Figures {
  readonly streams: number
  readonly emptyStreams: number
  readonly oneEntryStreams: number
  /** Memory of the streams with one entry, as Redis reports it; null where that is unknown. */
  readonly oneEntryBytes: number | null
  /** How much of it is not the entry itself; null where that is unknown. */
  readonly oneEntryOverhead: number | null
  readonly protectedStreams: number
  readonly staleGroupStreams: number
  readonly customIdStreams: number
}

/** Below this number of streams, the memory of half-empty nodes is not worth a remark. */
const MANY_STREAMS = 1000

/** Sentences about one policy; empty if there is nothing to advise. */
export function adviceFor(policy: Policy, figures: Figures): string[] {
  const { name, deleteEmpty, maxLength, hardMaxLength, trim, maxAgeMs, reapGroups } = policy
  const advice: string[] = []
  const say = (sentence: string): void => {
    advice.push(`${name}: ${sentence}`)
  }
  const { oneEntryStreams, oneEntryBytes, oneEntryOverhead } = figures
  const areMany = oneEntryStreams >= MANY_STREAMS && oneEntryStreams * 2 > figures.streams
  if (areMany && oneEntryBytes !== null) {
    const fixes = [
      ...(oneEntryOverhead !== null && oneEntryOverhead / oneEntryStreams > NODE_BYTES / 2
        ? ['most of it is the node that Redis allocates whole: a smaller stream-node-max-bytes makes new ones cheaper']
        : []),
      'a shorter --max-age with --delete-empty removes them',
    ]
    const each = roundSize(oneEntryBytes / oneEntryStreams)
    say(`${oneEntryStreams} streams hold one entry and take ${each} each by MEMORY USAGE; ${fixes.join(', ')}`)
  }
  if (trim === 'approx' && maxLength < NODE_ENTRIES) {
    say(
      `--max-length ${maxLength} is less than a node of ${NODE_ENTRIES} entries, and approx removes only whole nodes: up to ${maxLength + NODE_ENTRIES} entries may stay; use --trim exact to keep exactly ${maxLength}`,
    )
  }
  if (!deleteEmpty && figures.emptyStreams > 0 && Number.isFinite(maxAgeMs)) {
    say(
      `${counted(figures.emptyStreams, 'stream is', 'streams are')} empty; --delete-empty would unlink those without a group that were last written longer ago than --max-age`,
    )
  }
  if (figures.protectedStreams > 0) {
    say(
      `groups hold ${counted(figures.protectedStreams, 'stream', 'streams')} back; remove an abandoned group with XGROUP DESTROY, or ${Number.isFinite(hardMaxLength) ? 'lower' : 'set'} --hard-max-length to limit what groups can hold`,
    )
  }
  if (figures.staleGroupStreams > 0) {
    say(
      `${counted(figures.staleGroupStreams, 'stream has', 'streams have')} a group that has been dead for --stale-group-after: it protects nothing; ${reapGroups === null ? 'remove it with XGROUP DESTROY or --reap-groups' : '--reap-groups removes those that match it'}`,
    )
  }
  if (figures.customIdStreams > 0 && !Number.isFinite(maxLength)) {
    say(
      `${counted(figures.customIdStreams, 'stream has', 'streams have')} custom IDs, which --max-age cannot judge: set a --max-length`,
    )
  }
  return advice
}

/** A stream in which groups take more memory than the entries do. */
export interface CrowdedStream {
  /** As shown to people. */
  readonly stream: string
  readonly policy: string
  /** The group that takes most. */
  readonly group: GroupSize
  readonly entryBytes: number
}

/** A sentence about it. Trimming frees nothing of what groups take. */
export function adviceOnGroup({ stream, policy, group, entryBytes }: CrowdedStream): string {
  const { name, pending, consumers } = group
  const has = `group ${name} of ${stream} has ${counted(pending, 'pending reference', 'pending references')} and ${counted(consumers, 'consumer', 'consumers')}`
  const takes = `about ${roundSize(groupBytes(group))} of memory, beside ${roundSize(entryBytes)} of entries; trimming frees none of it`
  const remedy =
    pending >= consumers
      ? 'acknowledge what is done with XACK, and drop references to removed entries with --reap-pending'
      : 'delete idle consumers with --reap-consumers-after'
  return `${policy}: ${has}, ${takes}: ${remedy}`
}

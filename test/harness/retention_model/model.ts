/**
 * What a policy keeps, entry by entry as the docs describe it: without nodes, bites or commands. It shares no code with the
 * program, so that a mistake in one cannot hide in the other.
 */
import type { PlannedPolicy } from './generated.ts'
import type { Id } from './layout.ts'
import type { GroupState, Snapshot } from './snapshot.ts'

/** How many of the oldest entries must go, and by which limit. Size limits are checked elsewhere. */
export interface Verdict {
  readonly age: number
  readonly length: number
  /** By acknowledgement, after the others. */
  readonly acked: number
  /** Whether an age limit does not apply because the IDs are custom. */
  readonly customIds: boolean
  /** The first entry that a group needs: from here on only hard limits may remove entries. Null if no group needs any. */
  readonly needed: Id | null
}

const YEAR_2000 = 946_684_800_000n
const DAY = 86_400_000n

/** Judges a stream at the time `nowMs`. */
export function judge(stream: Pick<Snapshot, 'entries' | 'groups'>, policy: PlannedPolicy, nowMs: number): Verdict {
  const { entries } = stream
  const { maxAgeMs, hardMaxAgeMs, ackedAfterMs, deleteIdleMs } = policy
  const ages = [maxAgeMs, hardMaxAgeMs, ackedAfterMs || Number.POSITIVE_INFINITY, deleteIdleMs]
  const hasAgeLimit = ages.some(Number.isFinite)
  const customIds = hasAgeLimit && entries.length > 0 && !areTimes(entries, nowMs)
  const needed = firstNeeded(stream, policy, nowMs)
  const isNeeded = (id: Id): boolean => needed !== null && !comesBefore(id, needed)
  const isOlderThan = ({ ms }: Id, ageMs: number): boolean =>
    Number.isFinite(ageMs) && ms < BigInt(nowMs) - BigInt(ageMs)

  const young = customIds
    ? entries
    : entries.filter(
        (id) => !isOlderThan(id, policy.hardMaxAgeMs) && (!isOlderThan(id, policy.maxAgeMs) || isNeeded(id)),
      )
  const kept = young.filter((id, i) => {
    const newer = young.length - i - 1
    return newer < policy.hardMaxLength && (newer < policy.maxLength || isNeeded(id))
  })
  const floor = ackedFloor(kept, stream.groups, entries, policy, nowMs)
  const acked = kept.filter(
    (id) =>
      floor !== null &&
      comesBefore(id, floor) &&
      (policy.ackedAfterMs === 0 || (areTimes(entries, nowMs) && isOlderThan(id, policy.ackedAfterMs))),
  )
  return {
    age: entries.length - young.length,
    length: young.length - kept.length,
    acked: acked.length,
    customIds,
    needed,
  }
}

/** Whether the IDs are times. IDs only grow, so the first one decides; if that is a small number, the second. */
export function areTimes(entries: readonly Id[], nowMs: number): boolean {
  const isTime = ({ ms }: Id): boolean => ms >= YEAR_2000 && ms <= BigInt(nowMs) + DAY
  const [first, second] = entries
  if (first === undefined || isTime(first)) return true
  return first.ms < YEAR_2000 && second !== undefined && isTime(second)
}

function firstNeeded({ entries, groups }: Pick<Snapshot, 'entries' | 'groups'>, policy: PlannedPolicy, nowMs: number) {
  if (policy.protect === 'none') return null
  let first: Id | null = null
  for (const group of groups) {
    if (isDead(group, entries, policy.staleGroupAfterMs, nowMs)) continue
    const { lastDelivered, pending } = group
    const needs = [{ ms: lastDelivered.ms, seq: lastDelivered.seq + 1n }]
    // Trimmed entries stay in the pending list, but nobody can read them any longer.
    if (policy.protect === 'unacked') needs.push(...pending.filter((id) => entries[0] && !comesBefore(id, entries[0])))
    for (const id of needs) if (first === null || comesBefore(id, first)) first = id
  }
  return first
}

/** The first ID in `kept` or later that a living group has not acknowledged; null without a living group. */
function ackedFloor(
  kept: readonly Id[],
  groups: readonly GroupState[],
  entries: readonly Id[],
  { staleGroupAfterMs }: PlannedPolicy,
  nowMs: number,
): Id | null {
  let floor: Id | null = null
  for (const group of groups) {
    if (isDead(group, entries, staleGroupAfterMs, nowMs)) continue
    const { lastDelivered, pending } = group
    const needs = pending.filter((id) => kept[0] && !comesBefore(id, kept[0]))
    for (const id of [...needs, { ms: lastDelivered.ms, seq: lastDelivered.seq + 1n }])
      if (floor === null || comesBefore(id, floor)) floor = id
  }
  return floor
}

/**
 * Whether a group has been inactive for too long: since its most recent consumer was active or, without consumers, since
 * there was an entry to read.
 */
export function isDead(
  { idleMs, lastDelivered }: GroupState,
  entries: readonly Id[],
  afterMs: number,
  nowMs: number,
): boolean {
  if (idleMs.length > 0) return Math.min(...idleMs) >= afterMs
  const waiting = entries.find((id) => comesBefore(lastDelivered, id))
  return waiting !== undefined && waiting.ms >= YEAR_2000 && nowMs - Number(waiting.ms) >= afterMs
}

export function comesBefore(a: Id, b: Id): boolean {
  return a.ms === b.ms ? a.seq < b.seq : a.ms < b.ms
}

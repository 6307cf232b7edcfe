/**
 * What may be reaped from a stream, as the docs describe it, and what a sweep reaped. It shares no code with the program. Each
 * finding is a sentence; there should be none.
 */

import type { Swept } from './comparison.ts'
import type { PlannedPolicy } from './generated.ts'
import type { Id } from './layout.ts'
import { areTimes, isDead } from './model.ts'
import type { ConsumerState, GroupState, Snapshot } from './snapshot.ts'

const YEAR_2000 = 946_684_800_000
/** A dead group with more references than this to entries that exist is left alone. */
const MANY_REFERENCES = 20_000

export function reapFindings(swept: Swept): string[] {
  const { before, after, completed } = swept
  if (!before.exists) return []
  const found = after.exists ? [...lostGroups(swept), ...lostConsumers(swept), ...lostReferences(swept)] : []
  if (!after.exists && !mayGo(swept, swept.toMs)) found.push('a stream was unlinked that must stay')
  if (completed) found.push(...leftBehind(swept), ...wrongCounts(swept))
  return found
}

/** Whether the same could be reaped at another time as at the end of the sweep. */
export function reapsTheSame(swept: Swept, atMs: number): boolean {
  const { before, after, policy, toMs } = swept
  const destroyed = (nowMs: number): string[] =>
    before.groups.filter((group) => mayBeDestroyed(group, before, after.entries, policy, nowMs)).map(({ name }) => name)
  return destroyed(atMs).join() === destroyed(toMs).join() && mayGo(swept, atMs) === mayGo(swept, toMs)
}

/** What may be reaped from a stream that stays, once `left` are its entries. */
export function reapable({ before, policy, toMs }: Swept, left: readonly Id[]) {
  const staying = before.groups.filter((group) => !mayBeDestroyed(group, before, left, policy, toMs))
  const exists = idsOf(left)
  let [consumers, pending] = [0, 0]
  for (const group of staying) {
    const idle = idleConsumers(group, policy, left)
    consumers += idle.length - sparedOf(group, idle, policy)
    if (policy.reapPending) pending += group.pending.filter((id) => !exists.has(textOf(id))).length
  }
  return { consumers, groups: before.groups.length - staying.length, pending }
}

/** Groups that were destroyed and must not have been. */
function lostGroups({ before, after, policy, toMs }: Swept): string[] {
  return before.groups
    .filter((group) => !has(after, group) && !mayBeDestroyed(group, before, after.entries, policy, toMs))
    .map(({ name }) => `group ${name} was destroyed, and must stay`)
}

/** Consumers that were deleted and must not have been. */
function lostConsumers({ before, after, policy }: Swept): string[] {
  return before.groups.flatMap((group) => {
    const left = after.groups.find(({ name }) => name === group.name)
    if (left === undefined) return []
    const gone = group.consumers.filter(({ name }) => !left.consumers.some((consumer) => consumer.name === name))
    const idle = idleConsumers(group, policy, after.entries)
    const found = gone
      .filter((consumer) => !idle.includes(consumer))
      .map(({ name }) => `consumer ${name} of ${group.name} was deleted, and must stay`)
    const most = idle.length - sparedOf(group, idle, policy)
    return gone.length > most ? [...found, `of ${group.name} ${gone.length} consumers went instead of ${most}`] : found
  })
}

/** References to entries that exist and were lost, and others that were dropped without being asked for. */
function lostReferences({ before, after, policy, toMs }: Swept): string[] {
  const exists = idsOf(after.entries)
  return before.groups.flatMap((group) => {
    const left = after.groups.find(({ name }) => name === group.name)
    if (left === undefined) return []
    const kept = idsOf(left.pending)
    const dropped = group.pending.filter((id) => !kept.has(textOf(id)))
    const living = dropped.filter((id) => exists.has(textOf(id)))
    if (living.length > 0) return [`${living.length} references of ${group.name} to entries that exist were lost`]
    const isDying = mayBeDestroyed(group, before, after.entries, policy, toMs)
    return dropped.length > 0 && !policy.reapPending && !isDying
      ? [`${dropped.length} references of ${group.name} were dropped without --reap-pending`]
      : []
  })
}

/** What a completed sweep must not leave. */
function leftBehind(swept: Swept): string[] {
  const { before, after, policy, fromMs } = swept
  if (!after.exists) return []
  const found = mayGo(swept, fromMs, true) ? ['an idle stream was not unlinked'] : []
  const exists = idsOf(after.entries)
  for (const left of after.groups) {
    const group = before.groups.find(({ name }) => name === left.name)
    if (group === undefined) continue
    if (mayBeDestroyed(group, before, after.entries, policy, fromMs)) found.push(`dead group ${group.name} is left`)
    const idle = idleConsumers(group, policy, after.entries)
    const most = group.consumers.length - idle.length + sparedOf(group, idle, policy)
    if (left.consumers.length > most)
      found.push(`${left.consumers.length} consumers of ${left.name} are left, not ${most}`)
    const missing = left.pending.filter((id) => !exists.has(textOf(id)))
    if (policy.reapPending && missing.length > 0) found.push(`${missing.length} references to missing entries are left`)
  }
  return found
}

/** The report must name what disappeared. Of what goes with its stream it names only the groups destroyed before. */
function wrongCounts({ before, after, policy, told, fromMs, toMs }: Swept): string[] {
  const { consumers, groups, pending } = told?.reaped ?? { consumers: 0, groups: 0, pending: 0 }
  const left = before.groups.flatMap((group) => {
    const kept = after.groups.find(({ name }) => name === group.name)
    return kept === undefined ? [] : [{ group, kept }]
  })
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  const gone = {
    consumers: sum(left.map(({ group, kept }) => group.consumers.length - kept.consumers.length)),
    pending: sum(left.map(({ group, kept }) => group.pending.length - kept.pending.length)),
  }
  const destroyable = (nowMs: number): number =>
    before.groups.filter((group) => mayBeDestroyed(group, before, after.entries, policy, nowMs)).length
  const [least, most] = after.exists
    ? [before.groups.length - left.length, before.groups.length - left.length]
    : [destroyable(fromMs), destroyable(toMs)]
  const found: string[] = []
  if (consumers !== gone.consumers) found.push(`${consumers} consumers were counted, but ${gone.consumers} went`)
  if (pending !== gone.pending) found.push(`${pending} references were counted, but ${gone.pending} went`)
  if (groups < least || groups > most) found.push(`${groups} groups were counted instead of ${least} to ${most}`)
  return found
}

/** Whether the stream may be unlinked: empty without a group, or idle without a living one. */
function mayGo({ before, after, policy }: Swept, nowMs: number, onlyIdle = false): boolean {
  const lastMs = Number(before.lastId.ms)
  const isOlderThan = (ageMs: number): boolean =>
    lastMs >= YEAR_2000 && Number.isFinite(ageMs) && lastMs < nowMs - ageMs
  const entries = after.exists ? after.entries : []
  const staying = before.groups.filter((group) => !mayBeDestroyed(group, before, entries, policy, nowMs))
  const isIdle =
    isOlderThan(policy.deleteIdleMs) &&
    areTimes(before.entries, nowMs) &&
    staying.every((group) => isGone(group, before.entries, policy.staleGroupAfterMs, nowMs))
  return isIdle || (!onlyIdle && policy.deleteEmpty && isOlderThan(policy.maxAgeMs) && staying.length === 0)
}

function mayBeDestroyed(
  group: GroupState,
  { entries }: Snapshot,
  left: readonly Id[],
  { reapGroups, staleGroupAfterMs }: PlannedPolicy,
  nowMs: number,
): boolean {
  const matches = reapGroups === '*' || reapGroups === group.name
  const exists = idsOf(left)
  const living =
    group.pending.length > MANY_REFERENCES ? group.pending.filter((id) => exists.has(textOf(id))).length : 0
  return matches && living <= MANY_REFERENCES && isGone(group, entries, staleGroupAfterMs, nowMs)
}

/**
 * Whether a group is dead for certain: its consumers have been idle for too long or, without consumers, it has left an entry
 * unread for too long. One that was never delivered anything may have been made a moment ago.
 */
function isGone(group: GroupState, entries: readonly Id[], afterMs: number, nowMs: number): boolean {
  const { idleMs, entriesRead } = group
  const wasMadeLongAgo = entriesRead !== null && entriesRead > 0
  return (idleMs.length > 0 || wasMadeLongAgo) && isDead(group, entries, afterMs, nowMs)
}

/**
 * The consumers that have been idle for long enough and have nothing pending, or nothing but references to missing entries
 * where those are dropped. `left` are the entries that are there.
 */
function idleConsumers(group: GroupState, policy: PlannedPolicy, left: readonly Id[]): ConsumerState[] {
  const { consumers, pending, owners } = group
  const exists = idsOf(left)
  const youngest = Math.min(...consumers.map(({ idleMs }) => idleMs))
  return consumers.filter(({ name, idleMs, countsAttempts }) => {
    const own = pending.filter((id, i) => owners[i] === name && (!policy.reapPending || exists.has(textOf(id))))
    return own.length === 0 && idleMs >= policy.reapConsumersAfterMs + (countsAttempts ? 0 : youngest)
  })
}

/** How many of them stay nevertheless: where the policy judges groups, one that tells when its group was alive. */
function sparedOf({ name, consumers }: GroupState, idle: readonly ConsumerState[], policy: PlannedPolicy): number {
  const judges =
    policy.protect !== 'none' ||
    Number.isFinite(policy.ackedAfterMs) ||
    Number.isFinite(policy.deleteIdleMs) ||
    policy.reapGroups === '*' ||
    policy.reapGroups === name
  if (!judges || idle.length === 0) return 0
  const youngest = Math.min(...consumers.map(({ idleMs }) => idleMs))
  return consumers.some((consumer) => consumer.idleMs === youngest && !idle.includes(consumer)) ? 0 : 1
}

function has({ groups }: Snapshot, { name }: GroupState): boolean {
  return groups.some((group) => group.name === name)
}

function textOf({ ms, seq }: Id): string {
  return `${ms}-${seq}`
}

function idsOf(ids: readonly Id[]): Set<string> {
  return new Set(ids.map(textOf))
}

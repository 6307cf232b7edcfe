/** Compares what a sweep left, and what it reported, with the model. Each finding is a sentence; there should be none. */
import type { PlannedPolicy } from './generated.ts'
import type { Id } from './layout.ts'
import { comesBefore, judge } from './model.ts'
import { reapFindings } from './reaping.ts'
import type { GroupState, Snapshot } from './snapshot.ts'

/** What the sweep reported about one stream. */
export interface Told {
  readonly removed: { readonly age: number; readonly length: number; readonly bytes: number; readonly acked: number }
  readonly unread: number
  readonly deleted: string | null
  readonly reaped: { readonly consumers: number; readonly groups: number; readonly pending: number }
  readonly skipped: string | null
  readonly refused: unknown
}

export interface Swept {
  readonly policy: PlannedPolicy
  readonly before: Snapshot
  readonly after: Snapshot
  /** Redis's clock before and after the sweep. */
  readonly fromMs: number
  readonly toMs: number
  /** Whether the sweep succeeded. One that was cut short must merely not remove too much. */
  readonly completed: boolean
  readonly told: Told | null
  /** The memory that Redis would report, by the number of entries left; null without a size limit. */
  readonly ladder: ReadonlyMap<number, number> | null
}

export function findingsOn(swept: Swept): string[] {
  const { before, after, told, completed, policy } = swept
  const found: string[] = []
  const gone = before.entries.length - after.entries.length
  const kept = before.contents.slice(gone)
  if (gone < 0 || kept.some((content, i) => content !== after.contents[i])) {
    return [`the entries left are not the newest ones, unchanged: ${gone} of ${before.entries.length} are gone`]
  }
  const sum = told === null ? 0 : told.removed.age + told.removed.length + told.removed.bytes + told.removed.acked
  const wentIdle = !after.exists && (told?.deleted === 'idle' || (!completed && Number.isFinite(policy.deleteIdleMs)))
  if (completed && !wentIdle ? sum !== gone : sum > gone) found.push(`${gone} entries are gone, ${sum} were reported`)
  if (told !== null && told.refused !== null) found.push(`refused: ${JSON.stringify(told.refused)}`)

  const hollow = ({ nodes }: Snapshot): number => nodes.filter(({ live }) => live.length === 0).length
  if (hollow(after) > hollow(before)) found.push('a node without a living entry is left')
  // Whether an idle stream may go, entries and all, is for the model of reaping to say.
  if (!wentIdle) found.push(...harm(swept, gone))
  if (completed) found.push(...shortfall(swept, gone), ...wrongReasons(swept, gone))
  found.push(...wrongUnread(swept, gone), ...wrongUnlink(swept), ...reapFindings(swept))
  return found
}

/** What must never happen, however a sweep ends: the removal of entries that the policy keeps. */
function harm({ policy, before, after, toMs, ladder }: Swept, gone: number): string[] {
  const most = judge(before, policy, toMs)
  const due = most.age + most.length + most.acked
  if (gone <= due) return []
  if (ladder === null) return [`${gone} entries are gone, and the policy removes only ${due}`]
  const found: string[] = []
  if (after.entries.length === 0) found.push('the newest entry was removed to save memory')
  const { needed } = most
  const last = before.entries[gone - 1]
  if (needed !== null && last !== undefined && !comesBefore(last, needed)) {
    found.push('an entry that a group needs was removed to save memory')
  }
  const start = before.entries.length - due
  const room = before.groups.length > 0 ? ROOM_BYTES : 0
  if (!mayBeLeft(ladder, start, policy.maxBytes, room).has(after.entries.length)) {
    found.push(
      `more was removed than the size limit requires: ${after.entries.length} entries are left of the ${start} that the other limits keep`,
    )
  }
  return found
}

/**
 * Redis makes room for more entries in the newest node. A restored stream has no such room, which cannot be seen beside
 * groups.
 */
const ROOM_BYTES = 4096

/**
 * The numbers of entries that a size limit may leave. It removes nodes as long as Redis reports too much memory, which is an
 * estimate and sometimes rises. The sweep knows the entries of a node only to an eighth, so smaller nodes after it may be
 * removed too.
 */
function mayBeLeft(ladder: ReadonlyMap<number, number>, start: number, maxBytes: number, room: number): Set<number> {
  const steps = [...ladder]
  const lefts = steps.map(([left]) => left)
  const reached = new Set<number>()
  const open = [lefts.findLastIndex((left) => left >= start)]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [left, bytes] = steps[at] ?? [0, 0]
    const next = lefts[at + 1]
    // Allow one percent: a node with deleted entries takes a few bytes more or less.
    if (reached.has(left) || next === undefined || bytes < maxBytes * 0.99 - room) {
      reached.add(left)
      continue
    }
    reached.add(left)
    const along = Math.ceil((left - next) / 8)
    for (let to = at + 1; to < lefts.length && next - (lefts[to] ?? 0) <= along; to++) open.push(to)
  }
  return reached
}

/** What a completed sweep must not leave. */
function shortfall({ policy, before, after, fromMs, ladder }: Swept, gone: number): string[] {
  const least = judge(before, policy, fromMs)
  // approx may leave part of a node, and a pending entry in it keeps all later entries.
  const due = least.age + least.length + (policy.trim === 'exact' ? least.acked : 0)
  const found: string[] = []
  if (gone < due) {
    const node = before.nodes.find(({ live }) => live.some((id) => same(id, before.entries[gone])))
    const inNode = node?.live ?? []
    const behind = before.entries[due - 1]
    if (policy.trim === 'exact') found.push(`${due - gone} entries are left that the policy does not keep`)
    else if (!inNode.some((id) => same(id, behind)))
      found.push(`${due - gone} entries too many are left, more than one node`)
  }
  if (ladder !== null && gone >= due) {
    const lastNode = before.nodes.findLast(({ live }) => live.length > 0)?.live.length ?? 0
    const isHeld = least.needed !== null && isWithin(before, gone, least.needed)
    const newestNode = before.groups.length > 0 ? ([...ladder.values()].at(-1) ?? 0) : 0
    const isOver = after.memoryBytes > policy.maxBytes * slackOf(before) + newestNode
    if (isOver && after.entries.length > lastNode && !isHeld) {
      found.push(`the stream takes ${after.memoryBytes} bytes of the allowed ${policy.maxBytes}, and could be shorter`)
    }
  }
  return found
}

/**
 * Beside groups, the bytes of entries are estimated until one node has gone: poorly where entries were deleted out of nodes
 * and some are far larger than others. The tree over the nodes is always estimated; over nodes of a few entries it takes as
 * much as they do.
 */
function slackOf({ groups, contents, nodes, memoryBytes }: Snapshot): number {
  if (groups.length === 0) return 1
  if (memoryBytes / nodes.length < TINY_NODE_BYTES) return 1.4
  const mayHaveGaps = nodes.some(({ deleted }) => deleted.length > 0)
  const sizes = contents.map(({ length }) => length)
  return mayHaveGaps && Math.max(...sizes) > 4 * Math.min(...sizes) ? 2 : 1.02
}

/** Redis makes such nodes only where somebody set `stream-node-max-entries` to a handful. */
const TINY_NODE_BYTES = 200

/** Whether the node of the oldest remaining entry holds, or comes after, an entry that a group needs. */
function isWithin(before: Snapshot, gone: number, needed: { ms: bigint; seq: bigint }): boolean {
  const node = before.nodes.find(({ live }) => live.some((id) => same(id, before.entries[gone])))
  const all = [...(node?.live ?? []), ...(node?.deleted ?? [])]
  return all.some((id) => !comesBefore(id, needed))
}

/** Each removal counts for the first limit that applies: age, then length, then bytes, then acknowledgement. */
function wrongReasons({ policy, before, told, fromMs, toMs }: Swept, gone: number): string[] {
  const removed = told?.removed ?? { age: 0, length: 0, bytes: 0, acked: 0 }
  const least = judge(before, policy, fromMs)
  const most = judge(before, policy, toMs)
  const found: string[] = []
  const wrong = (reason: string, n: number, from: number, to: number): void => {
    found.push(`${n} entries were removed by ${reason}, instead of ${from} to ${to}`)
  }
  if (removed.age > most.age) wrong('age', removed.age, least.age, most.age)
  if (policy.trim === 'exact') {
    if (removed.age < least.age) wrong('age', removed.age, least.age, most.age)
    if (removed.age === least.age && removed.length !== least.length)
      wrong('length', removed.length, least.length, least.length)
  } else if (removed.age < least.age) {
    const node = before.nodes.find(({ live }) => live.some((id) => same(id, before.entries[removed.age])))
    if (!node?.live.some((id) => same(id, before.entries[least.age - 1])))
      wrong('age', removed.age, least.age, most.age)
  }
  if (removed.length > 0 && removed.age + removed.length > most.age + most.length) {
    wrong('length', removed.length, 0, most.age + most.length - removed.age)
  }
  const other = most.age + most.length - removed.age - removed.length
  if (removed.acked > Math.max(0, other) + most.acked) wrong('acknowledgement', removed.acked, 0, most.acked)
  if (policy.trim === 'exact' && removed.age === least.age && removed.acked < least.acked)
    wrong('acknowledgement', removed.acked, least.acked, most.acked)
  if (policy.maxBytes === Number.POSITIVE_INFINITY && removed.bytes > 0) wrong('bytes', removed.bytes, 0, 0)
  if (told !== null && gone === 0 && told.unread > 0)
    found.push('unread entries were counted although nothing was removed')
  const skipped = told?.skipped ?? null
  if ((skipped === 'custom_ids') !== (least.customIds && before.entries.length > 0)) {
    found.push(`skipped was reported as ${skipped}, although custom IDs are ${least.customIds}`)
  }
  return found
}

/** The count must be exact if Redis knows the lag of every group. A group whose lag is unknown may be left out. */
function wrongUnread({ before, after, policy, told, completed }: Swept, gone: number): string[] {
  const lost = (groups: readonly GroupState[]): number => {
    const undelivered = (lastDelivered: Id) =>
      before.entries.slice(0, gone).filter((id) => comesBefore(lastDelivered, id))
    return Math.max(0, ...groups.map(({ lastDelivered }) => undelivered(lastDelivered).length))
  }
  // Groups that are destroyed before their stream goes miss none of the entries that go with it.
  const mayBeDestroyed = !after.exists && policy.reapGroups !== 'off'
  const least = completed && !mayBeDestroyed ? lost(before.groups.filter(({ lag }) => lag !== null)) : 0
  const most = lost(before.groups)
  const counted = told?.unread ?? 0
  return counted < least || counted > most
    ? [`${counted} entries were counted as unread, but ${least} to ${most} were never delivered to a group`]
    : []
}

function wrongUnlink({ policy, before, after, told, completed, fromMs }: Swept): string[] {
  if (!before.exists) return []
  const lastMs = Number(before.lastId.ms)
  const isOld = lastMs < fromMs - policy.maxAgeMs && lastMs >= Date.UTC(2000, 0, 1)
  const must =
    policy.deleteEmpty &&
    before.groups.length === 0 &&
    isOld &&
    judge(before, policy, fromMs).age === before.entries.length
  const found: string[] = []
  if (completed && must && after.exists && policy.trim === 'exact') found.push('an empty stream was not unlinked')
  if (completed && ((told?.deleted ?? null) !== null) !== !after.exists)
    found.push('the sweep reports wrongly whether it unlinked the stream')
  return found
}

function same(a: { ms: bigint; seq: bigint }, b: { ms: bigint; seq: bigint } | undefined): boolean {
  return b !== undefined && a.ms === b.ms && a.seq === b.seq
}

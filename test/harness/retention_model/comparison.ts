/** Holds what a sweep left, and what it says it did, against the model. Each finding is a sentence; none is what there should be. */
import type { PlannedPolicy } from './generated.ts'
import type { Id } from './layout.ts'
import { comesBefore, judge } from './model.ts'
import type { GroupState, Snapshot } from './snapshot.ts'

/** What the sweep said of one stream; null where it said nothing, having nothing to say. */
export interface Told {
  readonly removed: { readonly age: number; readonly length: number; readonly bytes: number; readonly acked: number }
  readonly unread: number
  readonly deleted: boolean
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
  /** Whether the sweep was a success; one that was cut short must only do no harm. */
  readonly completed: boolean
  readonly told: Told | null
  /** What Redis would report for the stream's memory with so many entries left, where there is a limit on it. */
  readonly ladder: ReadonlyMap<number, number> | null
}

export function findingsOn(swept: Swept): string[] {
  const { before, after, told, completed } = swept
  const found: string[] = []
  const gone = before.entries.length - after.entries.length
  const kept = before.contents.slice(gone)
  if (gone < 0 || kept.some((content, i) => content !== after.contents[i])) {
    return [
      `what is left is not the newest part of what there was, as it was: ${gone} of ${before.entries.length} gone`,
    ]
  }
  const sum = told === null ? 0 : told.removed.age + told.removed.length + told.removed.bytes + told.removed.acked
  if (completed ? sum !== gone : sum > gone) found.push(`${gone} entries are gone, ${sum} were reported`)
  if (told !== null && told.refused !== null) found.push(`refused: ${JSON.stringify(told.refused)}`)

  const hollow = ({ nodes }: Snapshot): number => nodes.filter(({ live }) => live.length === 0).length
  if (hollow(after) > hollow(before)) found.push('a node without a living entry is left')
  found.push(...harm(swept, gone))
  if (completed) found.push(...shortfall(swept, gone), ...wrongReasons(swept, gone))
  found.push(...wrongUnread(swept, gone), ...wrongUnlink(swept))
  return found
}

/** What must never happen, however a sweep ends: that something goes which the policy keeps. */
function harm({ policy, before, after, toMs, ladder }: Swept, gone: number): string[] {
  const most = judge(before, policy, toMs)
  const due = most.age + most.length + most.acked
  if (gone <= due) return []
  if (ladder === null) return [`${gone} entries are gone, and the policy lets go of only ${due}`]
  const found: string[] = []
  if (after.entries.length === 0) found.push('the newest entry went for want of memory')
  const { needed } = most
  const last = before.entries[gone - 1]
  if (needed !== null && last !== undefined && !comesBefore(last, needed)) {
    found.push('an entry that a group needs went for want of memory')
  }
  const start = before.entries.length - due
  if (!mayBeLeft(ladder, start, policy.maxBytes).has(after.entries.length)) {
    found.push(
      `more went than memory calls for: ${after.entries.length} entries are left, of ${start} that the other limits leave`,
    )
  }
  return found
}

/**
 * How many entries a limit on bytes may leave: one node goes after another for as long as Redis reports more than is
 * allowed, which it estimates, so that the figure rises now and then. How many entries a node holds is found out to an
 * eighth: smaller ones behind it may go along.
 */
function mayBeLeft(ladder: ReadonlyMap<number, number>, start: number, maxBytes: number): Set<number> {
  const steps = [...ladder]
  const lefts = steps.map(([left]) => left)
  const reached = new Set<number>()
  const open = [lefts.findLastIndex((left) => left >= start)]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const [left, bytes] = steps[at] ?? [0, 0]
    const next = lefts[at + 1]
    // To a hundredth: a node of which part was deleted takes a few bytes more or less.
    if (reached.has(left) || next === undefined || bytes < maxBytes * 0.99) {
      reached.add(left)
      continue
    }
    reached.add(left)
    const along = Math.ceil((left - next) / 8)
    for (let to = at + 1; to < lefts.length && next - (lefts[to] ?? 0) <= along; to++) open.push(to)
  }
  return reached
}

/** What a whole sweep must not leave. */
function shortfall({ policy, before, after, fromMs, ladder }: Swept, gone: number): string[] {
  const least = judge(before, policy, fromMs)
  // What approx leaves of a node for another limit may be pending, and keeps what comes after it.
  const due = least.age + least.length + (policy.trim === 'exact' ? least.acked : 0)
  const found: string[] = []
  if (gone < due) {
    const node = before.nodes.find(({ live }) => live.some((id) => same(id, before.entries[gone])))
    const inNode = node?.live ?? []
    const behind = before.entries[due - 1]
    if (policy.trim === 'exact') found.push(`${due - gone} entries are left that the policy does not keep`)
    else if (!inNode.some((id) => same(id, behind)))
      found.push(`${due - gone} entries are left over, more than their node`)
  }
  if (ladder !== null && gone >= due) {
    const lastNode = before.nodes.findLast(({ live }) => live.length > 0)?.live.length ?? 0
    const isHeld = least.needed !== null && isWithin(before, gone, least.needed)
    if (after.memoryBytes > policy.maxBytes && after.entries.length > lastNode && !isHeld) {
      found.push(`it takes ${after.memoryBytes} bytes, with ${policy.maxBytes} allowed, and could be shorter`)
    }
  }
  return found
}

/** Whether the node of the oldest entry left holds something a group needs, or follows on it. */
function isWithin(before: Snapshot, gone: number, needed: { ms: bigint; seq: bigint }): boolean {
  const node = before.nodes.find(({ live }) => live.some((id) => same(id, before.entries[gone])))
  const all = [...(node?.live ?? []), ...(node?.deleted ?? [])]
  return all.some((id) => !comesBefore(id, needed))
}

/** Age before length before bytes; each entry for the first of them that wants it. */
function wrongReasons({ policy, before, told, fromMs, toMs }: Swept, gone: number): string[] {
  const removed = told?.removed ?? { age: 0, length: 0, bytes: 0, acked: 0 }
  const least = judge(before, policy, fromMs)
  const most = judge(before, policy, toMs)
  const found: string[] = []
  const wrong = (reason: string, n: number, from: number, to: number): void => {
    found.push(`${n} entries were removed for their ${reason}, which should be ${from} to ${to}`)
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
  if (told !== null && gone === 0 && told.unread > 0) found.push('unread entries were counted where nothing went')
  const skipped = told?.skipped ?? null
  if ((skipped === 'custom_ids') !== (least.customIds && before.entries.length > 0)) {
    found.push(`skipped was told as ${skipped}, custom IDs being ${least.customIds}`)
  }
  return found
}

/** To the entry where Redis knows how far every group is; where it does not know it of one, that one may not be counted. */
function wrongUnread({ before, told, completed }: Swept, gone: number): string[] {
  const lost = (groups: readonly GroupState[]): number => {
    const undelivered = (lastDelivered: Id) =>
      before.entries.slice(0, gone).filter((id) => comesBefore(lastDelivered, id))
    return Math.max(0, ...groups.map(({ lastDelivered }) => undelivered(lastDelivered).length))
  }
  const least = completed ? lost(before.groups.filter(({ lag }) => lag !== null)) : 0
  const most = lost(before.groups)
  const counted = told?.unread ?? 0
  return counted < least || counted > most
    ? [`${counted} entries were counted as unread, and a group was never delivered ${least} to ${most} of them`]
    : []
}

function wrongUnlink({ policy, before, after, told, completed, fromMs, toMs }: Swept): string[] {
  if (!before.exists) return []
  const age = (nowMs: number): boolean =>
    Number(before.lastId.ms) < nowMs - policy.maxAgeMs && Number(before.lastId.ms) >= Date.UTC(2000, 0, 1)
  const may = policy.deleteEmpty && before.groups.length === 0 && age(toMs)
  const must =
    policy.deleteEmpty &&
    before.groups.length === 0 &&
    age(fromMs) &&
    judge(before, policy, fromMs).age === before.entries.length
  const found: string[] = []
  if (!after.exists && !may) found.push('a stream was unlinked that is to stay')
  if (completed && must && after.exists && policy.trim === 'exact') found.push('an empty stream was not unlinked')
  if (completed && (told?.deleted ?? false) !== !after.exists)
    found.push('it says the wrong thing of an unlinked stream')
  return found
}

function same(a: { ms: bigint; seq: bigint }, b: { ms: bigint; seq: bigint } | undefined): boolean {
  return b !== undefined && a.ms === b.ms && a.seq === b.seq
}

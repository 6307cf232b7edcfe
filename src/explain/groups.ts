/** What explain tells of a stream's consumer groups. */

import { compareIds, earlierOf, isBefore, nextStreamId, type StreamId } from '../entries/stream_id.ts'
import { countMissing } from '../forecast/count_missing.ts'
import type { CountingWay } from '../forecast/counting_way.ts'
import type { EntryCounter } from '../forecast/entry_counter.ts'
import { readStreamEnds } from '../forecast/forecast_reap.ts'
import { readConsumers, readGroups } from '../groups/consumer_groups.ts'
import type { StreamEnds } from '../look/stream_ends.ts'
import type { Ask } from '../redis/ask.ts'
import { lackOf, type Missing, Refused } from '../redis/refused.ts'
import { type Group, isStale, lastAlive } from '../retention/groups.ts'
import type { Limits } from '../retention/policy.ts'
import type { Consumer } from '../retention/reaping.ts'

export interface GroupExplained extends Group {
  /** The first ID that it still needs, as `--protect` of the policy sees it; without one, what is pending counts too. */
  readonly floor: StreamId
  /** In ms of Redis's clock; null if nothing tells. */
  readonly lastAliveMs: number | null
  /** Whether it has been dead for `--stale-group-after`; null if no policy covers the stream. */
  readonly isDead: boolean | null
  /** Whether it keeps entries that a limit would remove. */
  readonly holdsBack: boolean
  /** Pending references whose entry no longer exists. */
  readonly dangling: number
  /** Whether every pending reference was looked up; if not, more may dangle. */
  readonly areAllChecked: boolean
  /** Its consumers that are worth naming. */
  readonly named: readonly Consumer[]
}

/** What is known of the stream of the groups. */
export interface StreamOfGroups {
  readonly ask: Ask
  readonly way: CountingWay
  readonly key: Buffer
  readonly limits: Limits | null
  readonly nowMs: number
  readonly counter: EntryCounter | null
  readonly oldest: StreamId | null
  /** Limits call for the removal of everything before this ID; null if they call for none. */
  readonly wanted: StreamId | null
  readonly missing: Missing
}

/** Reads all groups, worst first. A command that the ACL denies costs what it would tell. @throws Refused, Fault */
export async function explainGroups(stream: StreamOfGroups): Promise<GroupExplained[]> {
  const { ask, key, way, missing } = stream
  const positions = await unlessMissing(missing, [], () => readGroups(ask, key, 'none'))
  const groups = await unlessMissing(missing, positions, () => readGroups(ask, key, 'unacked'))
  const ends = groups.some(({ pending }) => pending > 0) ? await readStreamEnds(key, ask, way) : null
  const explained: GroupExplained[] = []
  for (const group of groups)
    explained.push(await explainGroup(stream, group, ends ?? { first: null, last: null, deleted: null, nodes: 0 }))
  return worstFirst(explained)
}

/** First the groups that hold the trim back, from the lowest floor on; then those with the greatest lag. */
export function worstFirst(groups: readonly GroupExplained[]): GroupExplained[] {
  return groups.toSorted((a, b) => {
    if (a.holdsBack !== b.holdsBack) return a.holdsBack ? -1 : 1
    const byFloor = a.holdsBack ? compareIds(a.floor, b.floor) : 0
    return byFloor || (b.lag ?? 0) - (a.lag ?? 0) || b.pending - a.pending
  })
}

async function explainGroup(stream: StreamOfGroups, group: Group, ends: StreamEnds): Promise<GroupExplained> {
  const { ask, way, key, limits, nowMs, counter, oldest, missing } = stream
  const { rawName, consumers, pending } = group
  const floor = floorOf(group, limits)
  const isDead = limits === null ? null : isStale(group, limits.staleGroupAfterMs, nowMs)
  const left = { entries: counter?.length ?? 0, first: oldest }
  const dangling = await unlessMissing(missing, null, async () =>
    pending === 0 ? 0 : (await countMissing(key, group, left, ends, { ask, way })).total,
  )
  const all = await unlessMissing(missing, [], async () =>
    consumers === 0 ? [] : await readConsumers(ask, key, rawName, consumers),
  )
  return {
    ...group,
    floor,
    lastAliveMs: lastAlive(group, nowMs),
    isDead,
    holdsBack: isDead === false && (await keepsEntries(floor, stream)),
    dangling: dangling ?? 0,
    // Without scripts, only references before the oldest entry are counted: those that trims leave.
    areAllChecked: pending === 0 || (dangling !== null && way.hasScripts),
    named: worthNaming(all),
  }
}

/** Most consumers named of one group. */
const NAMED = 20

/**
 * All consumers if they are few, else those idle longest; first those that have something pending. Of many, half the places
 * are kept for any that are idle longer.
 */
export function worthNaming(consumers: readonly Consumer[]): Consumer[] {
  const byIdle = consumers.toSorted((a, b) => b.idleMs - a.idleMs || Buffer.compare(a.name, b.name))
  const most = consumers.length <= NAMED ? NAMED : NAMED / 2
  const stuck = byIdle.filter(({ pending }) => pending > 0).slice(0, most)
  const others = byIdle.filter((consumer) => !stuck.includes(consumer)).slice(0, NAMED - stuck.length)
  return [...stuck, ...others]
}

function floorOf({ oldestPending, lastDelivered }: Group, limits: Limits | null): StreamId {
  const unread = nextStreamId(lastDelivered)
  return limits?.protect === 'unread' || oldestPending === null ? unread : earlierOf(oldestPending, unread)
}

/** Whether there are entries from the floor on that limits call to remove. */
async function keepsEntries(floor: StreamId, { limits, counter, wanted }: StreamOfGroups): Promise<boolean> {
  if (limits === null || limits.protect === 'none' || counter === null || wanted === null) return false
  return isBefore(floor, wanted) && (await counter.before(floor)) < (await counter.before(wanted))
}

/** The result of the work; `otherwise` if one of its commands is missing, which is then reported. */
async function unlessMissing<T>(missing: Missing, otherwise: T, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const lack = error instanceof Refused ? lackOf(error.command, error.refusal) : null
    if (lack === null) throw error
    missing(lack.command, 'the groups that explain shows', lack.why)
    return otherwise
  }
}

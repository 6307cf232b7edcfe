/** One page of a sweep: the way of each of its streams, from the key that SCAN found to the tally. */

import type { CountingWay } from '../forecast/counting_way.ts'
import { forecastStream } from '../forecast/forecast_stream.ts'
import { surveyGroups } from '../groups/group_survey.ts'
import { isDue, isReapDue } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import type { Batching } from '../look/in_batches.ts'
import { lookAtPage } from '../look/look.ts'
import { NOTHING_REAPED } from '../reap/reaped.ts'
import type { Fault } from '../redis/refusal.ts'
import { endingOf } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { Policy } from '../retention/policy.ts'
import type { GroupTally } from '../tally/group_tally.ts'
import { trimDue } from '../trim/trim_due.ts'
import { leftAsFound, type Trimmed } from '../trim/trimmed.ts'
import type { ArchiveFirst } from './archive_first.ts'
import { countInside, countOutcome, countUnseen } from './count.ts'
import { desertedOf, type FinishContext, faultOf, finishStream, firstFault } from './finish.ts'

export interface PageContext extends FinishContext {
  readonly keys: readonly Buffer[]
  readonly dryRun: boolean
  /** Given where groups are counted. */
  readonly groups?: GroupTally | null
  /** Given where many streams may be looked at in one command; shared by the pages of one primary. */
  readonly batching?: Batching
  /** Given where a dry run foretells what a sweep would do. */
  readonly way?: CountingWay
  /** Given where some policy archives; shared by the pages of one primary. */
  readonly archive?: ArchiveFirst
}

/**
 * Holds the streams of one page to their policies: looked at → judged → archived → trimmed → reaped → counted, and then their
 * groups. What is to be archived may still wait for that, and for all that follows, when this resolves. Whatever happens,
 * what was done is in the tally.
 * @throws Fault when the connection fails or the server refuses everything
 */
export async function sweepPage(page: PageContext): Promise<void> {
  const { ask, keys, policies, nowMs, batching, dryRun } = page
  const { found, unseen } = await lookAtPage(ask, keys, policies, nowMs, batching)
  for (const stream of unseen) countUnseen(stream, page)

  const { due, toReap, inside } = judged(found, page)
  for (const stream of inside) countInside(stream, page)

  const faults = await Promise.all(
    dryRun ? [...due, ...toReap].map((stream) => foretellStream(stream, page)) : work(due, toReap, page),
  )
  const fault = firstFault(faults)
  if (fault !== null) throw fault
  await countGroups(found, page)
}

/** The work on streams that are due, and on others to reap: at once, or where the archive is ready. */
function work(due: readonly Found[], toReap: readonly Found[], page: PageContext): Promise<Fault | null>[] {
  const { archive, policies } = page
  const isArchived = ({ policy }: Found): boolean => archive !== undefined && (policies[policy] as Policy).archive
  const isPlain = (stream: Found): boolean => !isArchived(stream)
  return [
    trimPlain(due.filter(isPlain), page),
    ...toReap.filter(isPlain).map((stream) => finishStream(stream, leftAsFound(stream), [], page)),
    ...(archive === undefined ? [] : [archive.take([...due, ...toReap].filter(isArchived))]),
  ]
}

async function trimPlain(due: readonly Found[], page: PageContext): Promise<Fault | null> {
  const deserted = new Map<Found, readonly Group[]>()
  await Promise.all(due.map(async (stream) => deserted.set(stream, await desertedOf(stream, page))))
  const onTrimmed = (stream: Found, trimmed: Trimmed): Promise<Fault | null> =>
    finishStream(stream, trimmed, deserted.get(stream) ?? [], page)
  return trimDue(due, { ...page, onTrimmed })
}

/** Counts the groups that are left on the streams of the page. */
async function countGroups(found: readonly Found[], { ask, groups, stop, missing }: PageContext): Promise<void> {
  if (!groups?.isWhole || stop.aborted) return
  const streams = found.filter(({ state }) => state.hasGroups !== false)
  const add = ({ key, policy }: Found, group: Group): void => groups.add(policy, key, group)
  if (!(await surveyGroups(ask, streams, missing, add))) groups.isWhole = false
}

/** Counts a stream as it was found, and what a sweep would do to it. @returns a fault that ends the sweep, or null */
async function foretellStream(stream: Found, page: PageContext): Promise<Fault | null> {
  const { ask, way, stop, nowMs, policies, missing, tally } = page
  const forecast = async (): Promise<void> => {
    if (way === undefined || stop.aborted) return
    const limits = policies[stream.policy] as Policy
    const context = { ask, limits, nowMs, way, missing, bytes: stream.memoryBytes }
    tally.addForecast(stream.policy, await forecastStream(stream, context))
  }
  const trimmed = { ...leftAsFound(stream), ...(await endingOf(forecast())) }
  countOutcome(stream, trimmed, NOTHING_REAPED, page)
  return faultOf(trimmed)
}

interface Judged {
  readonly due: Found[]
  /** Inside their policies, with something to reap perhaps. */
  readonly toReap: Found[]
  readonly inside: Found[]
}

function judged(found: readonly Found[], { policies, nowMs }: PageContext): Judged {
  const due: Found[] = []
  const toReap: Found[] = []
  const inside: Found[] = []
  for (const stream of found) {
    const limits = policies[stream.policy] as Policy
    if (isDue(stream, limits, nowMs)) due.push(stream)
    else if (isReapDue(stream, limits, nowMs)) toReap.push(stream)
    else inside.push(stream)
  }
  return { due, toReap, inside }
}

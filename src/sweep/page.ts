/** One page of a sweep: the way of each of its streams, from the key that SCAN found to the tally. */

import type { CountingWay } from '../forecast/counting_way.ts'
import { forecastStream } from '../forecast/forecast_stream.ts'
import { isDue, isReapDue } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import { surveyGroups } from '../look/group_survey.ts'
import type { Batching } from '../look/in_batches.ts'
import type { LivingGroups } from '../look/living_groups.ts'
import { lookAtPage } from '../look/look.ts'
import type { State } from '../look/stream_state.ts'
import { readDeserted } from '../reap/deserted_groups.ts'
import type { QuietGroups } from '../reap/quiet_groups.ts'
import { reapStream } from '../reap/reap_stream.ts'
import { NOTHING_REAPED, type Reaped } from '../reap/reaped.ts'
import type { Ask } from '../redis/ask.ts'
import { Fault, isServerWide } from '../redis/refusal.ts'
import { type Missing, Refused } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { Policy } from '../retention/policy.ts'
import type { GroupTally } from '../tally/group_tally.ts'
import type { Outcome } from '../tally/outcome.ts'
import type { Tally } from '../tally/tally.ts'
import { trimDue } from '../trim/trim_due.ts'
import { leftAsFound, type Trimmed } from '../trim/trimmed.ts'
import { countInside, countOutcome, countUnseen } from './count.ts'

export interface PageContext {
  readonly keys: readonly Buffer[]
  readonly ask: Ask
  /** The primary's own clock when the sweep of it began. */
  readonly nowMs: number
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  readonly policies: readonly Policy[]
  readonly dryRun: boolean
  readonly tally: Tally
  /** Given where groups are counted. */
  readonly groups?: GroupTally | null
  /** Given where many streams may be looked at in one command; shared by the pages of one primary. */
  readonly batching?: Batching
  /** Given where groups may be reaped: remembered from sweep to sweep. */
  readonly quietGroups?: QuietGroups
  /** Groups seen alive, remembered from sweep to sweep. */
  readonly living?: LivingGroups
  /** Given where a dry run foretells what a sweep would do. */
  readonly way?: CountingWay
  /** Called for each command that Redis denied and the work can do without. */
  readonly missing: Missing
  /** Called for each stream that was not simply found inside its policy. */
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
  /** Called for each stream when the work on it is done, also if it was left alone. */
  readonly onDone?: (key: Buffer) => void
}

/**
 * Holds the streams of one page to their policies: looked at → judged → trimmed → reaped → counted, and then their groups.
 * Whatever happens, what was done is in the tally.
 * @throws Fault when the connection fails or the server refuses everything
 */
export async function sweepPage(page: PageContext): Promise<void> {
  const { ask, keys, policies, nowMs, batching, dryRun } = page
  const { found, unseen } = await lookAtPage(ask, keys, policies, nowMs, batching)
  for (const stream of unseen) countUnseen(stream, page)

  const { due, toReap, inside } = judged(found, page)
  for (const stream of inside) countInside(stream, page)

  const deserted = new Map<Found, readonly Group[]>()
  const finish = async (stream: Found, trimmed: Trimmed): Promise<Fault | null> => {
    const reaped = await reap(stream, trimmed, deserted.get(stream) ?? [], page)
    countOutcome(stream, trimmed, reaped, page)
    return faultOf(trimmed) ?? faultOf(reaped)
  }
  if (!dryRun) await Promise.all(due.map(async (stream) => deserted.set(stream, await desertedOf(stream, page))))
  const faults = await Promise.all(
    dryRun
      ? [...due, ...toReap].map((stream) => foretellStream(stream, page))
      : [trimDue(due, { ...page, onTrimmed: finish }), ...toReap.map((stream) => finish(stream, leftAsFound(stream)))],
  )
  const fault = faults.find((one) => one !== null)
  if (fault) throw fault
  await countGroups(found, page)
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
  let [refused, fault]: [Refused | null, Fault | null] = [null, null]
  try {
    if (way !== undefined && !stop.aborted) {
      const limits = policies[stream.policy] as Policy
      const context = { ask, limits, nowMs, way, missing, bytes: stream.memoryBytes }
      tally.addForecast(stream.policy, await forecastStream(stream, context))
    }
  } catch (error) {
    if (error instanceof Refused) refused = error
    else if (error instanceof Fault) fault = error
    else throw error
  }
  const trimmed = { ...leftAsFound(stream), refused, fault }
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

function desertedOf(stream: Found, { ask, nowMs, policies, quietGroups }: PageContext): Promise<readonly Group[]> {
  return quietGroups === undefined
    ? Promise.resolve([])
    : readDeserted(stream, policies[stream.policy] as Policy, ask, nowMs)
}

/** Reaps what the stream leaves behind once it is trimmed; nothing where trimming it did not come to its end. */
async function reap(stream: Found, trimmed: Trimmed, deserted: readonly Group[], page: PageContext): Promise<Reaped> {
  const { ask, nowMs, stop, policies, quietGroups, living } = page
  const limits = policies[stream.policy] as Policy
  const { archivedBefore = null } = stream
  const { length, oldest = length === 0 ? null : stream.state.oldest } = trimmed.state
  const { hasGroups } = stream.state
  const state: State = { length, oldest, ...(hasGroups === undefined ? {} : { hasGroups }) }
  const left: Found = { ...stream, state }
  const isCutShort = trimmed.fault !== null || trimmed.refused !== null || stop.aborted
  if (isCutShort || !quietGroups || !living || !isReapDue(left, limits, nowMs)) return NOTHING_REAPED
  return reapStream(left, { ask, limits, nowMs, stop, quietGroups, living, deserted, archivedBefore })
}

/** The fault that ends the sweep, or null: a lost connection, or a refusal of the whole server. */
function faultOf({ refused, fault }: Pick<Trimmed, 'refused' | 'fault'>): Fault | null {
  return refused !== null && isServerWide(refused.refusal) ? Fault.of(refused.refusal) : fault
}

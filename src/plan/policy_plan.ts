/** What a plan found for one policy. */
import { NOTHING_TO_REAP, type ReapForecast } from '../forecast/forecast_reap.ts'
import { entriesGone, type Forecast } from '../forecast/forecast_stream.ts'
import { addReap } from '../forecast/foretold.ts'
import type { Found } from '../look/found.ts'
import { forEachLimit, forEachReason, LIMITS, type LimitName, REASONS, type Reason } from '../retention/policy.ts'

/** Sums over the streams of one policy, or of all policies. */
export interface PolicyPlan {
  readonly policy: string
  streams: number
  emptyStreams: number
  oneEntryStreams: number
  /** Memory of the streams with one entry, as Redis reports it; null where that was denied. */
  oneEntryBytes: number | null
  /** How much of it is not the entry itself; null where that is unknown. */
  oneEntryOverhead: number | null
  entries: number
  /** Memory as Redis reports it for each stream; null where that was denied. */
  bytes: number | null
  readonly remove: Record<Reason, number>
  removeBytes: number
  readonly reap: ReapForecast
  /** Whether the figures in `remove` are counts; false where any of them is an estimate. */
  isExact: boolean
  /** How many of the removed entries some group has not been delivered, where Redis knows. */
  unread: number
  /** Entries that would be archived before they are removed. */
  archive: number
  customIdStreams: number
  /** Streams that stay over a limit, beyond the slack of `--trim approx`. */
  readonly overLimit: Record<LimitName, number>
  /** Streams that a group keeps over a limit. */
  protectedStreams: number
  /** Streams with a dead group, which protects nothing. */
  staleGroupStreams: number
}

export function emptyPlan(policy: string): PolicyPlan {
  return {
    policy,
    streams: 0,
    emptyStreams: 0,
    oneEntryStreams: 0,
    oneEntryBytes: 0,
    oneEntryOverhead: 0,
    entries: 0,
    bytes: 0,
    remove: forEachReason(0),
    removeBytes: 0,
    reap: { ...NOTHING_TO_REAP },
    isExact: true,
    unread: 0,
    archive: 0,
    customIdStreams: 0,
    overLimit: forEachLimit(0),
    protectedStreams: 0,
    staleGroupStreams: 0,
  }
}

/** Adds one stream, with its memory in bytes where that is known. */
export function addStream(sum: PolicyPlan, { state, hasTimeIds }: Found, memory: number | null): void {
  sum.streams++
  if (state.length === 0) sum.emptyStreams++
  if (state.length === 1) {
    sum.oneEntryStreams++
    sum.oneEntryBytes = sumIfKnown(sum.oneEntryBytes, memory)
    const entry = state.oldest?.bytes
    sum.oneEntryOverhead = sumIfKnown(
      sum.oneEntryOverhead,
      memory === null || entry === undefined ? null : memory - entry,
    )
  }
  sum.entries += state.length
  sum.bytes = sumIfKnown(sum.bytes, memory)
  if (!hasTimeIds) sum.customIdStreams++
}

/** Adds what a sweep would do to one stream of `length` entries. What goes with an idle stream is archived too. */
export function addForecast(sum: PolicyPlan, forecast: Forecast, length: number, isArchived: boolean): void {
  for (const reason of REASONS) sum.remove[reason] += forecast.removed[reason]
  for (const limit of LIMITS) if (forecast.over[limit]) sum.overLimit[limit]++
  sum.removeBytes += forecast.bytes
  addReap(sum.reap, forecast.reap)
  sum.unread += forecast.unread?.entries ?? 0
  if (isArchived) sum.archive += entriesGone(forecast, length)
  sum.isExact &&= forecast.isExact
  if (forecast.hold !== null) sum.protectedStreams++
  if (forecast.hasDeadGroup) sum.staleGroupStreams++
}

/** The sum over policies, under the name `all`. */
export function sumOfPlans(plans: readonly PolicyPlan[]): PolicyPlan {
  const sum = emptyPlan('all')
  for (const plan of plans) {
    for (const name of [
      'streams',
      'emptyStreams',
      'oneEntryStreams',
      'entries',
      'removeBytes',
      'unread',
      'archive',
      'customIdStreams',
      'protectedStreams',
      'staleGroupStreams',
    ] as const) {
      sum[name] += plan[name]
    }
    addReap(sum.reap, plan.reap)
    for (const name of ['bytes', 'oneEntryBytes', 'oneEntryOverhead'] as const) {
      sum[name] = sumIfKnown(sum[name], plan[name])
    }
    for (const reason of REASONS) sum.remove[reason] += plan.remove[reason]
    for (const limit of LIMITS) sum.overLimit[limit] += plan.overLimit[limit]
    sum.isExact &&= plan.isExact
  }
  return sum
}

/** The sum, or null if either is unknown. */
function sumIfKnown(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b
}

/** What a plan found for one policy. */
import { forEachReason, REASONS, type Reason } from '../retention/policy.ts'

/** Sums over the streams of one policy, or of all policies. */
export interface PolicyPlan {
  readonly policy: string
  streams: number
  emptyStreams: number
  oneEntryStreams: number
  entries: number
  /** Memory as Redis reports it for each stream; null where that was denied. */
  bytes: number | null
  readonly remove: Record<Reason, number>
  removeBytes: number
  /** Whether the figures in `remove` are counts; false where any of them is an estimate. */
  isExact: boolean
  customIdStreams: number
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
    entries: 0,
    bytes: 0,
    remove: forEachReason(0),
    removeBytes: 0,
    isExact: true,
    customIdStreams: 0,
    protectedStreams: 0,
    staleGroupStreams: 0,
  }
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
      'customIdStreams',
      'protectedStreams',
      'staleGroupStreams',
    ] as const) {
      sum[name] += plan[name]
    }
    sum.bytes = sum.bytes === null || plan.bytes === null ? null : sum.bytes + plan.bytes
    for (const reason of REASONS) sum.remove[reason] += plan.remove[reason]
    sum.isExact &&= plan.isExact
  }
  return sum
}

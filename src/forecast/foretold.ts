/** Sums of what a sweep would do. */

import { forEachReason, REASONS, type Reason } from '../retention/policy.ts'
import { NOTHING_TO_REAP, type ReapForecast } from './forecast_reap.ts'
import type { Forecast } from './forecast_stream.ts'

export interface Foretold {
  readonly remove: Record<Reason, number>
  /** Whether the figures in `remove` are counts; false where any of them is an estimate. */
  exact: boolean
  /** How many of those entries some group has not been delivered, where Redis knows. */
  unread: number
  readonly reap: ReapForecast
}

export function nothingForetold(): Foretold {
  return { remove: forEachReason(0), exact: true, unread: 0, reap: { ...NOTHING_TO_REAP } }
}

/** Adds what a sweep would do to one stream. */
export function addForecast(sum: Foretold, { removed, isExact, unread, reap }: Forecast): void {
  addForetold(sum, { remove: removed, exact: isExact, unread: unread?.entries ?? 0, reap })
}

/** Adds one sum to another. */
export function addForetold(sum: Foretold, { remove, exact, unread, reap }: Readonly<Foretold>): void {
  for (const reason of REASONS) sum.remove[reason] += remove[reason]
  sum.exact &&= exact
  sum.unread += unread
  addReap(sum.reap, reap)
}

export function addReap(sum: ReapForecast, { consumers, groups, pending, streams }: Readonly<ReapForecast>): void {
  sum.consumers += consumers
  sum.groups += groups
  sum.pending += pending
  sum.streams += streams
}

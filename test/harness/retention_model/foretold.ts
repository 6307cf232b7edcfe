/** Compares a plan with the sweep that follows it. Each finding is a sentence; there should be none. */
import type { Forecast } from '../../../src/forecast/forecast_stream.ts'
import type { Swept } from './comparison.ts'
import { judge } from './model.ts'

/** Whether plan and sweep had the same entries to remove: none grew too old in between, and the sweep completed. */
export function isComparable({ before, policy, toMs, completed }: Swept, plannedFromMs: number): boolean {
  return completed && judge(before, policy, plannedFromMs).age === judge(before, policy, toMs).age
}

/**
 * With `exact` the counts must be equal, for each reason and for unread entries; with `approx` they may differ by a node.
 * With a size limit only age and length are compared, because nobody outside Redis can see where nodes begin.
 */
export function differences({ before, policy, told }: Swept, forecast: Forecast | null): string[] {
  const node = Math.max(1, ...before.nodes.map(({ live }) => live.length))
  const slack = policy.trim === 'exact' ? 0 : node
  const removed = told?.removed ?? { age: 0, length: 0, bytes: 0, acked: 0 }
  const planned = forecast?.removed ?? { age: 0, length: 0, bytes: 0, acked: 0 }
  const found: string[] = []
  for (const reason of ['age', 'length'] as const) {
    if (Math.abs(removed[reason] - planned[reason]) > slack)
      found.push(`the plan said ${planned[reason]} by ${reason}, but ${removed[reason]} were removed`)
  }
  if (policy.maxBytes !== Number.POSITIVE_INFINITY) return found
  // approx may leave a pending entry within its node, and that entry decides how much of the rest is acknowledged.
  const isCertain = policy.trim === 'exact' || before.groups.every(({ pending }) => pending.length === 0)
  if (isCertain && Math.abs(removed.acked - planned.acked) > slack)
    found.push(`the plan said ${planned.acked} by acknowledgement, but ${removed.acked} were removed`)
  const [unread, foretold] = [told?.unread ?? 0, forecast?.unread?.entries ?? 0]
  // A sweep does not count groups whose lag Redis does not know.
  const isKnown = before.groups.every(({ lag }) => lag !== null)
  if (isKnown && Math.abs(unread - foretold) > slack) found.push(`the plan said ${foretold} unread, but ${unread} were`)
  if (policy.trim === 'exact' && forecast?.isExact === false) found.push('the plan calls an exact count an estimate')
  return found
}

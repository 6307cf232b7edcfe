/** Holds a plan to the sweep that follows it. Each finding is a sentence; there should be none. */
import type { Forecast } from '../../../src/forecast/forecast_stream.ts'
import type { Swept } from './comparison.ts'
import { judge } from './model.ts'

/** Whether the sweep judged the stream as the plan did: no entry came of age in between, and nothing cut the sweep short. */
export function isComparable({ before, policy, toMs, completed }: Swept, plannedFromMs: number): boolean {
  return completed && judge(before, policy, plannedFromMs).age === judge(before, policy, toMs).age
}

/**
 * With `exact` the numbers must be equal, for each reason and for the unread; with `approx` within one node. What memory
 * calls for depends on the borders of nodes, which nobody sees from outside: it must be within two nodes.
 */
export function differences({ before, policy, told }: Swept, forecast: Forecast | null): string[] {
  const node = Math.max(1, ...before.nodes.map(({ live }) => live.length))
  const slack = policy.trim === 'exact' ? 0 : node
  const removed = told?.removed ?? { age: 0, length: 0, bytes: 0, acked: 0 }
  const planned = forecast?.removed ?? { age: 0, length: 0, bytes: 0, acked: 0 }
  const found: string[] = []
  for (const reason of ['age', 'length'] as const) {
    if (Math.abs(removed[reason] - planned[reason]) > slack)
      found.push(`the plan said ${planned[reason]} by ${reason}, and ${removed[reason]} went`)
  }
  if (policy.maxBytes !== Number.POSITIVE_INFINITY) return found
  // Within its node, approx may leave an entry that is pending: it decides how much after it is acknowledged.
  const isCertain = policy.trim === 'exact' || before.groups.every(({ pending }) => pending.length === 0)
  if (isCertain && Math.abs(removed.acked - planned.acked) > slack)
    found.push(`the plan said ${planned.acked} by acknowledgement, and ${removed.acked} went`)
  const [unread, foretold] = [told?.unread ?? 0, forecast?.unread?.entries ?? 0]
  // Where Redis does not know a group's lag, a sweep counts that group only once it does.
  const isKnown = before.groups.every(({ lag }) => lag !== null)
  if (isKnown && Math.abs(unread - foretold) > slack) found.push(`the plan said ${foretold} unread, and ${unread} were`)
  if (policy.trim === 'exact' && forecast?.isExact === false) found.push('the plan calls an exact count an estimate')
  return found
}

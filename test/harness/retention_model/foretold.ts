/** Compares a plan with the sweep that follows it. Each finding is a sentence; there should be none. */
import type { Forecast } from '../../../src/forecast/forecast_stream.ts'
import type { Swept } from './comparison.ts'
import { judge } from './model.ts'
import { reapsTheSame } from './reaping.ts'

/** Whether plan and sweep had the same to remove: nothing grew too old in between, and the sweep completed. */
export function isComparable(swept: Swept, plannedFromMs: number): boolean {
  const { before, policy, toMs, completed } = swept
  const [from, to] = [judge(before, policy, plannedFromMs), judge(before, policy, toMs)]
  const isSame = from.age === to.age && from.length === to.length && from.acked === to.acked
  return completed && isSame && reapsTheSame(swept, plannedFromMs)
}

/**
 * With `exact` the counts must be equal, for each reason and for unread entries; with `approx` they may differ by a node.
 * With a size limit only age and length are compared, because nobody outside Redis can see where nodes begin.
 */
export function differences(swept: Swept, forecast: Forecast | null): string[] {
  const { before, policy, told } = swept
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
  return [...found, ...reapDifferences(swept, forecast, slack)]
}

/** With `approx` the entries that are left decide what may be dropped: a node more or less for each group. */
function reapDifferences({ before, after, policy, told }: Swept, forecast: Forecast | null, slack: number): string[] {
  const nothing = { consumers: 0, groups: 0, pending: 0, streams: 0 }
  const { deleted = null, reaped = nothing } = told ?? {}
  const planned = forecast?.reap ?? nothing
  const done = { ...reaped, streams: deleted === null ? 0 : 1 }
  const isWhole = policy.trim === 'exact' || (after.exists && planned.streams === 0)
  if (!isWhole) return []
  return (['consumers', 'groups', 'pending', 'streams'] as const)
    .filter((kind) => Math.abs(planned[kind] - done[kind]) > (kind === 'pending' ? slack * before.groups.length : 0))
    .map((kind) => `the plan said ${planned[kind]} ${kind}, but ${done[kind]} were reaped`)
}

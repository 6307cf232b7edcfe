/** Compares a plan with the sweep that follows it. Each finding is a sentence; there should be none. */
import type { Forecast } from '../../../src/forecast/forecast_stream.ts'
import type { Swept } from './comparison.ts'
import { judge } from './model.ts'
import { reapable, reapsTheSame } from './reaping.ts'

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
  return [...found, ...reapDifferences(swept, forecast)]
}

/**
 * With `exact` the numbers must be equal. With `approx` the sweep may leave a node more than planned, and whoever has a
 * reference to an entry of that node keeps it: so the plan is held to what its own removals leave, as the sweep is elsewhere.
 */
function reapDifferences(swept: Swept, forecast: Forecast | null): string[] {
  const { before, after, policy, told } = swept
  const planned = forecast?.reap ?? { ...NOTHING, streams: 0 }
  const done = { ...(told?.reaped ?? NOTHING), streams: (told?.deleted ?? null) === null ? 0 : 1 }
  const found = (kinds: readonly (keyof typeof done)[], expected: typeof done, what: string): string[] =>
    kinds
      .filter((kind) => planned[kind] !== expected[kind])
      .map((kind) => `the plan said ${planned[kind]} ${kind}, but ${expected[kind]} ${what}`)
  const all = ['consumers', 'groups', 'pending', 'streams'] as const
  if (policy.trim === 'exact') return found(all, done, 'were reaped')
  const { age, length, acked } = forecast?.removed ?? { age: 0, length: 0, acked: 0 }
  const left = before.entries.slice(age + length + acked)
  const due = planned.streams > 0 || !after.exists ? null : reapable(swept, left)
  return [
    ...found(['streams'], done, 'were reaped'),
    ...(due === null ? [] : found(['consumers', 'groups', 'pending'], { ...due, streams: 0 }, 'can be reaped')),
  ]
}

const NOTHING = { consumers: 0, groups: 0, pending: 0 }

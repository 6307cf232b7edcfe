/** A plan for a person at a terminal, within 80 columns. */
import type { Policy } from '../retention/policy.ts'
import type { PlanReport, PolicyPlan } from '../sweep/plan.ts'
import { roundSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'
import { adviceOn, policyFields } from './json.ts'
import { seconds } from './summary.ts'
import { clipped, ending, longestLines, sentence, table } from './table.ts'

/** Several lines, the last one ended. */
export function planSummary(report: PlanReport, policies: readonly Policy[]): string {
  const { total } = report
  const plans = [...report.policies, ...(report.policies.length > 1 ? [total] : [])]
  const advice = adviceOn(report, policies)
  return [
    ...sentence(`${ending(report)} in ${seconds(report.durationMs)}; nothing was changed`),
    '',
    ...table([
      ['policy', 'streams', 'entries', 'memory', 'age', 'length', 'bytes', 'frees'],
      ...plans.map((plan) => [
        plan.policy,
        plan.streams,
        plan.entries,
        plan.bytes === null ? '?' : roundSize(plan.bytes),
        ...removals(plan),
      ]),
    ]),
    '',
    'A sweep would remove what stands under age, length and bytes; ≈ is an estimate.',
    ...policies.map(describeLimits).flatMap((line) => sentence(line)),
    ...(report.held.length > 0 ? ['', 'held back by a consumer group'] : []),
    ...report.held.map(
      ({ key, hold }) => `  ${clipped(shown(key), 40)}  ${clipped(hold.group, 14)}  ${since(hold.lastAliveMs)}`,
    ),
    ...longestLines(report.longest),
    ...(advice.length > 0 ? ['', 'advice', ...advice.flatMap((told) => sentence(`- ${told}`))] : []),
    ...[...report.missing].flatMap(([command, need]) => sentence(`the ACL allows no ${command}, which ${need} needs`)),
    '',
  ].join('\n')
}

function removals({ remove, removeBytes, isExact }: PolicyPlan): string[] {
  const figure = (n: number): string => (n === 0 || isExact ? String(n) : `≈${n}`)
  return [
    figure(remove.age),
    figure(remove.length),
    figure(remove.bytes),
    removeBytes === 0 ? '0b' : `≈${roundSize(removeBytes)}`,
  ]
}

/** The policy as its flags, those that are off left out. */
function describeLimits(policy: Policy): string {
  const { name, match, ...limits } = policyFields(policy)
  const told = Object.entries(limits).filter(([, value]) => value !== 'off' && value !== false)
  return `${name === match ? name : `${name} (${match})`}: ${told.map(([flag, value]) => `${flag} ${value}`).join(', ')}`
}

function since(lastAliveMs: number | null): string {
  return lastAliveMs === null ? 'no sign of life known' : `alive ${new Date(lastAliveMs).toISOString().slice(0, 16)}Z`
}

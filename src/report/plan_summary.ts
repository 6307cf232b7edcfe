/** A plan for a person at a terminal, within 80 columns. */

import type { PlanReport } from '../plan/plan.ts'
import type { PolicyPlan } from '../plan/policy_plan.ts'
import { type Policy, REASONS } from '../retention/policy.ts'
import { listed } from '../text/counted.ts'
import { roundDuration, roundSize } from '../text/quantities.ts'
import { adviceOn } from './json.ts'
import { isOff, limitTexts } from './limits.ts'
import { ending, heldLines, longestLines, missingLines, sentence, table } from './table.ts'

/** Several lines, the last one ended. */
export function planSummary(report: PlanReport, policies: readonly Policy[]): string {
  const { total } = report
  const plans = [...report.policies, ...(report.policies.length > 1 ? [total] : [])]
  const advice = adviceOn(report, policies)
  const first = sentence(`${ending(report)} in ${roundDuration(report.durationMs)}; nothing was changed`)
  if (report.result !== 'success' && total.streams === 0) return [...first, ''].join('\n')
  return [
    ...first,
    '',
    ...table([
      ['policy', 'streams', 'entries', 'memory', ...REASONS, 'frees'],
      ...plans.map((plan) => [
        plan.policy,
        plan.streams,
        plan.entries,
        plan.bytes === null ? '?' : roundSize(plan.bytes),
        ...removals(plan),
      ]),
    ]),
    '',
    ...sentence(`A sweep would remove what stands under ${listed(REASONS)}; ≈ is an estimate.`),
    ...policies.map(describeLimits).flatMap((line) => sentence(line)),
    ...heldLines(report.held),
    ...longestLines(report.longest),
    ...(advice.length > 0 ? ['', 'advice', ...advice.flatMap((told) => sentence(`- ${told}`))] : []),
    ...missingLines(report.missing),
    '',
  ].join('\n')
}

function removals({ remove, removeBytes, isExact }: PolicyPlan): string[] {
  const figure = (n: number): string => (n === 0 || isExact ? String(n) : `≈${n}`)
  return [...REASONS.map((reason) => figure(remove[reason])), removeBytes === 0 ? '0b' : `≈${roundSize(removeBytes)}`]
}

/** The policy as its flags, those left out that are off, or about groups where none protects anything. */
function describeLimits(policy: Policy): string {
  const { name, match } = policy
  const told = Object.entries(limitTexts(policy)).filter(
    ([flag, text]) => !isOff(text) && (flag !== 'stale-group-after' || policy.protect !== 'none'),
  )
  return `${name === match ? name : `${name} (${match})`}: ${told.map(([flag, text]) => `${flag} ${text}`).join(', ')}`
}

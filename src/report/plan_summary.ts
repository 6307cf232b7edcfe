/** What `plan` prints on a terminal, within 80 columns. */

import { isOff, limitTexts } from '../phrases/limits.ts'
import {
  heldLines,
  longestLines,
  missingLines,
  reapedTold,
  reasonsShown,
  resultWithCause,
  sentence,
  table,
} from '../phrases/table.ts'
import type { PlanReport } from '../plan/plan.ts'
import type { PolicyPlan } from '../plan/policy_plan.ts'
import { LIMITS, type Policy, type Reason } from '../retention/policy.ts'
import { counted, listed } from '../text/counted.ts'
import { roundDuration, roundSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'
import { adviceOn } from './json.ts'

/** Several lines, each ending in a newline. */
export function planSummary(report: PlanReport, policies: readonly Policy[]): string {
  const { total } = report
  const plans = [...report.policies, ...(report.policies.length > 1 ? [total] : [])]
  const advice = adviceOn(report, policies)
  const reasons = reasonsShown(total.remove)
  const first = sentence(`${resultWithCause(report)} in ${roundDuration(report.durationMs)}; nothing was changed`)
  if (report.result !== 'success' && total.streams === 0) return [...first, ''].join('\n')
  return [
    ...first,
    '',
    ...table([
      ['policy', 'streams', 'entries', 'memory', ...reasons, 'frees'],
      ...plans.map((plan) => [
        plan.policy,
        plan.streams,
        plan.entries,
        plan.bytes === null ? '?' : roundSize(plan.bytes),
        ...removals(plan, reasons),
      ]),
    ]),
    '',
    ...sentence(`The ${listed(reasons)} columns show how many entries each limit would remove; ≈ marks an estimate.`),
    ...policies.map(describeLimits).flatMap((line) => sentence(line)),
    ...reapLines(total),
    ...archiveLines(total),
    ...unreadLines(report),
    ...customIdLines(report),
    ...overLimitLines(total),
    ...heldLines(report.held),
    ...longestLines(report.longest),
    ...(advice.length > 0 ? ['', 'advice', ...advice.flatMap((text) => sentence(`- ${text}`))] : []),
    ...missingLines(report.missing),
    '',
  ].join('\n')
}

/** Most streams named in one list. */
const NAMED = 5

/** What streams leave behind, where the flags ask for it. */
function reapLines({ reap }: PolicyPlan): string[] {
  const kinds = reapedTold(reap)
  return kinds.length === 0 ? [] : sentence(`It would also remove ${listed(kinds)}.`)
}

function archiveLines({ archive, isExact }: PolicyPlan): string[] {
  if (archive === 0) return []
  return sentence(`It would archive ${isExact ? '' : '≈'}${counted(archive, 'entry', 'entries')} before that.`)
}

/** What groups would lose, worst first. */
function unreadLines({ total, unread }: PlanReport): string[] {
  if (total.unread === 0) return []
  const lost = counted(total.unread, 'entry', 'entries')
  return [
    '',
    ...sentence(`${lost} would be removed before a consumer group has read ${total.unread === 1 ? 'it' : 'them'}:`),
    ...unread
      .slice(0, NAMED)
      .flatMap(({ key, group, entries }) => sentence(`  ${entries} of ${shown(key)}, unread by group ${group}`)),
  ]
}

function customIdLines({ total, customIds }: PlanReport): string[] {
  const n = total.customIdStreams
  if (n === 0) return []
  const names = customIds.slice(0, NAMED).map(({ key }) => shown(key))
  const have = counted(n, 'stream has', 'streams have')
  const more = n > names.length ? ', …' : ''
  return sentence(`${have} custom IDs and will not be trimmed by age: ${names.join(', ')}${more}`)
}

function overLimitLines({ overLimit }: PolicyPlan): string[] {
  return LIMITS.flatMap((limit) => {
    const n = overLimit[limit]
    return n === 0 ? [] : sentence(`${counted(n, 'stream', 'streams')} will stay over the limit on ${limit}`)
  })
}

function removals({ remove, removeBytes, isExact }: PolicyPlan, reasons: readonly Reason[]): string[] {
  const figure = (n: number): string => (n === 0 || isExact ? String(n) : `≈${n}`)
  return [...reasons.map((reason) => figure(remove[reason])), removeBytes === 0 ? '0b' : `≈${roundSize(removeBytes)}`]
}

/** The policy as its flags, without those that are off or have no effect. */
function describeLimits(policy: Policy): string {
  const { name, match } = policy
  const limits = Object.entries(limitTexts(policy)).filter(
    ([flag, text]) => !isOff(text) && (flag !== 'stale-group-after' || policy.protect !== 'none'),
  )
  return `${name === match ? name : `${name} (${match})`}: ${limits.map(([flag, text]) => `${flag} ${text}`).join(', ')}`
}

/** Outcomes as plain data: the JSON of `--output json`, and the fields of log lines. */
import { adviceFor } from '../retention/advice.ts'
import type { Hold } from '../retention/groups.ts'
import type { Policy } from '../retention/policy.ts'
import type { LongStream } from '../sweep/longest.ts'
import type { PlanReport, PolicyPlan } from '../sweep/plan.ts'
import type { SweepReport, Verdict } from '../sweep/sweep.ts'
import type { HeldStream, PolicyTally } from '../sweep/tally.ts'
import { shown } from '../text/shown.ts'
import { limitTexts } from './limits.ts'

/** What the log line of a sweep carries: no stream's key, and nothing that grows with the number of streams. */
export function sweepFields(report: SweepReport) {
  return {
    ...verdictFields(report),
    ...withoutName(report.total),
    ...(report.policies.length > 1 ? { policies: report.policies } : {}),
  }
}

/** The whole report, for scripts. */
export function sweepJson(report: SweepReport) {
  return {
    ...sweepFields(report),
    policies: report.policies,
    missing: Object.fromEntries(report.missing),
    held: heldOf(report.held),
    longest: longestOf(report.longest),
  }
}

/** What a plan found, for scripts. `exact` tells whether the figures of `remove` are counts or estimates. */
export function planJson(report: PlanReport, policies: readonly Policy[]) {
  return {
    ...verdictFields(report),
    ...planFields(report.total),
    errors: report.errors,
    policies: report.policies.map((plan) => ({ policy: plan.policy, ...planFields(plan) })),
    missing: Object.fromEntries(report.missing),
    held: heldOf(report.held),
    longest: longestOf(report.longest),
    advice: adviceOn(report, policies),
  }
}

/** Which group holds a stream back, and since when it has shown no life. */
export function holdFields({ group, lastAliveMs }: Hold) {
  return { group, lastAlive: lastAliveMs === null ? null : new Date(lastAliveMs).toISOString() }
}

/** A policy by the names of its flags, as texts that the flags would take. */
export function policyFields(policy: Policy) {
  return { name: policy.name, match: policy.match, ...limitTexts(policy) }
}

/** Sentences on every policy that calls for one. */
export function adviceOn(report: PlanReport, policies: readonly Policy[]): string[] {
  return policies.flatMap((policy, i) => adviceFor(policy, report.policies[i] ?? report.total))
}

function planFields({ policy: _, remove, removeBytes, isExact, ...figures }: PolicyPlan) {
  return { ...figures, remove: { ...remove, approximateBytes: removeBytes, exact: isExact } }
}

function verdictFields({ result, cause, message, durationMs }: Verdict & { readonly durationMs: number }) {
  return {
    result,
    ...(cause === null ? {} : { cause, reason: message }),
    durationSeconds: Math.round(durationMs) / 1000,
  }
}

function heldOf(held: readonly HeldStream[]) {
  return held.map(({ key, policy, hold }) => ({ stream: shown(key), policy, ...holdFields(hold) }))
}

function longestOf(longest: readonly LongStream[]) {
  return longest.map(({ key, policy, length }) => ({ stream: shown(key), policy, length }))
}

function withoutName({ policy: _, ...tally }: PolicyTally) {
  return tally
}

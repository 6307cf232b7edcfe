/** Reports as plain data: the JSON of `--output json` and the fields of log lines. */

import type { Config } from '../config/config.ts'
import type { Setting } from '../config/settings.ts'
import { limitTexts } from '../phrases/limits.ts'
import { settingFields } from '../phrases/settings.ts'
import type { PlanReport } from '../plan/plan.ts'
import type { PolicyPlan } from '../plan/policy_plan.ts'
import { formatAddress } from '../redis/address.ts'
import type { MissingCommands } from '../redis/refused.ts'
import { adviceFor, adviceOnGroup } from '../retention/advice.ts'
import type { Hold } from '../retention/groups.ts'
import type { Policy } from '../retention/policy.ts'
import { type Pause, pauseFields } from '../shared_keys/pause_key.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { Verdict } from '../sweep/verdict.ts'
import type { LongStream } from '../tally/longest.ts'
import type { HeldStream } from '../tally/outcome.ts'
import type { PolicyTally } from '../tally/tally.ts'
import { shown } from '../text/shown.ts'

/** The fields of a sweep's log line: no stream keys, and nothing that grows with the number of streams. */
export function sweepFields(report: SweepReport) {
  return {
    ...verdictFields(report),
    ...withoutName(report.total),
    ...(report.policies.length > 1 ? { policies: report.policies } : {}),
  }
}

/** What `sweep --output json` prints. `pause` is the one in force, which does not hold back a sweep by hand. */
export function sweepJson(report: SweepReport, pause: Pause | null = null) {
  return {
    ...sweepFields(report),
    paused: pause && pauseFields(pause),
    policies: report.policies,
    missing: missingFields(report.missing),
    held: heldFields(report.held),
    longest: longestFields(report.longest),
  }
}

/** The configuration in effect, without secrets, for the first line of the daemon's log. */
export function startFields({ policies, cron, dryRun, lease, redis, settings }: Config) {
  return {
    redis: { mode: redis.topology.mode, addresses: redis.topology.addresses.map(formatAddress) },
    cron: cron.pattern,
    timezone: cron.timezone,
    dryRun,
    lease: lease?.key ?? null,
    policies: policies.map(policyFields),
    settings: settingFields(settings),
  }
}

/** What `plan --output json` prints. `exact` says whether the figures of `remove` are counts or estimates. */
export function planJson(
  report: PlanReport,
  policies: readonly Policy[],
  settings: readonly Setting[],
  pause: Pause | null = null,
) {
  return {
    ...verdictFields(report),
    paused: pause && pauseFields(pause),
    ...planFields(report.total),
    errors: report.errors,
    policies: report.policies.map((plan) => ({ policy: plan.policy, ...planFields(plan) })),
    missing: missingFields(report.missing),
    held: heldFields(report.held),
    worstUnread: report.unread.map(({ key, policy, group, entries }) => ({
      stream: shown(key),
      policy,
      group,
      entries,
    })),
    customIds: report.customIds.map(({ key, policy }) => ({ stream: shown(key), policy })),
    longest: longestFields(report.longest),
    advice: adviceOn(report, policies),
    settings: settingFields(settings),
  }
}

/** What needs each command that is missing, and whether the server does not know it. */
export function missingFields(missing: MissingCommands) {
  return Object.fromEntries(
    [...missing].map(([command, { neededFor, why }]) => [
      command,
      why === 'unknown' ? `${neededFor}; the server does not know it` : neededFor,
    ]),
  )
}

/** The group that holds a stream back, and when it last showed activity. */
export function holdFields({ group, lastAliveMs }: Hold) {
  return { group, lastAlive: lastAliveMs === null ? null : new Date(lastAliveMs).toISOString() }
}

/** A policy's limits by flag name, as values that the flags accept. */
export function policyFields(policy: Policy) {
  return { name: policy.name, match: policy.match, ...limitTexts(policy) }
}

/** Advice on policies whose figures suggest a change, as sentences. */
export function adviceOn(report: PlanReport, policies: readonly Policy[]): string[] {
  return [
    ...policies.flatMap((policy, i) => adviceFor(policy, report.policies[i] ?? report.total)),
    ...(report.crowded ?? []).map(adviceOnGroup),
  ]
}

/** Without the figures that only advice is based on. */
function planFields({
  policy: _,
  oneEntryBytes: __,
  oneEntryOverhead: ___,
  remove,
  removeBytes,
  isExact,
  ...figures
}: PolicyPlan) {
  return { ...figures, remove: { ...remove, approximateBytes: removeBytes, exact: isExact } }
}

function verdictFields({ result, cause, message, durationMs }: Verdict & { readonly durationMs: number }) {
  return {
    result,
    ...(cause === null ? {} : { cause, reason: message }),
    durationSeconds: Math.round(durationMs) / 1000,
  }
}

function heldFields(held: readonly HeldStream[]) {
  return held.map(({ key, policy, hold }) => ({ stream: shown(key), policy, ...holdFields(hold) }))
}

function longestFields(longest: readonly LongStream[]) {
  return longest.map(({ key, policy, length }) => ({ stream: shown(key), policy, length }))
}

function withoutName({ policy: _, ...tally }: PolicyTally) {
  return tally
}

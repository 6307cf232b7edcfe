/** What a sweep would do: the same walk, the same look, and not one command that writes. */

import type { Command, Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import type { Memory } from '../redis/server_state.ts'
import { LEAST_SHARE, leastShares, NODE_ENTRIES, shareOfReading } from '../retention/bites.ts'
import { estimateTrim } from '../retention/estimate.ts'
import { type Group, type Hold, holdOf, isStale } from '../retention/groups.ts'
import {
  ageLimitMs,
  forEachReason,
  lengthLimit,
  type Policy,
  REASONS,
  type Reason,
  sumOfReasons,
} from '../retention/policy.ts'
import { isDue } from './due.ts'
import { readGroups } from './group_state.ts'
import { Longest, type LongStream } from './longest.ts'
import { type Found, lookAtPage } from './look.ts'
import { accepted, lacking, type Missing, nameOf, Refused } from './refused.ts'
import { memoryCommand, readOldest } from './stream.ts'
import { type Verdict, verdictOn, verdictOnStreams } from './sweep.ts'
import { countRefusal, HELD_NAMED, type HeldStream } from './tally.ts'
import { type Page, type WalkTask, walk } from './walk.ts'

/** Of one policy, or of all of them. */
export interface PolicyPlan {
  readonly policy: string
  streams: number
  emptyStreams: number
  oneEntryStreams: number
  entries: number
  /** As Redis reports it stream by stream; null where it may not be asked. */
  bytes: number | null
  readonly remove: Record<Reason, number>
  removeBytes: number
  /** Whether the figures of `remove` are counts, and not estimates. */
  isExact: boolean
  customIdStreams: number
  protectedStreams: number
  /** Streams with a group that shows no life and protects nothing any more. */
  staleGroupStreams: number
}

export interface PlanReport extends Verdict {
  readonly durationMs: number
  readonly memory: Memory | null
  readonly policies: readonly PolicyPlan[]
  readonly total: PolicyPlan
  /** Streams that Redis refused to have looked at, by its error word. */
  readonly errors: Readonly<Record<string, number>>
  readonly missing: ReadonlyMap<string, string>
  readonly held: readonly HeldStream[]
  readonly longest: readonly LongStream[]
}

export interface PlanTask extends WalkTask {
  readonly longestStreams: number
}

/** Counting entries one by one is worth it where a page of them is all there is. */
const COUNTED_ENTRIES = NODE_ENTRIES

/** Looks at every matching stream and says what a sweep would remove. Never throws what Redis did. */
export async function plan(task: PlanTask, stop: AbortSignal): Promise<PlanReport> {
  const policies = task.policies.map(({ name }) => emptyPlan(name))
  const longest = new Longest(task.longestStreams)
  const held: HeldStream[] = []
  const errors: Record<string, number> = {}
  const refusals = new Map<string, string>()
  const missing = new Map<string, string>()
  const miss: Missing = (command, neededFor) => {
    missing.set(command, neededFor)
  }
  const refuse = ({ refusal, command }: Refused): void => {
    const { word, message } = refusal
    countRefusal({ word, command, message }, errors, refusals)
    const lack = lacking(command, refusal)
    if (lack !== null) miss(lack.command, lack.neededFor)
  }

  const lookAt = async (page: Page, stream: Found, memory: number | null): Promise<void> => {
    const policy = task.policies[stream.policy] as Policy
    const sum = policies[stream.policy] as PolicyPlan
    try {
      const hold = isDue(stream, policy, page.nowMs) ? await addRemoval(sum, stream, memory ?? 0, policy, page) : null
      if (hold !== null && held.length < HELD_NAMED) held.push({ key: stream.key, policy: policy.name, hold })
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      if (isNoStream(error)) return
      refuse(error)
    }
    longest.offer(stream.key, policy.name, stream.state.length)
    addStream(sum, stream, memory)
  }

  const walked = await walk(
    task,
    stop,
    async (page) => {
      const { found, unseen } = await lookAtPage(page.ask, page.keys, task.policies, page.nowMs)
      for (const { policy, refusal, command } of unseen) {
        const refused = new Refused(refusal, nameOf(command))
        if (isNoStream(refused)) continue
        ;(policies[policy] as PolicyPlan).streams++
        refuse(refused)
      }
      const memories = await readMemories(page, found, miss)
      await Promise.all(found.map((stream, i) => lookAt(page, stream, memories[i] ?? null)))
    },
    miss,
  )
  const total = sumOfPlans(policies)
  return {
    ...(verdictOn(walked) ?? verdictOnStreams({ errors, streams: total.streams }, refusals)),
    durationMs: walked.durationMs,
    memory: walked.memory,
    policies,
    total,
    errors,
    missing,
    held,
    longest: longest.list(),
  }
}

/** A key that became something else is nobody's business. */
function isNoStream({ refusal }: Refused): boolean {
  return refusal.word === 'WRONGTYPE'
}

/** The memory of each stream; null where the ACL does not allow to ask. */
async function readMemories(page: Page, found: readonly Found[], missing: Missing): Promise<(number | null)[]> {
  if (found.length === 0) return []
  const replies = await page.ask(
    found.map(({ key }) => memoryCommand(key)),
    leastShares(found.length),
  )
  return replies.map((reply) => {
    if (!(reply instanceof Refusal)) return Number(reply)
    const lack = lacking('MEMORY USAGE', reply)
    if (lack !== null) missing(lack.command, 'the bytes that plan shows')
    return null
  })
}

function addStream(sum: PolicyPlan, { state, byAge }: Found, memory: number | null): void {
  sum.streams++
  if (state.length === 0) sum.emptyStreams++
  if (state.length === 1) sum.oneEntryStreams++
  sum.entries += state.length
  sum.bytes = sum.bytes === null || memory === null ? null : sum.bytes + memory
  if (!byAge) sum.customIdStreams++
}

/** Adds what would go from one stream. @returns the hold that keeps something its policy would remove @throws Refused */
async function addRemoval(
  sum: PolicyPlan,
  stream: Found,
  memoryBytes: number,
  policy: Policy,
  page: Page,
): Promise<Hold | null> {
  const { key, state, byAge } = stream
  if (state.length === 0) return null
  const { nowMs } = page
  const groups: readonly Group[] = policy.protect === 'none' ? [] : await readGroups(page.ask, key, policy.protect)
  const hold = holdOf(groups, policy, nowMs)
  if (groups.some((group) => isStale(group, policy.staleGroupAfterMs, nowMs))) sum.staleGroupStreams++

  const cutOffMs = nowMs - ageLimitMs(policy)
  const isStaleByAge = byAge && !!state.oldest && state.oldest.ms < cutOffMs
  const count = isStaleByAge && hold === null && state.length <= COUNTED_ENTRIES
  const commands: Command[] = [
    ['XREVRANGE', key, '+', '-', 'COUNT', '1'],
    ...(count ? [['XRANGE', key, '-', `(${Math.max(0, cutOffMs)}-0`, 'COUNT', String(COUNTED_ENTRIES)]] : []),
  ]
  const share = LEAST_SHARE + (count ? shareOfReading(state.length) : 0)
  const replies: Reply[] = (await page.ask(commands, share)).map((reply, i) => accepted(reply, commands[i] ?? []))
  const estimate = estimateTrim(
    {
      length: state.length,
      oldestMs: byAge && state.oldest ? state.oldest.ms : null,
      newestMs: readOldest(replies[0] ?? null)?.ms ?? null,
      countedOlder: count && Array.isArray(replies[1]) ? replies[1].length : null,
      memoryBytes,
    },
    policy,
    hold,
    nowMs,
  )
  for (const reason of REASONS) sum.remove[reason] += estimate.removed[reason]
  sum.removeBytes += estimate.bytes
  sum.isExact &&= estimate.isExact
  const left = state.length - sumOfReasons(estimate.removed)
  const slack = policy.trim === 'approx' ? NODE_ENTRIES : 0
  const holdsAge = isStaleByAge && hold !== null && Number(hold.floor.ms) < cutOffMs
  const holdsLength = hold !== null && left > lengthLimit(policy) + slack
  if (!holdsAge && !holdsLength) return null
  sum.protectedStreams++
  return hold
}

export function emptyPlan(policy: string): PolicyPlan {
  return {
    policy,
    streams: 0,
    emptyStreams: 0,
    oneEntryStreams: 0,
    entries: 0,
    bytes: 0,
    remove: forEachReason(0),
    removeBytes: 0,
    isExact: true,
    customIdStreams: 0,
    protectedStreams: 0,
    staleGroupStreams: 0,
  }
}

/** The sum over policies, under the name `all`. */
export function sumOfPlans(plans: readonly PolicyPlan[]): PolicyPlan {
  const sum = emptyPlan('all')
  for (const plan of plans) {
    for (const name of [
      'streams',
      'emptyStreams',
      'oneEntryStreams',
      'entries',
      'removeBytes',
      'customIdStreams',
      'protectedStreams',
      'staleGroupStreams',
    ] as const) {
      sum[name] += plan[name]
    }
    sum.bytes = sum.bytes === null || plan.bytes === null ? null : sum.bytes + plan.bytes
    for (const reason of REASONS) sum.remove[reason] += plan.remove[reason]
    sum.isExact &&= plan.isExact
  }
  return sum
}

/** What a sweep would do: the same walk and the same look, without any command that writes. */

import { isDue } from '../judge/due.ts'
import { readGroups } from '../look/consumer_groups.ts'
import type { Found } from '../look/found.ts'
import { lookAtPage } from '../look/look.ts'
import { memoryCommand, readOldest } from '../look/stream_state.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { accepted, deniedCommand, type Missing, nameOf, Refused } from '../redis/refused.ts'
import type { Memory } from '../redis/server_state.ts'
import { costOfReading, LEAST_COST, leastCosts, NODE_ENTRIES } from '../retention/bites.ts'
import { estimateTrim } from '../retention/estimate.ts'
import { type Group, type Hold, holdOf, isStale } from '../retention/groups.ts'
import { ageLimitMs, lengthLimit, type Policy, REASONS, sumOfReasons } from '../retention/policy.ts'
import { type Verdict, verdictOn, verdictOnStreams } from '../sweep/verdict.ts'
import { Longest, type LongStream } from '../tally/longest.ts'
import { HELD_NAMED, type HeldStream } from '../tally/outcome.ts'
import { countRefusal } from '../tally/tally.ts'
import { type Visit, type WalkTask, walk } from '../walk/walk.ts'
import { emptyPlan, type PolicyPlan, sumOfPlans } from './policy_plan.ts'

export interface PlanReport extends Verdict {
  readonly durationMs: number
  readonly memory: Memory | null
  readonly policies: readonly PolicyPlan[]
  readonly total: PolicyPlan
  /** Streams at which Redis refused a look, by its error word. */
  readonly errors: Readonly<Record<string, number>>
  readonly missing: ReadonlyMap<string, string>
  readonly held: readonly HeldStream[]
  readonly longest: readonly LongStream[]
}

export interface PlanTask extends WalkTask {
  readonly longestStreams: number
}

/** Streams of at most this many entries are counted entry by entry. */
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
    const lack = deniedCommand(command, refusal)
    if (lack !== null) miss(lack.command, lack.neededFor)
  }

  const lookAt = async (visit: Visit, stream: Found, memory: number | null): Promise<void> => {
    const policy = task.policies[stream.policy] as Policy
    const sum = policies[stream.policy] as PolicyPlan
    try {
      const hold = isDue(stream, policy, visit.nowMs) ? await addRemoval(sum, stream, memory ?? 0, policy, visit) : null
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
    (visit) => async (keys) => {
      const { found, unseen } = await lookAtPage(visit.ask, keys, task.policies, visit.nowMs)
      for (const { policy, refusal, command } of unseen) {
        const refused = new Refused(refusal, nameOf(command))
        if (isNoStream(refused)) continue
        ;(policies[policy] as PolicyPlan).streams++
        refuse(refused)
      }
      const memories = await readMemories(visit, found, miss)
      await Promise.all(found.map((stream, i) => lookAt(visit, stream, memories[i] ?? null)))
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

/** Whether the key stopped being a stream. */
function isNoStream({ refusal }: Refused): boolean {
  return refusal.word === 'WRONGTYPE'
}

/** The memory of each stream; null where Redis denies the command. */
async function readMemories(visit: Visit, found: readonly Found[], missing: Missing): Promise<(number | null)[]> {
  if (found.length === 0) return []
  const replies = await visit.ask(
    found.map(({ key }) => memoryCommand(key)),
    leastCosts(found.length),
  )
  return replies.map((reply) => {
    if (!(reply instanceof Refusal)) return Number(reply)
    const lack = deniedCommand('MEMORY USAGE', reply)
    if (lack !== null) missing(lack.command, 'the bytes that plan shows')
    return null
  })
}

function addStream(sum: PolicyPlan, { state, hasTimeIds }: Found, memory: number | null): void {
  sum.streams++
  if (state.length === 0) sum.emptyStreams++
  if (state.length === 1) sum.oneEntryStreams++
  sum.entries += state.length
  sum.bytes = sum.bytes === null || memory === null ? null : sum.bytes + memory
  if (!hasTimeIds) sum.customIdStreams++
}

/** Adds what would be removed from one stream. @returns the hold that keeps entries the policy would remove @throws Refused */
async function addRemoval(
  sum: PolicyPlan,
  stream: Found,
  memoryBytes: number,
  policy: Policy,
  visit: Visit,
): Promise<Hold | null> {
  const { key, state, hasTimeIds } = stream
  if (state.length === 0) return null
  const { nowMs } = visit
  const groups: readonly Group[] = policy.protect === 'none' ? [] : await readGroups(visit.ask, key, policy.protect)
  const hold = holdOf(groups, policy, nowMs)
  if (groups.some((group) => isStale(group, policy.staleGroupAfterMs, nowMs))) sum.staleGroupStreams++

  const cutOffMs = nowMs - ageLimitMs(policy)
  const isStaleByAge = hasTimeIds && !!state.oldest && state.oldest.ms < cutOffMs
  const count = isStaleByAge && hold === null && state.length <= COUNTED_ENTRIES
  const commands: Command[] = [
    ['XREVRANGE', key, '+', '-', 'COUNT', '1'],
    ...(count ? [['XRANGE', key, '-', `(${Math.max(0, cutOffMs)}-0`, 'COUNT', String(COUNTED_ENTRIES)]] : []),
  ]
  const cost = LEAST_COST + (count ? costOfReading(state.length) : 0)
  const replies: Reply[] = (await visit.ask(commands, cost)).map((reply, i) => accepted(reply, commands[i] ?? []))
  const estimate = estimateTrim(
    {
      length: state.length,
      oldestMs: hasTimeIds && state.oldest ? state.oldest.ms : null,
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

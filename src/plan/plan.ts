/** What a sweep would do: the same walk and the same look, without any command that writes. */

import { leastCosts } from '../entries/bites.ts'
import { groupBytes } from '../entries/entry_bytes.ts'
import { CountingWay } from '../forecast/counting_way.ts'
import { type Forecast, forecastStream } from '../forecast/forecast_stream.ts'
import { tellBytes } from '../forecast/told_bytes.ts'
import { isDue, isReapDue } from '../judge/due.ts'
import type { Contents } from '../look/entry_bytes.ts'
import type { Found } from '../look/found.ts'
import { lookAtPage } from '../look/look.ts'
import { type Habits, memoryHabits } from '../look/memory_habits.ts'
import { memoryCommand } from '../look/stream_state.ts'
import { Refusal } from '../redis/refusal.ts'
import {
  hasStoppedBeingStream,
  type Lack,
  lackOf,
  type Missing,
  type MissingCommands,
  nameOf,
  Refused,
} from '../redis/refused.ts'
import type { Memory } from '../redis/server_state.ts'
import type { CrowdedStream } from '../retention/advice.ts'
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import { type Verdict, verdictOn, verdictOnStreams } from '../sweep/verdict.ts'
import { Longest, type LongStream } from '../tally/longest.ts'
import { HELD_NAMED, type HeldStream } from '../tally/outcome.ts'
import { countRefusal } from '../tally/tally.ts'
import { shown } from '../text/shown.ts'
import { type Progress, type Visit, type WalkTask, walk } from '../walk/walk.ts'
import { addForecast, addStream, emptyPlan, type PolicyPlan, sumOfPlans } from './policy_plan.ts'

export interface PlanReport extends Verdict {
  readonly durationMs: number
  readonly memory: Memory | null
  readonly policies: readonly PolicyPlan[]
  readonly total: PolicyPlan
  /** Streams at which Redis refused a look, by its error word. */
  readonly errors: Readonly<Record<string, number>>
  readonly missing: MissingCommands
  /** The first few streams that a group would keep over a limit. */
  readonly held: readonly HeldStream[]
  /** The streams that would lose most entries unread, worst first. */
  readonly unread: readonly UnreadLoss[]
  /** The first few streams with custom IDs, which no age limit can judge. */
  readonly customIds: readonly NamedStream[]
  readonly longest: readonly LongStream[]
  /** The streams whose groups take most, and more than the entries do; only if there are any. */
  readonly crowded?: readonly CrowdedStream[]
}

export interface NamedStream {
  readonly key: Buffer
  readonly policy: string
}

/** Entries of one stream that would go before a group has read them. */
export interface UnreadLoss extends NamedStream {
  readonly group: string
  readonly entries: number
}

export interface PlanTask extends WalkTask {
  readonly longestStreams: number
  /** Called for each stream that is due, with what a sweep would do to it. */
  readonly onForecast?: (key: Buffer, forecast: Forecast) => void
}

/** Most streams about whose groups there is advice. */
const CROWDED_NAMED = 3
/** Most streams named in each list of a plan. */
const STREAMS_NAMED = 20

/** Looks at every matching stream and says what a sweep would remove. Never throws what Redis did. */
export async function plan(task: PlanTask, stop: AbortSignal): Promise<PlanReport> {
  const policies = task.policies.map(({ name }) => emptyPlan(name))
  const longest = new Longest(task.longestStreams)
  const held: HeldStream[] = []
  const customIds: NamedStream[] = []
  let unread: readonly UnreadLoss[] = []
  let crowded: readonly CrowdedStream[] = []
  const errors: Record<string, number> = {}
  const refusals = new Map<string, string>()
  const missing = new Map<string, Omit<Lack, 'command'>>()
  const miss: Missing = (command, neededFor, why) => {
    missing.set(command, { neededFor, why })
  }
  const refuse = ({ refusal, command }: Refused): void => {
    const { word, message } = refusal
    countRefusal({ word, command, message }, errors, refusals)
    const lack = lackOf(command, refusal)
    if (lack !== null) miss(lack.command, lack.neededFor, lack.why)
  }

  const lookAt = async (
    visit: Visit & { readonly way: CountingWay; readonly habits: Habits },
    stream: Found,
    memory: number | null,
  ): Promise<void> => {
    const limits = task.policies[stream.policy] as Policy
    const sum = policies[stream.policy] as PolicyPlan
    const { key, state } = stream
    const { nowMs, ask, way, habits } = visit
    try {
      const { bytes, contents } = await tellBytes(ask, stream, memory, limits, habits)
      if (contents !== null) crowd(key, limits.name, contents)
      if (isDue(stream, limits, nowMs) || isReapDue(stream, limits, nowMs)) {
        const forecast = await forecastStream(stream, { ask, limits, nowMs, way, missing: miss, bytes })
        addForecast(sum, forecast, state.length, limits.archive)
        name(key, limits.name, forecast)
        task.onForecast?.(key, forecast)
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      if (hasStoppedBeingStream(error.refusal)) return
      refuse(error)
    }
    longest.offer(key, limits.name, state.length)
    if (!stream.hasTimeIds && customIds.length < STREAMS_NAMED) customIds.push({ key, policy: limits.name })
    addStream(sum, stream, memory)
  }
  const name = (key: Buffer, policy: string, { hold, unread: loss }: Forecast): void => {
    if (hold !== null && held.length < HELD_NAMED) held.push({ key, policy, hold })
    if (loss !== null) unread = [...unread, { key, policy, ...loss }].sort((a, b) => b.entries - a.entries)
    unread = unread.slice(0, STREAMS_NAMED)
  }

  const crowd = (key: Buffer, policy: string, { counts, largest: group, entries }: Contents): void => {
    if (groupBytes(counts) <= entries.likelyBytes) return
    const stream = { stream: shown(key), policy, group, entryBytes: entries.likelyBytes }
    crowded = [...crowded, stream].sort((a, b) => groupBytes(b.group) - groupBytes(a.group)).slice(0, CROWDED_NAMED)
  }

  const soFar = (): Progress => {
    const { streams, remove } = sumOfPlans(policies)
    return { streams, removed: sumOfReasons(remove) }
  }
  // One stream may take as long as a page of others: every answer shows on the progress line.
  const onAnswer = (): void => {
    task.onAnswer?.()
    task.onProgress?.(soFar)
  }
  const walked = await walk(
    { ...task, onAnswer },
    stop,
    (visit) => {
      const looking = { ...visit, way: new CountingWay(visit.mostAtOnce, miss), habits: memoryHabits(visit.ask) }
      const page = async (keys: readonly Buffer[]): Promise<void> => {
        const { found, unseen } = await lookAtPage(visit.ask, keys, task.policies, visit.nowMs)
        for (const { policy, refusal, command } of unseen) {
          const refused = new Refused(refusal, nameOf(command))
          if (hasStoppedBeingStream(refused.refusal)) continue
          ;(policies[policy] as PolicyPlan).streams++
          refuse(refused)
        }
        const memories = await readMemories(visit, found, miss)
        await Promise.all(found.map((stream, i) => lookAt(looking, stream, memories[i] ?? null)))
      }
      return { page }
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
    unread,
    customIds,
    longest: longest.list(),
    ...(crowded.length > 0 ? { crowded } : {}),
  }
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
    const lack = lackOf('MEMORY USAGE', reply)
    if (lack !== null) missing(lack.command, 'the bytes that plan shows', lack.why)
    return null
  })
}

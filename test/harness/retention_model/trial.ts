/** Runs one case: creates its streams, runs its interrupted sweeps and then a whole one, and compares after each. */
import type { Forecast } from '../../../src/forecast/forecast_stream.ts'
import { plan } from '../../../src/plan/plan.ts'
import { type SweepReport, type SweepTask, sweep } from '../../../src/sweep/sweep.ts'
import type { OneServer } from '../cluster_as_one.ts'
import { redisNow } from '../streams.ts'
import { taskOf } from '../sweep_here.ts'
import type { TcpProxy } from '../tcp_proxy.ts'
import { waitUntil } from '../waiting.ts'
import { findingsOn, type Swept, type Told } from './comparison.ts'
import { differences, isComparable } from './foretold.ts'
import { type Case, drawCase, type Interruption, type PlannedPolicy } from './generated.ts'
import { memoryLadder } from './memory_ladder.ts'
import { plant } from './planting.ts'
import { type Snapshot, takeSnapshot } from './snapshot.ts'

export interface Trial {
  readonly drawn: Case
  /** Every finding, with its sweep and its stream. */
  readonly findings: readonly string[]
  /** Sweeps that were cut short in the middle of their work. */
  readonly cutShort: number
  readonly sweeps: number
  readonly swept: readonly Swept[]
  /** In how many streams a plan was compared with the sweep after it. */
  readonly foretold: number
}

/** How the program reaches the server: through a proxy that can cut its connection, or directly. */
export interface Entrance {
  readonly url: string
  readonly args: readonly string[]
  readonly proxy: TcpProxy | null
}

export async function tryCase(redis: OneServer, entrance: Entrance, seed: number): Promise<Trial> {
  const { proxy } = entrance
  const drawn = drawCase(seed, await redisNow(redis))
  await plant(redis, drawn)
  const findings: string[] = []
  const all: Swept[] = []
  let cutShort = 0
  let foretold = 0
  // What the program remembers from sweep to sweep must not mislead it.
  const task = taskFor(drawn, entrance)
  for (const [i, interruption] of [...drawn.interruptions, null].entries()) {
    if (i > 0) await wake(redis, drawn)
    const before = await snapshots(redis, drawn)
    const ladders = await laddersOf(redis, drawn, before)
    const plannedFromMs = await redisNow(redis)
    const forecasts = interruption === null ? await forecastsOf(task) : null
    const fromMs = await redisNow(redis)
    const { report, told } = await sweepUntil(task, proxy, interruption)
    await waitUntil(async () => !String(await redis.command('CLIENT', 'LIST')).includes('name=xtrimd'), {
      timeoutMs: 60_000,
      what: 'Redis to execute everything it was sent',
      everyMs: 1,
    })
    const toMs = await redisNow(redis)
    const after = await snapshots(redis, drawn)
    const completed = report.result === 'success'
    if (!completed) cutShort++
    if (!completed && interruption === null) findings.push(`the last sweep: ${report.result}, ${report.message}`)
    drawn.streams.forEach(({ key, policy }, s) => {
      const swept: Swept = {
        policy: drawn.policies[policy] as PlannedPolicy,
        before: before[s] as Snapshot,
        after: after[s] as Snapshot,
        fromMs,
        toMs,
        completed,
        told: told.get(key) ?? null,
        ladder: ladders[s] ?? null,
      }
      all.push(swept)
      findings.push(...findingsOn(swept).map((finding) => `sweep ${i + 1}, ${key}: ${finding}`))
      if (forecasts === null || !isComparable(swept, plannedFromMs)) return
      foretold++
      findings.push(...differences(swept, forecasts.get(key) ?? null).map((finding) => `${key}: ${finding}`))
    })
    findings.push(...wrongSums(report, told, drawn).map((finding) => `sweep ${i + 1}: ${finding}`))
  }
  return { drawn, findings, cutShort, sweeps: drawn.interruptions.length + 1, swept: all, foretold }
}

/** Groups that read on: a dead one among them is alive again. */
async function wake(redis: OneServer, { streams, wakes }: Case): Promise<void> {
  for (const { stream, group, count, acknowledges } of wakes) {
    const [key, planned] = [streams[stream]?.key ?? '', streams[stream]?.groups[group]]
    const consumer = planned?.reads[0]?.consumer
    if (consumer === undefined) continue
    const args = ['XREADGROUP', 'GROUP', planned?.name ?? '', consumer, 'COUNT', String(count), 'STREAMS', key, '>']
    // Its group or its stream may be gone by now.
    const reply = (await redis.command(...args).catch(() => null)) as [string, [string][]][] | null
    const ids = (reply?.[0]?.[1] ?? []).map(([id]) => id)
    if (acknowledges && ids.length > 0) await redis.command('XACK', key, planned?.name ?? '', ...ids)
  }
}

/** What a plan says a sweep would do, by stream. */
async function forecastsOf(task: SweepTask): Promise<Map<string, Forecast>> {
  const forecasts = new Map<string, Forecast>()
  const onForecast = (key: Buffer, forecast: Forecast): void => void forecasts.set(key.toString(), forecast)
  const { result, message } = await plan({ ...task, onForecast }, new AbortController().signal)
  if (result !== 'success') throw new Error(`the plan failed: ${message}`)
  return forecasts
}

function snapshots(redis: OneServer, { streams }: Case): Promise<Snapshot[]> {
  return Promise.all(streams.map(({ key }) => takeSnapshot(redis, key)))
}

async function laddersOf(redis: OneServer, { streams, policies }: Case, before: readonly Snapshot[]) {
  const ladders: (ReadonlyMap<number, number> | null)[] = []
  for (const [i, { key, policy }] of streams.entries()) {
    const snapshot = before[i] as Snapshot
    const isLimited = snapshot.exists && policies[policy]?.maxBytes !== Number.POSITIVE_INFINITY
    ladders.push(isLimited ? await memoryLadder(redis, key, snapshot) : null)
  }
  return ladders
}

function taskFor({ policies, pageSize }: Case, { url, args }: Entrance): SweepTask {
  const specs = policies.flatMap((policy) => ['--policy', specOf(policy)])
  return taskOf(url, [...args, '--match', 'nothing:*', '--page-size', String(pageSize), ...specs])
}

/** The policy as `--policy` takes it. */
export function specOf(policy: PlannedPolicy): string {
  const limit = (n: number, unit: string): string => (n === Number.POSITIVE_INFINITY ? 'off' : `${n}${unit}`)
  return [
    policy.match,
    `name=${policy.name}`,
    `max-age=${limit(policy.maxAgeMs, 'ms')}`,
    `max-length=${limit(policy.maxLength, '')}`,
    `max-bytes=${limit(policy.maxBytes, 'b')}`,
    `hard-max-age=${limit(policy.hardMaxAgeMs, 'ms')}`,
    `hard-max-length=${limit(policy.hardMaxLength, '')}`,
    `stale-group-after=${limit(policy.staleGroupAfterMs, 'ms')}`,
    `trim=${policy.trim}`,
    `protect=${policy.protect}`,
    `acked-after=${policy.ackedAfterMs === 0 ? '0s' : limit(policy.ackedAfterMs, 'ms')}`,
    `delete-empty=${policy.deleteEmpty}`,
    `delete-idle=${limit(policy.deleteIdleMs, 'ms')}`,
    `reap-consumers-after=${limit(policy.reapConsumersAfterMs, 'ms')}`,
    `reap-groups=${policy.reapGroups}`,
    `reap-pending=${policy.reapPending}`,
  ].join(',')
}

/** Runs one sweep, with an interruption if there is one. */
async function sweepUntil(
  task: SweepTask,
  proxy: TcpProxy | null,
  interruption: Interruption | null,
): Promise<{ report: SweepReport; told: Map<string, Told> }> {
  const stop = new AbortController()
  const told = new Map<string, Told>()
  if (interruption?.kind === 'cut') proxy?.cutAfterReplyBytes(interruption.afterReplyBytes)
  const report = await sweep(
    {
      ...task,
      ...(interruption?.kind === 'timeout' ? { sweepTimeoutMs: interruption.ms } : {}),
      onOutcome: (_, outcome) => {
        told.set(outcome.key.toString(), outcome)
        if (interruption?.kind === 'stop' && told.size >= interruption.afterOutcomes) stop.abort()
      },
      onProgress: () => {
        if (interruption?.kind === 'stop') stop.abort()
      },
    },
    stop.signal,
  )
  if (interruption?.kind === 'cut') await proxy?.heal()
  return { report, told }
}

/** Findings where the totals of a report are not the sums over its streams. */
function wrongSums({ policies, total }: SweepReport, told: ReadonlyMap<string, Told>, { streams }: Case): string[] {
  const found: string[] = []
  for (const reason of ['age', 'length', 'bytes', 'acked'] as const) {
    const sum = [...told.values()].reduce((n, { removed }) => n + removed[reason], 0)
    if (total.removed[reason] !== sum)
      found.push(`a total of ${total.removed[reason]} by ${reason}, but ${sum} in the streams`)
    policies.forEach(({ policy, removed }, i) => {
      const key = streams.find((stream) => stream.policy === i)?.key ?? ''
      const own = told.get(key)?.removed[reason] ?? 0
      if (removed[reason] !== own && policy !== 'nothing:*')
        found.push(`policy ${policy} has ${removed[reason]} by ${reason}, not ${own}`)
    })
  }
  return found
}

/** What `explain` says of random streams, held to what Redis says of them when asked by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatStreamId } from '../../src/entries/stream_id.ts'
import type { StreamExplained } from '../../src/explain/explain.ts'
import type { Forecast } from '../../src/forecast/forecast_stream.ts'
import { plan } from '../../src/plan/plan.ts'
import { shown } from '../../src/text/shown.ts'
import { explainHere } from '../harness/explain_here.ts'
import { startMonitor, writesAmong } from '../harness/monitor.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import type { Swept } from '../harness/retention_model/comparison.ts'
import { drawCase, type PlannedPolicy } from '../harness/retention_model/generated.ts'
import { judge } from '../harness/retention_model/model.ts'
import { PLANTING_CONFIG, plant } from '../harness/retention_model/planting.ts'
import { reapsTheSame } from '../harness/retention_model/reaping.ts'
import { type Snapshot, takeSnapshot } from '../harness/retention_model/snapshot.ts'
import { specOf } from '../harness/retention_model/trial.ts'
import { redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'

const CASES = Number(process.env.TEST_CASES || 60)
const SEED = Number(process.env.TEST_SEED || Math.floor(Math.random() * 1e9))
/** Cases in which MONITOR watches. */
const MONITORED = 8
const { POSITIVE_INFINITY: OFF } = Number

test(`${CASES} cases from seed ${SEED} on: every number of explain equals what Redis says, what it foretells equals the plan, and it writes nothing`, async (t) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  const seen = { streams: 0, groups: 0, older: 0, held: 0, dangling: 0, removed: 0, foretold: 0 }
  for (let seed = SEED; seed < SEED + CASES; seed++) {
    const drawn = drawCase(seed, await redisNow(redis))
    await plant(redis, drawn)
    const args = ['--match', 'nothing:*', ...drawn.policies.flatMap((policy) => ['--policy', specOf(policy)])]
    const plannedMs = await redisNow(redis)
    const forecasts = await forecastsOf(redis, args)
    for (const { key, policy } of drawn.streams) {
      const before = await takeSnapshot(redis, key)
      if (!before.exists) continue
      // Not of all: reading what MONITOR tells takes longer than everything else.
      const monitor = seed < SEED + MONITORED ? await startMonitor(t, redis) : null
      const { stream, message } = await explainHere(redis.url, key, args)
      if (monitor !== null) {
        const commands = await monitor.commands()
        assert.deepEqual(await writesAmong(redis, commands), [])
        assert.ok(commands.length > 3, 'the control: the monitor saw what explain asked')
      }
      assert.ok(stream, message ?? '')
      const where = `TEST_SEED=${seed} TEST_CASES=1 ${key}`
      const limits = drawn.policies[policy] as PlannedPolicy
      assertAsRedisSays(stream, before, Number(await redis.command('MEMORY', 'USAGE', key)), limits, where)
      await assertGroups(redis, key, stream, before, where)
      if (isSettled(before, limits, plannedMs, stream.nowMs)) {
        assertForecast(stream, forecasts.get(shown(Buffer.from(key))), where)
        seen.foretold++
      }
      seen.streams++
      seen.groups += before.groups.length
      if (stream.findings.some(({ over }) => (over ?? 0) > 0)) seen.older++
      if (stream.groups.some(({ holdsBack }) => holdsBack)) seen.held++
      if (stream.groups.some(({ dangling }) => dangling > 0)) seen.dangling++
      if (Object.values(stream.nextSweep?.removed ?? {}).some((n) => n > 0)) seen.removed++
    }
  }
  t.diagnostic(JSON.stringify(seen))
  // Cases in which there is nothing to tell would prove nothing.
  if (CASES >= 60) for (const [what, n] of Object.entries(seen)) assert.ok(n >= 1, `${what}: ${n}`)
})

/** Whether nothing came of age between two times: no entry, also none that a group keeps, no group, and not the stream. */
function isSettled(before: Snapshot, policy: PlannedPolicy, fromMs: number, toMs: number): boolean {
  const judged = (nowMs: number): unknown[] => {
    const { age, acked, needed } = judge(before, policy, nowMs)
    return [age, acked, needed?.ms, needed?.seq, judge(before, { ...policy, protect: 'none' }, nowMs).age]
  }
  const reaps = { before, after: before, policy, toMs } as unknown as Swept
  return String(judged(fromMs)) === String(judged(toMs)) && reapsTheSame(reaps, fromMs)
}

/** What a plan says of each stream that is due, by key. */
async function forecastsOf(redis: RedisServer, args: readonly string[]): Promise<Map<string, Forecast>> {
  const forecasts = new Map<string, Forecast>()
  const task = {
    ...taskOf(redis.url, args),
    onForecast: (key: Buffer, one: Forecast) => forecasts.set(shown(key), one),
  }
  assert.equal((await plan(task, new AbortController().signal)).result, 'success')
  return forecasts
}

function assertAsRedisSays(
  stream: StreamExplained,
  before: Snapshot,
  memory: number,
  policy: PlannedPolicy,
  where: string,
): void {
  const { entries } = before
  const idOf = (at: number): string | undefined => {
    const id = entries.at(at)
    return id && `${id.ms}-${id.seq}`
  }
  assert.equal(stream.policy?.name, policy.name, where)
  assert.deepEqual([stream.length, stream.memory], [entries.length, memory], where)
  // Beside groups the bytes of the entries are estimated; bytes_beside_groups.test.ts holds that to Redis.
  if (before.groups.length === 0) assert.equal(stream.bytes, memory, where)
  else assert.ok((stream.bytes ?? -1) >= 0 && (stream.bytes ?? 0) <= memory, where)
  assert.deepEqual([stream.first?.id, stream.last?.id], [idOf(0), idOf(-1)], where)
  const { customIds } = judge(before, policy, stream.nowMs)
  if (entries.length > 0) assert.equal(stream.hasTimeIds, !customIds, where)
  const olderThan = (ageMs: number): number | null =>
    customIds && entries.length > 0 ? null : entries.filter(({ ms }) => Number(ms) < stream.nowMs - ageMs).length
  const over = new Map(stream.findings.map((finding) => [finding.limit, finding.over]))
  const expected = {
    'max-age': policy.maxAgeMs === OFF ? undefined : olderThan(policy.maxAgeMs),
    'hard-max-age': policy.hardMaxAgeMs === OFF ? undefined : olderThan(policy.hardMaxAgeMs),
    'max-length': policy.maxLength === OFF ? undefined : Math.max(0, entries.length - policy.maxLength),
    'hard-max-length': policy.hardMaxLength === OFF ? undefined : Math.max(0, entries.length - policy.hardMaxLength),
    'max-bytes': policy.maxBytes === OFF ? undefined : Math.max(0, (stream.bytes ?? 0) - policy.maxBytes),
  } as const
  for (const limit of Object.keys(expected) as (keyof typeof expected)[])
    assert.equal(over.get(limit), expected[limit], `${where} ${limit}`)
  if (customIds || entries.length === 0) {
    assert.equal(stream.written, null, where)
  } else {
    const { perSecond, overMs } = stream.written ?? { perSecond: -1, overMs: 1 }
    const recent = entries.filter(({ ms }) => Number(ms) >= stream.nowMs - overMs).length
    assert.ok(Math.abs(perSecond - recent / (overMs / 1000)) < 1e-9, `${where} ${perSecond} ${recent} ${overMs}`)
  }
}

async function assertGroups(
  redis: RedisServer,
  key: string,
  { groups, nowMs }: StreamExplained,
  before: Snapshot,
  where: string,
): Promise<void> {
  const living = new Set(before.entries.map(({ ms, seq }) => `${ms}-${seq}`))
  const told = groups.map(({ name, lag, pending, dangling, consumers, lastDelivered }) => {
    return { name, lag, pending, consumers, dangling, lastDelivered: formatStreamId(lastDelivered) }
  })
  const real = before.groups.map(({ name, lag, pending, idleMs, lastDelivered }) => ({
    name,
    lag,
    pending: pending.length,
    consumers: idleMs.length,
    lastDelivered: `${lastDelivered.ms}-${lastDelivered.seq}`,
    dangling: pending.filter(({ ms, seq }) => !living.has(`${ms}-${seq}`)).length,
  }))
  const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)
  assert.deepEqual(told.sort(byName), real.sort(byName), where)
  for (const { name, named, lastAliveMs, areAllChecked } of groups) {
    assert.equal(areAllChecked, true, where)
    const consumers = (await redis.command('XINFO', 'CONSUMERS', key, name)) as unknown[][]
    const fields = consumers.map((fields) => new Map(pairsOf(fields)))
    const pendingOf = new Map(fields.map((one) => [String(one.get('name')), Number(one.get('pending'))]))
    assert.deepEqual(new Map(named.map((one) => [shown(one.name), one.pending])), pendingOf, where)
    const youngest = Math.min(...fields.map((one) => Number(one.get('idle'))))
    // Time passes between the two questions.
    if (fields.length > 0) assert.ok(Math.abs((lastAliveMs ?? 0) - (nowMs - youngest)) < 10_000, where)
  }
}

function pairsOf(fields: readonly unknown[]): [string, unknown][] {
  return fields.flatMap((field, i): [string, unknown][] => (i % 2 === 0 ? [[String(field), fields[i + 1]]] : []))
}

function assertForecast({ nextSweep }: StreamExplained, planned: Forecast | undefined, where: string): void {
  assert.ok(nextSweep, where)
  const none = { age: 0, length: 0, bytes: 0, acked: 0 }
  const { removed, unread, over, hold, reap } = nextSweep
  assert.deepEqual(removed, planned?.removed ?? none, where)
  assert.deepEqual(unread, planned?.unread ?? null, where)
  assert.deepEqual(over, planned?.over ?? { age: false, length: false, bytes: false }, where)
  assert.deepEqual([hold?.group, hold?.floor], [planned?.hold?.group, planned?.hold?.floor], where)
  assert.deepEqual(reap, planned?.reap ?? { consumers: 0, groups: 0, pending: 0, streams: 0 }, where)
}

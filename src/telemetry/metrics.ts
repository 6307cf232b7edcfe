/** The metrics. Every series whose labels are known in advance starts at 0. The only file that imports the metrics client. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { DELETE_REASONS } from '../reap/reaped.ts'
import { ERROR_WORDS, FAULT_CODES } from '../redis/refusal.ts'
import type { Memory } from '../redis/server_state.ts'
import { LIMITS, type Policy, REASONS } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import { RESULTS } from '../sweep/verdict.ts'
import { Growth } from '../tally/growth.ts'
import { SKIP_REASONS } from '../tally/outcome.ts'
import { entriesOf, type PolicyTally } from '../tally/tally.ts'
import { shown } from '../text/shown.ts'
import type { WatchState } from '../watch/watch.ts'

/** All metrics of the process. `record` methods add, `set` methods replace. Times are in ms since 1970, memory in bytes. */
export interface Metrics {
  readonly contentType: string
  /** All series in Prometheus's text format. Never asks Redis anything. */
  text(): Promise<string>
  /** Records a finished sweep: its result, what it removed and, if it saw every stream, the state of the streams. */
  recordSweep(report: SweepReport, endedAtMs: number): void
  /** Records a tick without a sweep: one was running, or another copy holds the lease. */
  recordSkippedSweep(): void
  /** Records what trimming between sweeps did, in the same counters that sweeps use. */
  recordTrimming(policies: readonly PolicyTally[]): void
  recordPressureSweep(): void
  /** Sets the state of the watch, and adds what it counted since the last call. */
  recordWatch(
    state: Pick<WatchState, 'heard' | 'primaries' | 'waiting'>,
    added: Pick<WatchState, 'writes' | 'leftToSweep'>,
  ): void
  recordWatchLost(): void
  /** Records that the configuration was read, and whether it was valid. */
  recordReload(isValid: boolean, atMs: number): void
  /** Starts the series of new policies at 0, and removes those of policies that are gone. */
  setPolicies(policies: readonly Policy[]): void
  setMemory(memory: Memory): void
  setNextSweep(atMs: number): void
  setLeader(isLeader: boolean): void
  setPaused(isPaused: boolean): void
  /** Redis answered something other than a sweep. */
  setRedisUp(): void
}

/** Durations of a sweep in seconds, from an empty Redis to a backlog that takes hours. */
const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600]

export function makeMetrics(version: string, initial: readonly Policy[]): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const own = makeOwnMetrics(registry)
  own.buildInfo.set({ version }, 1)
  for (const result of RESULTS) own.sweeps.inc({ result }, 0)
  for (const cause of FAULT_CODES) own.failures.inc({ cause }, 0)
  for (const code of ERROR_WORDS) own.streamErrors.inc({ code }, 0)
  const growth = new Growth()
  let names: ReadonlySet<string> = new Set()
  let longest: SweepReport['longest'] = []
  const setLongest = (streams: SweepReport['longest']): void => {
    longest = streams.filter(({ policy }) => names.has(policy))
    own.streamLength.reset()
    for (const { policy, key, length } of longest) own.streamLength.set({ policy, stream: shown(key) }, length)
  }

  const setPolicies = (policies: readonly Policy[]): void => {
    const now = new Set(policies.map(({ name }) => name))
    const seriesOfEach = (of: ReadonlySet<string>, but: ReadonlySet<string>) =>
      [...of].filter((name) => !but.has(name)).flatMap((name) => seriesOf(own, name))
    for (const [metric, labels] of seriesOfEach(names, now)) metric.remove(labels)
    for (const [metric, labels] of seriesOfEach(now, names)) metric.inc(labels, 0)
    names = now
    growth.setPolicies(policies)
    setLongest(longest)
  }
  setPolicies(initial)

  const recordTrimming = (policies: readonly PolicyTally[]): void => {
    for (const tally of policies) {
      const { policy } = tally
      // A page of the watch may end after its policy was removed, and must not bring the series back.
      if (!names.has(policy)) continue
      for (const [reason, n] of entriesOf(tally.removed)) own.trimmed.inc({ policy, reason }, n)
      for (const [reason, n] of entriesOf(tally.skipped)) own.skipped.inc({ policy, reason }, n)
      own.unread.inc({ policy }, tally.unread)
      for (const [reason, n] of entriesOf(tally.deletedFor)) own.deleted.inc({ policy, reason }, n)
      own.reapedConsumers.inc({ policy }, tally.reaped.consumers)
      own.reapedGroups.inc({ policy }, tally.reaped.groups)
      own.reapedPending.inc({ policy }, tally.reaped.pending)
      for (const [code, n] of entriesOf(tally.errors)) own.streamErrors.inc({ code }, n)
    }
  }

  const setMemory = ({ usedBytes, maxBytes }: Memory): void => {
    own.memoryUsed.set(usedBytes)
    own.memoryMax.set(maxBytes)
  }

  const setStreams = (report: SweepReport): void => {
    for (const tally of report.policies) {
      const { policy } = tally
      own.streams.set({ policy }, tally.streams)
      own.streamsEmpty.set({ policy }, tally.emptyStreams)
      own.entries.set({ policy }, tally.entries.after)
      own.longest.set({ policy }, tally.longestStream)
      own.protectedStreams.set({ policy }, tally.protectedStreams)
      for (const [limit, n] of entriesOf(tally.overLimit)) own.overLimit.set({ policy, limit }, n)
    }
    setLongest(report.longest)
  }

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    recordSweep(report, endedAtMs) {
      own.sweeps.inc({ result: report.result })
      if (report.failure !== null) own.failures.inc({ cause: report.failure })
      own.duration.observe(report.durationMs / 1000)
      // A successful sweep of only the primaries under memory pressure says nothing about the others.
      const isPart = report.result === 'success' && !report.whole
      if (!isPart) own.lastSweep.set(endedAtMs / 1000)
      if (report.result === 'success' && !isPart) own.lastSuccess.set(endedAtMs / 1000)
      const isUp = whetherUp(report)
      if (isUp !== null) own.redisUp.set(isUp ? 1 : 0)
      if (report.memory !== null) setMemory(report.memory)
      recordTrimming(report.policies)
      if (report.whole) setStreams(report)
      // A stream that Redis refused was not counted, and would look as if it had been written later.
      if (!report.whole || report.result !== 'success') growth.recordRemoval(report.policies)
      else for (const [policy, n] of growth.recordWholeSweep(report.policies)) own.added.inc({ policy }, n)
    },
    recordTrimming(policies) {
      recordTrimming(policies)
      growth.recordRemoval(policies)
    },
    setPolicies,
    setMemory,
    recordReload(isValid, atMs) {
      own.reloadSuccessful.set(isValid ? 1 : 0)
      if (isValid) own.lastReload.set(atMs / 1000)
    },
    recordPressureSweep: () => own.pressureSweeps.inc(),
    recordWatchLost: () => own.watchLost.inc(),
    recordWatch({ heard, primaries, waiting }, { writes, leftToSweep }) {
      own.watchUp.set(primaries > 0 && heard === primaries ? 1 : 0)
      own.watchWaiting.set(waiting)
      own.watchWrites.inc(writes)
      own.watchLeft.inc(leftToSweep)
    },
    recordSkippedSweep: () => own.sweeps.inc({ result: 'skipped' }),
    setPaused: (isPaused) => own.paused.set(isPaused ? 1 : 0),
    setLeader(isLeader) {
      own.leader.set(isLeader ? 1 : 0)
      // Another copy sweeps now, and counts what is written meanwhile.
      if (!isLeader) growth.forget()
    },
    setRedisUp: () => own.redisUp.set(1),
    setNextSweep: (atMs) => own.nextSweep.set(atMs / 1000),
  }
}

type Labels = Readonly<Record<string, string>>

/** What counters and gauges have in common. */
interface SeriesByLabels {
  inc(labels: Labels, value: number): void
  remove(labels: Labels): void
}

/** Every series of a policy whose other labels are known in advance. */
function seriesOf(own: OwnMetrics, policy: string): (readonly [SeriesByLabels, Labels])[] {
  const plain = [own.streams, own.streamsEmpty, own.entries, own.longest, own.protectedStreams, own.unread, own.added]
  const reaped = [own.reapedConsumers, own.reapedGroups, own.reapedPending]
  return [
    ...[...plain, ...reaped].map((metric) => [metric, { policy }] as const),
    ...LIMITS.map((limit) => [own.overLimit, { policy, limit }] as const),
    ...REASONS.map((reason) => [own.trimmed, { policy, reason }] as const),
    ...SKIP_REASONS.map((reason) => [own.skipped, { policy, reason }] as const),
    ...DELETE_REASONS.map((reason) => [own.deleted, { policy, reason }] as const),
  ]
}

/** Whether Redis answered; an error reply counts. Null if the sweep may have ended before it asked anything. */
function whetherUp({ result, cause, memory }: SweepReport): boolean | null {
  if (result === 'failed') return cause !== 'connect' && cause !== 'timeout'
  if (memory !== null) return true
  return cause === 'sweep-timeout' ? false : null
}

type OwnMetrics = ReturnType<typeof makeOwnMetrics>

function makeOwnMetrics(registry: Registry) {
  const registers = [registry]
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `xtrimd_${name}`, help, labelNames, registers })
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: `xtrimd_${name}`, help, labelNames, registers })
  return {
    buildInfo: gauge('build_info', 'Always 1; the label holds the version.', ['version']),
    redisUp: gauge('redis_up', 'Whether Redis answered the last time xtrimd contacted it.'),
    leader: gauge('leader', 'Whether this copy is the leader, which sweeps.'),
    paused: gauge('paused', 'Whether this copy found trimming paused by xtrimd pause.'),
    sweeps: counter('sweeps_total', 'Sweeps, by result.', ['result']),
    failures: counter('sweep_failures_total', 'Failed and partial sweeps, by cause.', ['cause']),
    duration: new Histogram({
      name: 'xtrimd_sweep_duration_seconds',
      help: 'How long sweeps took.',
      buckets: DURATION_BUCKETS,
      registers,
    }),
    lastSweep: gauge('last_sweep_timestamp_seconds', 'When the last sweep ended, whatever its result.'),
    lastSuccess: gauge('last_success_timestamp_seconds', 'When the last successful sweep ended.'),
    nextSweep: gauge('next_sweep_timestamp_seconds', 'When the next sweep is due.'),
    streams: gauge('streams', 'Streams found by the last complete sweep.', ['policy']),
    streamsEmpty: gauge('streams_empty', 'Streams without entries after the last complete sweep.', ['policy']),
    entries: gauge('entries', 'Entries in all streams after the last complete sweep.', ['policy']),
    longest: gauge('stream_length_max', 'Entries in the longest stream after the last complete sweep.', ['policy']),
    streamLength: gauge('stream_length', 'Entries in each of the longest streams after the last complete sweep.', [
      'policy',
      'stream',
    ]),
    overLimit: gauge('streams_over_limit', 'Streams still over a limit after the last complete sweep.', [
      'policy',
      'limit',
    ]),
    protectedStreams: gauge('streams_protected', 'Streams that a consumer group kept over a limit.', ['policy']),
    trimmed: counter('entries_trimmed_total', 'Entries removed, by the limit that removed them.', ['policy', 'reason']),
    added: counter('entries_added_total', 'Entries written between two complete sweeps, as the later one found them.', [
      'policy',
    ]),
    unread: counter(
      'entries_trimmed_unread_total',
      'Entries removed before they were delivered to every consumer group.',
      ['policy'],
    ),
    deleted: counter('streams_deleted_total', 'Streams unlinked, by why.', ['policy', 'reason']),
    reapedConsumers: counter('consumers_reaped_total', 'Dead consumers deleted.', ['policy']),
    reapedGroups: counter('groups_reaped_total', 'Dead consumer groups destroyed.', ['policy']),
    reapedPending: counter('pending_reaped_total', 'Pending references to missing entries dropped.', ['policy']),
    skipped: counter('streams_skipped_total', 'Streams not held to every limit, by reason.', ['policy', 'reason']),
    streamErrors: counter('stream_errors_total', 'Streams that Redis refused to read or trim, by error word.', [
      'code',
    ]),
    pressureSweeps: counter('pressure_sweeps_total', 'Sweeps started because of memory pressure.'),
    watchUp: gauge(
      'watch_up',
      'Whether every primary reports its writes; 0 without --watch and on copies that are not the leader.',
    ),
    watchWrites: counter('watch_writes_total', 'Writes to matching streams that Redis reported.'),
    watchWaiting: gauge('watch_waiting', 'Streams waiting to be trimmed after writes.'),
    watchLeft: counter(
      'watch_left_to_sweep_total',
      'How often a stream was left to the next sweep because too many were written to.',
    ),
    watchLost: counter('watch_lost_total', 'How often the subscription to a primary failed or ended.'),
    reloadSuccessful: gauge(
      'config_last_reload_successful',
      'Whether --policy-file was valid when it was last read; 1 without it.',
    ),
    lastReload: gauge(
      'config_last_reload_success_timestamp_seconds',
      'When --policy-file was last read and found valid; the time of the start without it.',
    ),
    memoryUsed: gauge('redis_memory_used_bytes', 'Memory used by Redis, all primaries together.'),
    memoryMax: gauge('redis_memory_max_bytes', 'maxmemory of all primaries together; 0 means unlimited.'),
  }
}

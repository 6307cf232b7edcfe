/** The one door to the metrics client. Every series with closed labels exists from the start, at 0. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { ERROR_WORDS, FAULT_CODES } from '../redis/refusal.ts'
import type { Memory } from '../redis/server_state.ts'
import { type Policy, REASONS } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import { RESULTS } from '../sweep/verdict.ts'
import { SKIP_REASONS } from '../tally/outcome.ts'
import { entriesOf, type PolicyTally } from '../tally/tally.ts'
import { shown } from '../text/shown.ts'
import type { Hearing } from '../watch/watch.ts'

/** All metrics of the process. A method that records adds, one that sets replaces. Times in ms since 1970, memory in bytes. */
export interface Metrics {
  readonly contentType: string
  /** All series in Prometheus's text format. Never asks Redis anything. */
  text(): Promise<string>
  /** A sweep that ended: how it did, what it removed, and, if it saw everything, what it saw. */
  recordSweep(report: SweepReport, endedAtMs: number): void
  /** A tick without a sweep: one was under way, or another copy holds the lease. */
  recordSkippedSweep(): void
  /** What was removed between sweeps counts as what a sweep removed. */
  recordDone(policies: readonly PolicyTally[]): void
  recordPressureSweep(): void
  /** How the watch stands, and what it heard since it was last told. */
  recordHearing(
    hearing: Pick<Hearing, 'heard' | 'primaries' | 'waiting'>,
    more: Pick<Hearing, 'writes' | 'leftToSweep'>,
  ): void
  recordWatchLost(): void
  setMemory(memory: Memory): void
  setNextSweep(atMs: number): void
  setLeader(isLeader: boolean): void
  /** Redis answered, other than to a sweep. */
  setRedisUp(): void
}

/** What a whole sweep may take: from an empty Redis to a backlog of hours. In seconds. */
const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600]

/** Metrics with a registry of their own, every series with closed labels at 0. */
export function makeMetrics(version: string, policies: readonly Policy[]): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const own = makeOwnMetrics(registry)
  own.buildInfo.set({ version }, 1)
  for (const result of RESULTS) own.sweeps.inc({ result }, 0)
  for (const cause of FAULT_CODES) own.failures.inc({ cause }, 0)
  for (const code of ERROR_WORDS) own.streamErrors.inc({ code }, 0)
  for (const { name: policy } of policies) {
    for (const gauge of [own.streams, own.streamsEmpty, own.entries, own.longest, own.protectedStreams])
      gauge.set({ policy }, 0)
    for (const limit of REASONS) own.overLimit.set({ policy, limit }, 0)
    for (const reason of REASONS) own.trimmed.inc({ policy, reason }, 0)
    for (const reason of SKIP_REASONS) own.skipped.inc({ policy, reason }, 0)
    own.unread.inc({ policy }, 0)
    own.deleted.inc({ policy }, 0)
  }

  /** What was done counts however the sweep ended. */
  const recordDone = (policies: readonly PolicyTally[]): void => {
    for (const tally of policies) {
      const { policy } = tally
      for (const [reason, n] of entriesOf(tally.removed)) own.trimmed.inc({ policy, reason }, n)
      for (const [reason, n] of entriesOf(tally.skipped)) own.skipped.inc({ policy, reason }, n)
      own.unread.inc({ policy }, tally.unread)
      own.deleted.inc({ policy }, tally.deletedStreams)
      for (const [code, n] of entriesOf(tally.errors)) own.streamErrors.inc({ code }, n)
    }
  }

  const setMemory = ({ usedBytes, maxBytes }: Memory): void => {
    own.memoryUsed.set(usedBytes)
    own.memoryMax.set(maxBytes)
  }

  /** What was seen is told only by a sweep that saw everything. */
  const setSeen = (report: SweepReport): void => {
    for (const tally of report.policies) {
      const { policy } = tally
      own.streams.set({ policy }, tally.streams)
      own.streamsEmpty.set({ policy }, tally.emptyStreams)
      own.entries.set({ policy }, tally.entries.after)
      own.longest.set({ policy }, tally.longestStream)
      own.protectedStreams.set({ policy }, tally.protectedStreams)
      for (const [limit, n] of entriesOf(tally.overLimit)) own.overLimit.set({ policy, limit }, n)
    }
    own.streamLength.reset()
    for (const { policy, key, length } of report.longest) own.streamLength.set({ policy, stream: shown(key) }, length)
  }

  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    recordSweep(report, endedAtMs) {
      own.sweeps.inc({ result: report.result })
      if (report.failure !== null) own.failures.inc({ cause: report.failure })
      own.duration.observe(report.durationMs / 1000)
      // A success over those primaries alone that were under pressure is no sign of how the others are.
      const isPart = report.result === 'success' && !report.whole
      if (!isPart) own.lastSweep.set(endedAtMs / 1000)
      if (report.result === 'success' && !isPart) own.lastSuccess.set(endedAtMs / 1000)
      const isUp = whetherUp(report)
      if (isUp !== null) own.redisUp.set(isUp ? 1 : 0)
      if (report.memory !== null) setMemory(report.memory)
      recordDone(report.policies)
      if (report.whole) setSeen(report)
    },
    recordDone,
    setMemory,
    recordPressureSweep: () => own.pressureSweeps.inc(),
    recordWatchLost: () => own.watchLost.inc(),
    recordHearing({ heard, primaries, waiting }, { writes, leftToSweep }) {
      own.watchUp.set(primaries > 0 && heard === primaries ? 1 : 0)
      own.watchWaiting.set(waiting)
      own.watchWrites.inc(writes)
      own.watchLeft.inc(leftToSweep)
    },
    recordSkippedSweep: () => own.sweeps.inc({ result: 'skipped' }),
    setLeader: (isLeader) => own.leader.set(isLeader ? 1 : 0),
    setRedisUp: () => own.redisUp.set(1),
    setNextSweep: (atMs) => own.nextSweep.set(atMs / 1000),
  }
}

/** Whether Redis answered: a refusal is an answer too. Null where it was perhaps not even asked. */
function whetherUp({ result, cause, memory }: SweepReport): boolean | null {
  if (result === 'failed') return cause !== 'connect' && cause !== 'timeout'
  if (memory !== null) return true
  return cause === 'sweep-timeout' ? false : null
}

function makeOwnMetrics(registry: Registry) {
  const registers = [registry]
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `xtrimd_${name}`, help, labelNames, registers })
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Counter({ name: `xtrimd_${name}`, help, labelNames, registers })
  return {
    buildInfo: gauge('build_info', 'Always 1; the label tells the version.', ['version']),
    redisUp: gauge('redis_up', 'Whether Redis answered when it was last asked.'),
    leader: gauge('leader', 'Whether this copy is the one that sweeps.'),
    sweeps: counter('sweeps_total', 'Sweeps by how they ended.', ['result']),
    failures: counter('sweep_failures_total', 'Sweeps that were no success, by why.', ['cause']),
    duration: new Histogram({
      name: 'xtrimd_sweep_duration_seconds',
      help: 'How long sweeps took.',
      buckets: DURATION_BUCKETS,
      registers,
    }),
    lastSweep: gauge('last_sweep_timestamp_seconds', 'When the last sweep ended, however it did.'),
    lastSuccess: gauge('last_success_timestamp_seconds', 'When the last successful sweep ended.'),
    nextSweep: gauge('next_sweep_timestamp_seconds', 'When the next sweep is due.'),
    streams: gauge('streams', 'Streams that the last whole sweep saw.', ['policy']),
    streamsEmpty: gauge('streams_empty', 'Those of them without an entry.', ['policy']),
    entries: gauge('entries', 'Entries in them after trimming.', ['policy']),
    longest: gauge('stream_length_max', 'Entries in the longest of them after trimming.', ['policy']),
    streamLength: gauge('stream_length', 'Entries in the longest streams after trimming.', ['policy', 'stream']),
    overLimit: gauge('streams_over_limit', 'Streams still over a limit after the last whole sweep.', [
      'policy',
      'limit',
    ]),
    protectedStreams: gauge('streams_protected', 'Streams in which a consumer group held the trim back.', ['policy']),
    trimmed: counter('entries_trimmed_total', 'Entries removed, by the limit they were beyond.', ['policy', 'reason']),
    unread: counter('entries_trimmed_unread_total', 'Entries removed before some consumer group was delivered them.', [
      'policy',
    ]),
    deleted: counter('streams_deleted_total', 'Empty streams unlinked.', ['policy']),
    skipped: counter('streams_skipped_total', 'Streams not held to every limit, by why.', ['policy', 'reason']),
    streamErrors: counter('stream_errors_total', 'Streams that Redis refused to have trimmed, by its error word.', [
      'code',
    ]),
    pressureSweeps: counter('pressure_sweeps_total', 'Sweeps that memory pressure called for.'),
    watchUp: gauge(
      'watch_up',
      'Whether the writes on every primary are heard; 0 without --watch, or where another leads.',
    ),
    watchWrites: counter('watch_writes_total', 'Writes to matching streams that were heard.'),
    watchWaiting: gauge('watch_waiting', 'Streams that wait to be held to their policy after their writes.'),
    watchLeft: counter(
      'watch_left_to_sweep_total',
      'How often a stream was left to the next sweep, since too many were written to.',
    ),
    watchLost: counter('watch_lost_total', 'How often the writes on a primary were heard no more, or not yet.'),
    memoryUsed: gauge('redis_memory_used_bytes', 'Memory that Redis uses, over all primaries.'),
    memoryMax: gauge('redis_memory_max_bytes', 'Its maxmemory; 0 is no limit.'),
  }
}

/** All series by name, with their help and labels. The only file that imports the metrics client. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { DELETE_REASONS } from '../reap/reaped.ts'
import { LIMITS, REASONS } from '../retention/policy.ts'
import { SKIP_REASONS } from '../tally/outcome.ts'

/** Durations of a sweep in seconds, from an empty Redis to a backlog that takes hours. */
const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600]

/** Our series and those of the client library, and all of them in Prometheus's text format. */
export function makeSeries() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return { own: makeOwnMetrics(registry), contentType: registry.contentType, text: () => registry.metrics() }
}

export type OwnMetrics = ReturnType<typeof makeOwnMetrics>

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
    archived: counter('archive_entries_total', 'Entries that the archive confirmed to be stored.', ['policy']),
    archivedBytes: counter('archive_bytes_total', 'Bytes stored in the archive, compressed.', ['policy']),
    unarchived: counter(
      'entries_trimmed_unarchived_total',
      'Entries that a hard limit removed while the archive failed.',
      ['policy'],
    ),
    archiveFailures: counter('archive_failures_total', 'Sweeps and watches whose archive failed, by cause.', ['cause']),
    skipped: counter('streams_skipped_total', 'Streams not held to every limit, by reason.', ['policy', 'reason']),
    streamErrors: counter('stream_errors_total', 'Streams that Redis refused to read or trim, by error word.', [
      'code',
    ]),
    groups: gauge('groups', 'Consumer groups after the last complete sweep; only with --group-metrics.', ['policy']),
    consumers: gauge('consumers', 'Consumers in all groups after the last complete sweep.', ['policy']),
    groupPending: gauge('group_pending', 'Entries delivered and not acknowledged, in all groups.', ['policy']),
    groupLagMax: gauge('group_lag_max', 'Entries not delivered yet to the group that lags most.', ['policy']),
    groupLag: gauge('group_lag', 'Entries not delivered yet to each of the most lagging groups.', [
      'policy',
      'stream',
      'group',
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

type Labels = Readonly<Record<string, string>>

/** What counters and gauges have in common. */
interface SeriesByLabels {
  inc(labels: Labels, value: number): void
  remove(labels: Labels): void
}

/** Every series of a policy whose other labels are known in advance. */
export function seriesOf(own: OwnMetrics, policy: string): (readonly [SeriesByLabels, Labels])[] {
  const plain = [own.streams, own.streamsEmpty, own.entries, own.longest, own.protectedStreams, own.unread, own.added]
  const archived = [own.archived, own.archivedBytes, own.unarchived]
  const reaped = [own.reapedConsumers, own.reapedGroups, own.reapedPending]
  return [
    ...[...plain, ...reaped, ...archived].map((metric) => [metric, { policy }] as const),
    ...LIMITS.map((limit) => [own.overLimit, { policy, limit }] as const),
    ...REASONS.map((reason) => [own.trimmed, { policy, reason }] as const),
    ...SKIP_REASONS.map((reason) => [own.skipped, { policy, reason }] as const),
    ...DELETE_REASONS.map((reason) => [own.deleted, { policy, reason }] as const),
  ]
}

export function groupSeriesOf(own: OwnMetrics, policy: string): (readonly [SeriesByLabels, Labels])[] {
  return [own.groups, own.consumers, own.groupPending, own.groupLagMax].map((metric) => [metric, { policy }] as const)
}

/** What the daemon counts and measures, and when each series changes. Every series whose labels are known in advance starts at 0. */
import { ERROR_WORDS, FAULT_CODES } from '../redis/refusal.ts'
import type { Memory } from '../redis/server_state.ts'
import type { Policy } from '../retention/policy.ts'
import { ARCHIVE_CAUSES, type ArchiveFault } from '../store/store.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import { ARCHIVE_FAILED, RESULTS } from '../sweep/verdict.ts'
import type { GroupReport } from '../tally/group_tally.ts'
import { Growth } from '../tally/growth.ts'
import { entriesOf, type PolicyTally } from '../tally/tally.ts'
import { shown } from '../text/shown.ts'
import type { WatchState } from '../watch/watch.ts'
import { groupSeriesOf, makeSeries, seriesOf } from './series.ts'

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
  /** Records that the archive failed between sweeps. */
  recordArchiveFailure(fault: ArchiveFault): void
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

/** With `countsGroups`, the series of groups exist too. */
export function makeMetrics(version: string, initial: readonly Policy[], countsGroups: boolean): Metrics {
  const { own, contentType, text } = makeSeries()
  own.buildInfo.set({ version }, 1)
  for (const result of RESULTS) own.sweeps.inc({ result }, 0)
  for (const cause of [...FAULT_CODES, ARCHIVE_FAILED]) own.failures.inc({ cause }, 0)
  for (const cause of ARCHIVE_CAUSES) own.archiveFailures.inc({ cause }, 0)
  for (const code of ERROR_WORDS) own.streamErrors.inc({ code }, 0)
  const growth = new Growth()
  let names: ReadonlySet<string> = new Set()
  let longest: SweepReport['longest'] = []
  const setLongest = (streams: SweepReport['longest']): void => {
    longest = streams.filter(({ policy }) => names.has(policy))
    own.streamLength.reset()
    for (const { policy, key, length } of longest) own.streamLength.set({ policy, stream: shown(key) }, length)
  }

  /** Null if they could not be read: then nothing is known of them. */
  const setGroups = (report: GroupReport | null): void => {
    for (const gauge of [own.groups, own.consumers, own.groupPending, own.groupLagMax]) gauge.reset()
    for (const { policy, groups, consumers, pending, lagMax } of report?.policies ?? []) {
      own.groups.set({ policy }, groups)
      own.consumers.set({ policy }, consumers)
      own.groupPending.set({ policy }, pending)
      own.groupLagMax.set({ policy }, lagMax)
    }
    setLagging(report?.lagging ?? [])
  }
  let lagging: GroupReport['lagging'] = []
  const setLagging = (groups: GroupReport['lagging']): void => {
    lagging = groups.filter(({ policy }) => names.has(policy))
    own.groupLag.reset()
    for (const { policy, key, group, lag } of lagging) own.groupLag.set({ policy, stream: shown(key), group }, lag)
  }

  const setPolicies = (policies: readonly Policy[]): void => {
    const now = new Set(policies.map(({ name }) => name))
    const seriesOfEach = (of: ReadonlySet<string>, but: ReadonlySet<string>) =>
      [...of]
        .filter((name) => !but.has(name))
        .flatMap((name) => [...seriesOf(own, name), ...(countsGroups ? groupSeriesOf(own, name) : [])])
    for (const [metric, labels] of seriesOfEach(names, now)) metric.remove(labels)
    for (const [metric, labels] of seriesOfEach(now, names)) metric.inc(labels, 0)
    names = now
    growth.setPolicies(policies)
    setLongest(longest)
    setLagging(lagging)
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
      own.archived.inc({ policy }, tally.archived)
      own.archivedBytes.inc({ policy }, tally.archivedBytes)
      own.unarchived.inc({ policy }, tally.unarchived)
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
    if (countsGroups) setGroups(report.groups)
  }

  return {
    contentType,
    text,
    recordSweep(report, endedAtMs) {
      own.sweeps.inc({ result: report.result })
      if (report.failure !== null) own.failures.inc({ cause: report.failure })
      if (report.archiveFault !== null) own.archiveFailures.inc({ cause: report.archiveFault.code })
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
    recordArchiveFailure: ({ code }) => own.archiveFailures.inc({ cause: code }),
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

/** Whether Redis answered; an error reply counts. Null if the sweep may have ended before it asked anything. */
function whetherUp({ result, cause, memory }: SweepReport): boolean | null {
  if (result === 'failed') return cause !== 'connect' && cause !== 'timeout'
  if (memory !== null) return true
  return cause === 'sweep-timeout' ? false : null
}

/** One sweep: every primary, every matching stream, once. It always ends in a report. */

import { CountingWay } from '../forecast/counting_way.ts'
import type { LivingGroups } from '../groups/living_groups.ts'
import type { ReapMemory } from '../reap/reap_memory.ts'
import type { Missing, MissingCommands } from '../redis/refused.ts'
import type { Memory } from '../redis/server_state.ts'
import type { FutureIds } from '../remembered/future_ids.ts'
import type { GroupedStreams } from '../remembered/grouped_streams.ts'
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import type { ArchiveFault } from '../store/store.ts'
import { type GroupReport, GroupTally } from '../tally/group_tally.ts'
import type { LongStream } from '../tally/longest.ts'
import type { HeldStream, Outcome } from '../tally/outcome.ts'
import { type PolicyTally, sumOf, Tally } from '../tally/tally.ts'
import { type Progress, type WalkTask, walk } from '../walk/walk.ts'
import { ArchiveFirst, type ArchiveTask } from './archive_first.ts'
import { sweepPage } from './page.ts'
import { type Verdict, verdictOn, verdictOnArchive, verdictOnStreams } from './verdict.ts'

/** How a sweep ended and what it did. */
export interface SweepReport extends Verdict {
  readonly durationMs: number
  /** Whether the sweep saw every primary to its end. */
  readonly whole: boolean
  /** Of the primaries that answered; null where none did. */
  readonly memory: Memory | null
  readonly policies: readonly PolicyTally[]
  readonly total: PolicyTally
  /** Commands that Redis denied, with what needs them. */
  readonly missing: MissingCommands
  readonly longest: readonly LongStream[]
  /** The first few streams that a consumer group held back. */
  readonly held: readonly HeldStream[]
  /** Null where groups were not looked at, or could not be. */
  readonly groups: GroupReport | null
  /** Why the archive failed; null if it did not, or was not needed. */
  readonly archiveFault: ArchiveFault | null
}

export interface SweepTask extends WalkTask {
  /** Remembered from sweep to sweep. */
  readonly futureIds: FutureIds
  readonly groupedStreams: GroupedStreams
  readonly reapMemory: ReapMemory
  readonly living: LivingGroups
  readonly longestStreams: number
  /** How many of the most lagging groups to report; with 0 groups are not looked at. */
  readonly laggingGroups: number
  readonly dryRun: boolean
  /** Null without `--archive`. */
  readonly archive: ArchiveTask | null
  /** Called for each stream that was not simply found inside its policy. */
  readonly onOutcome?: (policy: Policy, outcome: Outcome) => void
}

/** Sweeps once. When `stop` fires no new page is started, and the pages in flight are counted. Never throws what Redis did. */
export async function sweep(task: SweepTask, stop: AbortSignal): Promise<SweepReport> {
  const tally = new Tally(task.policies, task.longestStreams, task.dryRun)
  const { policies, dryRun, futureIds, groupedStreams, reapMemory, living, onOutcome = () => {} } = task
  const groups = task.laggingGroups > 0 ? new GroupTally(policies, task.laggingGroups) : null
  futureIds.begin()
  reapMemory.quietStreams.begin()
  const soFar = (): Progress => {
    const { streams, removed } = sumOf(tally.policies)
    return { streams, removed: sumOfReasons(removed) }
  }
  const missing: Missing = (command, neededFor, why) => {
    tally.missing.set(command, { neededFor, why })
  }
  const archives: ArchiveFirst[] = []
  const walked = await walk(
    task,
    stop,
    ({ ask, nowMs, stop, haveSlots, mostAtOnce }) => {
      // A cluster refuses a command over several slots.
      const isAllowed = !haveSlots && !futureIds.isFull
      // A dry run foretells what a sweep without memories would do.
      const quiet = dryRun ? {} : { quietStreams: reapMemory.quietStreams }
      const batching = { isAllowed, mostAtOnce, futureIds, groupedStreams, ...quiet }
      const way = dryRun ? { way: new CountingWay(mostAtOnce, missing) } : {}
      const context = { ask, nowMs, stop, batching, reapMemory, living, policies, tally, missing, onOutcome }
      const page = (archive?: ArchiveFirst) => (keys: readonly Buffer[]) =>
        sweepPage({ ...context, ...way, dryRun, groups, keys, ...(archive && { archive }) }).finally(() =>
          task.onProgress?.(soFar),
        )
      if (task.archive === null || dryRun) return { page: page() }
      const archive = new ArchiveFirst(task.archive, { ...context, mostAtOnce })
      archives.push(archive)
      return { page: page(archive), end: () => archive.end(), close: () => archive.close() }
    },
    missing,
  )
  const total = sumOf(tally.policies)
  const archiveFault = archives.map(({ failure }) => failure).find((failure) => failure !== null) ?? null
  return {
    ...(verdictOn(walked) ?? verdictOnArchive(archiveFault, total) ?? verdictOnStreams(total, tally.refusals)),
    durationMs: walked.durationMs,
    whole: walked.whole,
    memory: walked.memory,
    policies: tally.policies,
    total,
    missing: tally.missing,
    longest: tally.longest.list(),
    held: tally.held,
    groups: groups?.report() ?? null,
    archiveFault,
  }
}

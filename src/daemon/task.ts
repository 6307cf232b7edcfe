/** Turns the configuration into the task of a sweep. */
import type { Config } from '../config/config.ts'
import { LivingGroups } from '../groups/living_groups.ts'
import { ReapMemory } from '../reap/reap_memory.ts'
import { findPrimaries } from '../redis/primaries.ts'
import { FutureIds } from '../remembered/future_ids.ts'
import { GroupedStreams } from '../remembered/grouped_streams.ts'
import { holdFields } from '../report/json.ts'
import { openStore } from '../store/open_store.ts'
import type { Store } from '../store/store.ts'
import type { ArchiveTask } from '../sweep/archive_first.ts'
import type { SweepTask } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import { shown } from '../text/shown.ts'
import { makePaces } from '../walk/pace.ts'

/** How sweeps store entries: the store is opened once, when it is needed first. */
function archiveTask({ archive }: Config): ArchiveTask | null {
  if (archive === null) return null
  let store: Promise<Store> | undefined
  const openStoreOnce = (): Promise<Store> => {
    store ??= openStore(archive.location, archive.s3)
    return store
  }
  return { openStore: openStoreOnce, segmentBytes: archive.segmentBytes }
}

/** The task of every sweep and plan. Outcomes of single streams go to the debug log. `ownMs` returns this thread's CPU time in ms. */
export function sweepTask(config: Config, log: Log, ownMs: () => number): SweepTask {
  return {
    findPrimaries: (stop) => findPrimaries(config.redis.topology, config.redis.reach, stop),
    reach: config.redis.reach,
    policies: config.policies,
    pageSize: config.pageSize,
    paceOf: makePaces(config.pacePercent, ownMs),
    futureIds: new FutureIds(),
    groupedStreams: new GroupedStreams(),
    reapMemory: new ReapMemory(),
    living: new LivingGroups(),
    sweepTimeoutMs: config.sweepTimeoutMs,
    longestStreams: config.streamMetrics,
    // Other commands have no metrics.
    laggingGroups: config.command === 'run' ? config.groupMetrics : 0,
    dryRun: config.dryRun,
    archive: archiveTask(config),
    onOutcome: ({ name: policy }, { key, held, ...outcome }) => {
      log.debug({ stream: shown(key), policy, ...outcome, held: held && holdFields(held) }, 'stream')
    },
  }
}

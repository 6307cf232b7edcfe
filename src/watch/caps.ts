/** Caps streams on one primary, that is, trims them to their length and byte limits: streams that are due, or all of them. */

import type { LivingGroups } from '../groups/living_groups.ts'
import type { Address } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection } from '../redis/connection.ts'
import { missingTold } from '../redis/refused.ts'
import { readClock } from '../redis/server_state.ts'
import { type Policy, scanPattern } from '../retention/policy.ts'
import type { ArchiveFault } from '../store/store.ts'
import type { ArchiveContext, ArchiveTask } from '../sweep/archive_first.ts'
import type { FinishContext } from '../sweep/finish.ts'
import { sweepPage } from '../sweep/page.ts'
import type { Outcome } from '../tally/outcome.ts'
import { Tally } from '../tally/tally.ts'
import { type Pace, paced } from '../walk/pace.ts'
import { pagesOfKeys } from '../walk/scan.ts'
import { settledOrStopped, sleep } from '../walk/stoppable.ts'
import { ArchivedCaps } from './archived_caps.ts'
import type { WriteCounts } from './write_counts.ts'

/** Streams capped in one page. */
const PAGE_SIZE = 200
/** Start the next page after this time even if this one is still running, so that a huge backlog does not block other streams. */
const NEXT_PAGE_AFTER_MS = 50
/** Send Redis about a millisecond of work at once, this many times what a sweep sends: writers that outrun us fill Redis. */
const WORK_FACTOR = 6
/** Take another page once fewer streams than this are in progress. */
const MAX_IN_PROGRESS = 400
/** With an archive, streams are in progress until their segment is stored. */
const MAX_IN_PROGRESS_ARCHIVED = 20_000

/** Which streams to cap, and how. */
export interface CapTask {
  /** The policies in force, as they apply between sweeps: without age limits. They may change between two pages. */
  readonly policies: () => readonly Policy[]
  readonly dryRun: boolean
  readonly paceOf: (address: Address) => Pace
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
  /** Shared with the sweeps. */
  readonly living?: LivingGroups
  /** Null without `--archive`. */
  readonly archive: ArchiveTask | null
}

export interface CapEvents {
  /** Redis denied a command that the watch can do without. */
  limited(reason: string): void
  /** Some streams were looked at and trimmed if needed. */
  capped(tally: Tally): void
  /** The archive failed: the streams that waited for it were not capped, except by hard limits. */
  archiveFailed(fault: ArchiveFault): void
  /** Some streams have moved to another primary. */
  moved(): void
}

/** Caps streams over one connection until `stop` fires; then finishes the pages in flight. */
export class Caps {
  readonly #ask: Ask
  readonly #task: CapTask
  readonly #counts: WriteCounts
  readonly #events: CapEvents
  readonly #stop: AbortSignal
  /** Null where nothing is archived. */
  readonly #archived: ArchivedCaps | null

  constructor(connection: Connection, task: CapTask, counts: WriteCounts, events: CapEvents, stop: AbortSignal) {
    const pace = task.paceOf(connection.address)
    this.#ask = paced(connection, pace, stop, WORK_FACTOR)
    this.#task = task
    this.#counts = counts
    this.#events = events
    this.#stop = stop
    const begin = async (): Promise<ArchiveContext> => ({ ...(await this.#context()), mostAtOnce: pace.mostAtOnce })
    this.#archived =
      task.archive === null || task.dryRun
        ? null
        : new ArchivedCaps(task.archive, begin, ({ tally }, fault) => {
            this.#report(tally)
            if (fault !== null) events.archiveFailed(fault)
          })
  }

  /** Caps streams as they become due, page by page. @throws Fault */
  async capDueStreams(): Promise<void> {
    await Promise.all([this.#capDue(), this.#archived?.storeRegularly(this.#stop)])
  }

  async #capDue(): Promise<void> {
    const pages = new Set<Promise<void>>()
    const most = this.#archived === null ? MAX_IN_PROGRESS : MAX_IN_PROGRESS_ARCHIVED
    let failed: unknown
    while (!this.#stop.aborted && failed === undefined) {
      await settledOrStopped(this.#counts.atMostInProgress(most), this.#stop)
      await settledOrStopped(this.#counts.someDue(), this.#stop)
      if (this.#stop.aborted) break
      const keys = this.#counts.take(PAGE_SIZE)
      const page = this.#cap(keys)
        .catch((error: unknown) => {
          failed ??= error
        })
        .finally(() => {
          // Streams that wait for the archive are done once they are counted.
          if (this.#archived === null) for (const key of keys) this.#counts.done(key)
          pages.delete(page)
        })
      pages.add(page)
      await Promise.race([page, sleep(NEXT_PAGE_AFTER_MS, this.#stop)])
    }
    await Promise.all(pages)
    if (failed !== undefined) throw failed
  }

  /** Caps every matching stream. @returns false if it was stopped before the end @throws Fault */
  async capAllStreams(): Promise<boolean> {
    for await (const keys of pagesOfKeys(this.#ask, scanPattern(this.#task.policies()), PAGE_SIZE)) {
      if (this.#stop.aborted) return false
      // A stream that waits for the archive is not archived a second time.
      await this.#cap(this.#archived === null ? keys : keys.filter((key) => this.#counts.takeIfFree(key)))
    }
    return true
  }

  async #cap(keys: readonly Buffer[]): Promise<void> {
    if (keys.length === 0) return
    if (this.#archived !== null) return this.#archived.cap(keys)
    const context = await this.#context()
    try {
      await sweepPage({ ...context, keys, dryRun: this.#task.dryRun })
    } finally {
      this.#report(context.tally)
    }
  }

  /** What pages need, by the policies in force now. */
  async #context(): Promise<FinishContext> {
    const { living } = this.#task
    const policies = this.#task.policies()
    return {
      ...{ ask: this.#ask, stop: this.#stop, policies, tally: new Tally(policies, 0) },
      nowMs: await readClock(this.#ask),
      ...(living === undefined ? {} : { living }),
      missing: (command, neededFor, why) => this.#events.limited(missingTold(command, { neededFor, why })),
      onOutcome: (policy, outcome) => {
        // Its new primary is watched too. Here, Redis would refuse it at every try.
        if (hasMoved(outcome)) this.#counts.forget(outcome.key)
        this.#task.onOutcome(policy, outcome)
      },
      onDone: (key) => this.#counts.done(key),
    }
  }

  #report(tally: Tally): void {
    this.#events.capped(tally)
    if (tally.policies.some(({ errors }) => errors.MOVED || errors.ASK)) this.#events.moved()
  }
}

function hasMoved({ refused }: Outcome): boolean {
  return refused !== null && (refused.word === 'MOVED' || refused.word === 'ASK')
}

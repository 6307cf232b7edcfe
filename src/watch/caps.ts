/** Caps streams on one primary, that is, trims them to their length and byte limits: streams that are due, or all of them. */

import type { LivingGroups } from '../look/living_groups.ts'
import type { Address } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection } from '../redis/connection.ts'
import { type Missing, missingTold } from '../redis/refused.ts'
import { readClock } from '../redis/server_state.ts'
import { type Policy, scanPattern } from '../retention/policy.ts'
import { sweepPage } from '../sweep/page.ts'
import type { Outcome } from '../tally/outcome.ts'
import { Tally } from '../tally/tally.ts'
import { type Pace, paced } from '../walk/pace.ts'
import { pagesOfKeys } from '../walk/scan.ts'
import { settledOrStopped, sleep } from '../walk/stoppable.ts'
import type { WriteCounts } from './write_counts.ts'

/** Streams capped in one page. */
const PAGE_SIZE = 200
/** Start the next page after this time even if this one is still running, so that a huge backlog does not block other streams. */
const NEXT_PAGE_AFTER_MS = 50
/** Send Redis about a millisecond of work at once, this many times what a sweep sends: writers that outrun us fill Redis. */
const WORK_FACTOR = 6
/** Take another page once fewer streams than this are in progress. */
const MAX_IN_PROGRESS = 400

/** Which streams to cap, and how. */
export interface CapTask {
  /** The policies in force, as they apply between sweeps: without age limits. They may change between two pages. */
  readonly policies: () => readonly Policy[]
  readonly dryRun: boolean
  readonly paceOf: (address: Address) => Pace
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
  /** Shared with the sweeps. */
  readonly living?: LivingGroups
}

export interface CapEvents {
  /** Redis denied a command that the watch can do without. */
  limited(reason: string): void
  /** Some streams were looked at and trimmed if needed. */
  capped(tally: Tally): void
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

  constructor(connection: Connection, task: CapTask, counts: WriteCounts, events: CapEvents, stop: AbortSignal) {
    this.#ask = paced(connection, task.paceOf(connection.address), stop, WORK_FACTOR)
    this.#task = task
    this.#counts = counts
    this.#events = events
    this.#stop = stop
  }

  /** Caps streams as they become due, page by page. @throws Fault */
  async capDueStreams(): Promise<void> {
    const pages = new Set<Promise<void>>()
    let failed: unknown
    while (!this.#stop.aborted && failed === undefined) {
      await settledOrStopped(this.#counts.atMostInProgress(MAX_IN_PROGRESS), this.#stop)
      await settledOrStopped(this.#counts.someDue(), this.#stop)
      if (this.#stop.aborted) break
      const keys = this.#counts.take(PAGE_SIZE)
      const page = this.#cap(keys)
        .catch((error: unknown) => {
          failed ??= error
        })
        .finally(() => {
          for (const key of keys) this.#counts.done(key)
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
      await this.#cap(keys)
    }
    return true
  }

  async #cap(keys: readonly Buffer[]): Promise<void> {
    if (keys.length === 0) return
    const { dryRun, living } = this.#task
    const policies = this.#task.policies()
    const tally = new Tally(policies, 0)
    const counts = this.#counts
    const missing: Missing = (command, neededFor, why) => this.#events.limited(missingTold(command, { neededFor, why }))
    const onOutcome = (policy: Policy, outcome: Outcome): void => {
      // Its new primary is watched too. Here, Redis would refuse it at every try.
      if (hasMoved(outcome)) counts.forget(outcome.key)
      this.#task.onOutcome(policy, outcome)
    }
    const onDone = (key: Buffer): void => counts.done(key)
    try {
      const nowMs = await readClock(this.#ask)
      const [ask, stop] = [this.#ask, this.#stop]
      await sweepPage({
        ...{ ask, keys, nowMs, stop, policies, dryRun, tally, missing, onOutcome, onDone },
        ...(living === undefined ? {} : { living }),
      })
    } finally {
      this.#events.capped(tally)
    }
    if (tally.policies.some(({ errors }) => errors.MOVED || errors.ASK)) this.#events.moved()
  }
}

function hasMoved({ refused }: Outcome): boolean {
  return refused !== null && (refused.word === 'MOVED' || refused.word === 'ASK')
}

/** Holds streams of one primary to their length and bytes: those that are due, and all of them when it is first heard. */

import type { Address } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection } from '../redis/connection.ts'
import { deniedTold, type Missing } from '../redis/refused.ts'
import { readClock } from '../redis/server_state.ts'
import { type Policy, scanPattern } from '../retention/policy.ts'
import { sweepPage } from '../sweep/page.ts'
import type { Outcome } from '../tally/outcome.ts'
import { Tally } from '../tally/tally.ts'
import { type Pace, paced } from '../walk/pace.ts'
import { pagesOfKeys } from '../walk/scan.ts'
import { settledOrStopped, sleep } from '../walk/stoppable.ts'
import type { WriteCounts } from './write_counts.ts'

/** Streams that are capped in one go. */
const AT_ONCE = 200
/** A page that takes longer than that goes on beside the next: a stream with a backlog of millions keeps no other waiting. */
const PAGE_MS = 50
/** Writers that outrun us fill Redis: it is given about a millisecond of work at once, where a sweep leaves it with less. */
const HURRY = 6
/** Streams that may be in hand when another page is taken. */
const MOST_IN_HAND = 400

/** How streams are to be capped. */
export interface CapTask {
  /** As they hold between sweeps. */
  readonly policies: readonly Policy[]
  readonly dryRun: boolean
  readonly paceOf: (address: Address) => Pace
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
}

/** What comes of it. */
export interface CapEvents {
  /** What Redis does not allow, though it could go on without. */
  limited(reason: string): void
  /** Some streams were held to their policies. */
  capped(tally: Tally): void
  /** Some streams have gone to another primary. */
  moved(): void
}

/** The work on one connection, until `stop` fires; what is in hand then is finished. */
export class Caps {
  readonly #ask: Ask
  readonly #task: CapTask
  readonly #counts: WriteCounts
  readonly #events: CapEvents
  readonly #stop: AbortSignal

  constructor(hands: Connection, task: CapTask, counts: WriteCounts, events: CapEvents, stop: AbortSignal) {
    this.#ask = paced(hands, task.paceOf(hands.address), stop, HURRY)
    this.#task = task
    this.#counts = counts
    this.#events = events
    this.#stop = stop
  }

  /** Caps what is due, page by page. @throws Fault */
  async whatIsDue(): Promise<void> {
    const pages = new Set<Promise<void>>()
    let failed: unknown
    while (!this.#stop.aborted && failed === undefined) {
      await settledOrStopped(this.#counts.atMostInHand(MOST_IN_HAND), this.#stop)
      await settledOrStopped(this.#counts.someDue(), this.#stop)
      if (this.#stop.aborted) break
      const keys = this.#counts.take(AT_ONCE)
      const page = this.#cap(keys)
        .catch((error: unknown) => {
          failed ??= error
        })
        .finally(() => {
          for (const key of keys) this.#counts.done(key)
          pages.delete(page)
        })
      pages.add(page)
      await Promise.race([page, sleep(PAGE_MS, this.#stop)])
    }
    await Promise.all(pages)
    if (failed !== undefined) throw failed
  }

  /** Caps every stream there is. @returns whether it came to the end @throws Fault */
  async everything(): Promise<boolean> {
    for await (const keys of pagesOfKeys(this.#ask, scanPattern(this.#task.policies), AT_ONCE)) {
      if (this.#stop.aborted) return false
      await this.#cap(keys)
    }
    return true
  }

  async #cap(keys: readonly Buffer[]): Promise<void> {
    if (keys.length === 0) return
    const { policies, dryRun } = this.#task
    const tally = new Tally(policies, 0)
    const counts = this.#counts
    const missing: Missing = (command, neededFor) => this.#events.limited(deniedTold(command, neededFor))
    const onOutcome = (policy: Policy, outcome: Outcome): void => {
      // Its writes are heard where it has gone. To stay with it here would be refused for ever.
      if (isElsewhere(outcome)) counts.forget(outcome.key)
      this.#task.onOutcome(policy, outcome)
    }
    const onDone = (key: Buffer): void => counts.done(key)
    try {
      const nowMs = await readClock(this.#ask)
      const [ask, stop] = [this.#ask, this.#stop]
      await sweepPage({ ask, keys, nowMs, stop, policies, dryRun, tally, missing, onOutcome, onDone })
    } finally {
      this.#events.capped(tally)
    }
    if (tally.policies.some(({ errors }) => errors.MOVED || errors.ASK)) this.#events.moved()
  }
}

function isElsewhere({ refused }: Outcome): boolean {
  return refused !== null && (refused.word === 'MOVED' || refused.word === 'ASK')
}

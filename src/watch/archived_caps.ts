/**
 * Archives what caps remove. Streams that are capped within a few seconds share a segment, so that a busy watch does not
 * store one for each page. Until the segment is stored these streams stay longer than their limits.
 */

import { policyFor } from '../retention/policy.ts'
import type { ArchiveFault } from '../store/store.ts'
import { type ArchiveContext, ArchiveFirst, type ArchiveTask } from '../sweep/archive_first.ts'
import { sweepPage } from '../sweep/page.ts'
import { sleep } from '../walk/stoppable.ts'

/** How long streams wait at most, unless the segment has its size before. */
const STORE_EVERY_MS = 3000

/** The pages that share segments. */
interface Epoch {
  readonly archive: ArchiveFirst
  readonly context: ArchiveContext
  readonly pages: Set<Promise<void>>
}

export class ArchivedCaps {
  readonly #task: ArchiveTask
  readonly #begin: () => Promise<ArchiveContext>
  readonly #ended: (context: ArchiveContext, fault: ArchiveFault | null) => void
  #epoch: Promise<Epoch> | null = null

  /** `begin` makes the context of the pages that share segments, `ended` is called when all of them are counted. */
  constructor(
    task: ArchiveTask,
    begin: () => Promise<ArchiveContext>,
    ended: (context: ArchiveContext, fault: ArchiveFault | null) => void,
  ) {
    this.#task = task
    this.#begin = begin
    this.#ended = ended
  }

  /** Caps the streams of one page; some may still wait when this resolves. @throws Fault */
  async cap(keys: readonly Buffer[]): Promise<void> {
    this.#epoch ??= this.#makeEpoch()
    const { archive, context, pages } = await this.#epoch
    // The policies may have changed since their writes were counted.
    for (const key of keys) if (policyFor(context.policies, key) < 0) context.onDone?.(key)
    const page = sweepPage({ ...context, archive, keys, dryRun: false })
    const settled = page.catch(() => {}).then(() => void pages.delete(settled))
    pages.add(settled)
    await page
  }

  /** Stores what was capped every few seconds, until `stop` fires, and then once more. @throws Fault */
  async storeRegularly(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await sleep(STORE_EVERY_MS, stop)
      await this.#store()
    }
  }

  async #makeEpoch(): Promise<Epoch> {
    const context = await this.#begin()
    return { archive: new ArchiveFirst(this.#task, context), context, pages: new Set() }
  }

  async #store(): Promise<void> {
    if (this.#epoch === null) return
    const begun = this.#epoch
    this.#epoch = null
    const { archive, context, pages } = await begun
    await Promise.all(pages)
    try {
      await archive.end()
    } finally {
      await archive.close()
      this.#ended(context, archive.failure)
    }
  }
}

/**
 * Remembers groups in which no consumer can become reapable for a while, since `XINFO CONSUMERS` cannot be paged and takes
 * Redis 4 ms for 20,000 consumers: a consumer that reads now cannot be reapable before `--reap-consumers-after` has passed.
 */

import { BoundedMemory, groupKey } from '../remembered/bounded_memory.ts'

/** Most groups remembered; others are asked in every sweep. */
const MOST_REMEMBERED = 20_000

interface Quiet {
  readonly untilMs: number
  readonly untilWhateverMs: number
  readonly consumers: number
  readonly pending: number
}

/** A group as `XINFO GROUPS` reports it. */
interface Counts {
  readonly rawName: Uint8Array
  readonly consumers: number
  readonly pending: number
}

export class QuietGroups {
  readonly #groups = new BoundedMemory<Quiet>(MOST_REMEMBERED)

  /**
   * Whether the group still has no reapable consumer at `nowMs` of Redis's clock. A consumer with pending entries may
   * acknowledge them and become reapable, so a group with other counts is asked again.
   */
  has(key: Buffer, { rawName, consumers, pending }: Counts, nowMs: number): boolean {
    const quiet = this.#groups.get(groupKey(key, rawName))
    return quiet !== undefined && nowMs < quiet.untilMs && consumers === quiet.consumers && pending === quiet.pending
  }

  /** Records that no consumer is reapable before `untilMs` if nothing is acknowledged, nor before `untilWhateverMs` otherwise. */
  set(key: Buffer, { rawName, consumers, pending }: Counts, untilMs: number, untilWhateverMs: number): void {
    this.#groups.set(groupKey(key, rawName), { untilMs, untilWhateverMs, consumers, pending })
  }

  /** Until when no consumer of the group is reapable, whatever they acknowledge; 0 if that is not known. */
  untilWhateverMs(key: Buffer, { rawName }: Pick<Counts, 'rawName'>): number {
    return this.#groups.get(groupKey(key, rawName))?.untilWhateverMs ?? 0
  }
}

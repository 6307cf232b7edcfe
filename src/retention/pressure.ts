/** Memory pressure: when it calls for a sweep, when it does not, and how soon to look again. */

/** Above which memory is too much: a share of maxmemory, or bytes. */
export type Threshold = { readonly share: number } | { readonly bytes: number }

/** The memory of one primary that counts against its maximum. 0 is no maximum. */
export interface Load {
  readonly usedBytes: number
  readonly maxBytes: number
}

/** `calm`: below; `sweep`: now; `wait`: above, and a sweep would not help yet. */
export type Judgement = 'calm' | 'sweep' | 'wait'

/** Memory must fall this far below the threshold for the trouble to be over: at the threshold it goes to and fro. */
const OVER_AT = 0.95
/** Growth behind a sweep that gives the next one something to do, as a share of the threshold. */
const GROWN = 0.02
/** Where trimming does not help, it is tried ever less often. */
const LONGEST_WAIT_MS = 3_600_000
const SOONEST_MS = 100

/** The threshold in bytes; null where it is a share of a maximum that there is not. */
export function thresholdBytes(threshold: Threshold, { maxBytes }: Load): number | null {
  if ('bytes' in threshold) return threshold.bytes
  return maxBytes > 0 ? maxBytes * threshold.share : null
}

/** Judges the memory of one primary, reading by reading. Times in milliseconds of a monotonic clock. */
export class PressureGauge {
  readonly #intervalMs: number
  #before: { readonly atMs: number; readonly usedBytes: number } | null = null
  /** The last sweep of this trouble; null before the first. */
  #swept: { readonly usedBytes: number; readonly helped: boolean } | null = null
  #notBeforeMs = 0
  /** Sweeps in a row that found nothing to remove. */
  #inVain = 0
  /** When to look again at the latest. */
  #delayMs: number

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
    this.#delayMs = Math.min(intervalMs, 2 * SOONEST_MS)
  }

  /** Whether trimming was tried and has nothing left to remove, while memory stays above. */
  get isHelpless(): boolean {
    return this.#inVain > 0
  }

  /** One reading, all in bytes. @returns what to do, and how many milliseconds to wait before the next one */
  judge(usedBytes: number, threshold: number, nowMs: number): { judgement: Judgement; nextMs: number } {
    if (usedBytes < threshold * OVER_AT) this.#calmDown()
    const judgement = this.#judge(usedBytes, threshold, nowMs)
    const nextMs = this.#delay(usedBytes, threshold, nowMs)
    this.#before = { atMs: nowMs, usedBytes }
    return { judgement, nextMs }
  }

  /**
   * A sweep for this pressure has ended and removed so many entries; null where it did not come to removing all it
   * could, which tells nothing of what there is to remove. `usedBytes` is the memory behind it.
   */
  swept(usedBytes: number, removed: number | null, nowMs: number): void {
    if (removed !== null) this.#inVain = removed > 0 ? 0 : this.#inVain + 1
    this.#swept = { usedBytes, helped: removed !== null && removed > 0 }
    this.#notBeforeMs = nowMs + Math.min(LONGEST_WAIT_MS, this.#intervalMs * 2 ** this.#inVain)
    this.#before = null
    this.#delayMs = Math.min(this.#intervalMs, 2 * SOONEST_MS)
  }

  #judge(usedBytes: number, threshold: number, nowMs: number): Judgement {
    if (usedBytes <= threshold) return 'calm'
    if (this.#swept === null || nowMs >= this.#notBeforeMs) return 'sweep'
    return this.#swept.helped && usedBytes > this.#swept.usedBytes + GROWN * threshold ? 'sweep' : 'wait'
  }

  /** At most the interval; sooner where memory, growing as it does, would be there before. */
  #delay(usedBytes: number, threshold: number, nowMs: number): number {
    this.#delayMs = Math.min(this.#intervalMs, 2 * this.#delayMs)
    const before = this.#before
    const perMs = before === null ? 0 : (usedBytes - before.usedBytes) / Math.max(1, nowMs - before.atMs)
    if (perMs <= 0) return this.#delayMs
    const target =
      usedBytes < threshold ? threshold : Math.max(usedBytes, this.#swept?.usedBytes ?? 0) + GROWN * threshold
    const soon = Math.max(SOONEST_MS, (target - usedBytes) / perMs / 2)
    return Math.min(this.#delayMs, soon)
  }

  #calmDown(): void {
    this.#swept = null
    this.#inVain = 0
    this.#notBeforeMs = 0
  }
}

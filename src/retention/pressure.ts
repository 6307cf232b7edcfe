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
/** After sweeps in vain it takes more, up to so many times that; and less where little is left, down to this share. */
const MOST_TIMES_GROWN = 8
const LEAST_GROWN = 0.005
/** What a sweep must give back to have helped, as a share of the threshold: a trickle of writes gives each a few entries. */
const REGAINED = 0.01
/** Where trimming does not help, it is tried ever less often. */
const LONGEST_WAIT_MS = 3_600_000
const SOONEST_MS = 100
/** How soon it is looked again where there is no room left, though nothing grows. */
const SOON_MS = 500

/** The threshold in bytes; null where it is a share of a maximum that there is not. */
export function thresholdBytes(threshold: Threshold, { maxBytes }: Load): number | null {
  if ('bytes' in threshold) return threshold.bytes
  return maxBytes > 0 ? maxBytes * threshold.share : null
}

/** Judges the memory of one primary, reading by reading. Times in milliseconds of a monotonic clock. */
export class PressureGauge {
  readonly #intervalMs: number
  #before: { readonly atMs: number; readonly usedBytes: number } | null = null
  #threshold = 0
  /** The least that memory was since the last sweep of this trouble: what it grows from. Null before the first. */
  #leastBytes: number | null = null
  #notBeforeMs = 0
  /** Sweeps in a row that gave next to nothing back. */
  #inVain = 0
  /** When to look again at the latest. */
  #delayMs: number

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
    this.#delayMs = Math.min(intervalMs, 2 * SOONEST_MS)
  }

  /** Whether trimming was tried and gave next to nothing back, while memory stays above. */
  get isHelpless(): boolean {
    return this.#inVain > 0
  }

  /** One reading. @returns what to do, and how many milliseconds to wait before the next one */
  judge(load: Load, threshold: number, nowMs: number): { judgement: Judgement; nextMs: number } {
    const { usedBytes } = load
    this.#threshold = threshold
    if (usedBytes < threshold * OVER_AT) this.#calmDown()
    if (this.#leastBytes !== null) this.#leastBytes = Math.min(this.#leastBytes, usedBytes)
    const judgement = this.#judge(load, threshold, nowMs)
    const nextMs = this.#delay(load, threshold, nowMs)
    this.#before = { atMs: nowMs, usedBytes }
    return { judgement, nextMs }
  }

  /**
   * The sweep that was called for has ended, and memory is this much. A sweep that was no success did not come to
   * removing all it could: that it did not help tells nothing.
   */
  swept(usedBytes: number, isSuccess: boolean, nowMs: number): void {
    const regained = (this.#before?.usedBytes ?? usedBytes) - usedBytes
    if (usedBytes <= this.#threshold || regained >= REGAINED * this.#threshold) this.#inVain = 0
    else if (isSuccess) this.#inVain++
    this.#leastBytes = usedBytes
    this.#notBeforeMs = nowMs + Math.min(LONGEST_WAIT_MS, this.#intervalMs * 2 ** this.#inVain)
    this.#before = null
    this.#delayMs = Math.min(this.#intervalMs, 2 * SOONEST_MS)
  }

  #judge(load: Load, threshold: number, nowMs: number): Judgement {
    if (load.usedBytes <= threshold) return 'calm'
    return nowMs >= this.#notBeforeMs || load.usedBytes > this.#nextAt(load, threshold) ? 'sweep' : 'wait'
  }

  /** The memory at which to sweep, however recent the last sweep: a burst into a full Redis is what there is to trim. */
  #nextAt({ maxBytes }: Load, threshold: number): number {
    const from = this.#leastBytes
    if (from === null) return threshold
    const step = GROWN * Math.min(2 ** this.#inVain, MOST_TIMES_GROWN) * threshold
    const left = maxBytes > 0 ? (maxBytes - from) / 2 : Number.POSITIVE_INFINITY
    return Math.max(threshold, from + Math.max(LEAST_GROWN * threshold, Math.min(step, left)))
  }

  /**
   * At most the interval, and less of it the less room is left, so that what fills all of Redis in two intervals is seen
   * in time wherever it begins; sooner where memory, growing as it does, would be there before.
   */
  #delay(load: Load, threshold: number, nowMs: number): number {
    const { usedBytes, maxBytes } = load
    const full = Math.max(maxBytes, threshold)
    const share = Math.max(0, full - usedBytes) / full
    this.#delayMs = Math.min(2 * this.#delayMs, this.#intervalMs, Math.max(SOON_MS, share * this.#intervalMs))
    const before = this.#before
    const perMs = before === null ? 0 : (usedBytes - before.usedBytes) / Math.max(1, nowMs - before.atMs)
    if (perMs <= 0) return this.#delayMs
    const soon = Math.max(SOONEST_MS, (this.#nextAt(load, threshold) - usedBytes) / perMs / 2)
    return Math.min(this.#delayMs, soon)
  }

  #calmDown(): void {
    this.#leastBytes = null
    this.#inVain = 0
    this.#notBeforeMs = 0
  }
}

/** Memory pressure: when to sweep because of it, and how soon to read memory again. */

/** More memory than this is too much: a share of maxmemory, or bytes. */
export type Threshold = { readonly share: number } | { readonly bytes: number }

/** The memory of one primary that counts towards maxmemory. */
export interface Load {
  readonly usedBytes: number
  /** 0 means no maximum. */
  readonly maxBytes: number
}

/** `calm`: below the threshold; `sweep`: sweep now; `wait`: above it, but a sweep would not help yet. */
export type Judgement = 'calm' | 'sweep' | 'wait'

/** Pressure ends below this share of the threshold: memory that hovers around the threshold is still one episode. */
const CALM_BELOW = 0.95
/** Growth since the last sweep that makes another one worthwhile, as a share of the threshold. */
const WORTHWHILE_GROWTH = 0.02
/** Sweeps that did not help raise that growth, up to this many times; little room below maxmemory lowers it, down to this share. */
const MAX_GROWTH_FACTOR = 8
const MIN_GROWTH = 0.005
/** A sweep helped if it freed this share of the threshold. Less may be only the few entries written since. */
const HELPFUL = 0.01
/** If trimming does not help, wait longer and longer before the next try, up to this. */
const MAX_WAIT_MS = 3_600_000
/** Shortest time between two readings of memory. */
const MIN_DELAY_MS = 100
/** Time between readings when Redis is full and memory does not grow. */
const FULL_DELAY_MS = 500

/** The threshold in bytes; null if it is a share of maxmemory and Redis has no maxmemory. */
export function thresholdBytes(threshold: Threshold, { maxBytes }: Load): number | null {
  if ('bytes' in threshold) return threshold.bytes
  return maxBytes > 0 ? maxBytes * threshold.share : null
}

/**
 * Judges the memory of one primary, one reading after the other. Times are in milliseconds of a monotonic clock.
 *
 * Below CALM_BELOW of the threshold it forgets earlier sweeps. The first reading above the threshold asks for a sweep. After
 * each sweep it waits for the interval, doubled for every sweep in a row that did not help, or until memory has grown enough
 * to make a sweep worthwhile. So a burst is trimmed at once, and memory that trimming cannot free does not cause sweep after sweep.
 */
export class PressureGauge {
  readonly #intervalMs: number
  #before: { readonly atMs: number; readonly usedBytes: number } | null = null
  #threshold = 0
  /** The lowest memory since the last sweep, from which growth is measured. Null until the first sweep under pressure. */
  #leastBytes: number | null = null
  #notBeforeMs = 0
  /** Sweeps in a row that freed almost nothing. */
  #uselessSweeps = 0
  /** Longest time to the next reading. */
  #delayMs: number

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
    this.#delayMs = Math.min(intervalMs, 2 * MIN_DELAY_MS)
  }

  /** Whether the last sweep freed almost nothing and memory is still above the threshold. */
  get isHelpless(): boolean {
    return this.#uselessSweeps > 0
  }

  /** Takes one reading. @returns what to do, and how many milliseconds to wait before the next reading */
  judge(load: Load, threshold: number, nowMs: number): { judgement: Judgement; nextMs: number } {
    const { usedBytes } = load
    this.#threshold = threshold
    if (usedBytes < threshold * CALM_BELOW) this.#calmDown()
    if (this.#leastBytes !== null) this.#leastBytes = Math.min(this.#leastBytes, usedBytes)
    const judgement = this.#judge(load, threshold, nowMs)
    const nextMs = this.#delay(load, threshold, nowMs)
    this.#before = { atMs: nowMs, usedBytes }
    return { judgement, nextMs }
  }

  /**
   * The requested sweep has ended and left memory at `usedBytes`. Only a successful sweep can show that trimming does not
   * help: any other did not remove all it could.
   */
  swept(usedBytes: number, isSuccess: boolean, nowMs: number): void {
    const freed = (this.#before?.usedBytes ?? usedBytes) - usedBytes
    if (usedBytes <= this.#threshold || freed >= HELPFUL * this.#threshold) this.#uselessSweeps = 0
    else if (isSuccess) this.#uselessSweeps++
    this.#leastBytes = usedBytes
    this.#notBeforeMs = nowMs + Math.min(MAX_WAIT_MS, this.#intervalMs * 2 ** this.#uselessSweeps)
    this.#before = null
    this.#delayMs = Math.min(this.#intervalMs, 2 * MIN_DELAY_MS)
  }

  #judge(load: Load, threshold: number, nowMs: number): Judgement {
    if (load.usedBytes <= threshold) return 'calm'
    return nowMs >= this.#notBeforeMs || load.usedBytes > this.#nextAt(load, threshold) ? 'sweep' : 'wait'
  }

  /** The memory at which to sweep however recent the last sweep was: that much growth is a burst, which can be trimmed. */
  #nextAt({ maxBytes }: Load, threshold: number): number {
    const from = this.#leastBytes
    if (from === null) return threshold
    const step = WORTHWHILE_GROWTH * Math.min(2 ** this.#uselessSweeps, MAX_GROWTH_FACTOR) * threshold
    const left = maxBytes > 0 ? (maxBytes - from) / 2 : Number.POSITIVE_INFINITY
    return Math.max(threshold, from + Math.max(MIN_GROWTH * threshold, Math.min(step, left)))
  }

  /**
   * How long to wait before the next reading: at most the interval, and proportionally less the less room is left, so that
   * a burst that would fill all of Redis in two intervals is seen in time wherever it starts. Sooner still if memory, growing
   * as it does now, would reach the next sweep's mark before.
   */
  #delay(load: Load, threshold: number, nowMs: number): number {
    const { usedBytes, maxBytes } = load
    const full = Math.max(maxBytes, threshold)
    const roomLeft = Math.max(0, full - usedBytes) / full
    this.#delayMs = Math.min(2 * this.#delayMs, this.#intervalMs, Math.max(FULL_DELAY_MS, roomLeft * this.#intervalMs))
    const before = this.#before
    const perMs = before === null ? 0 : (usedBytes - before.usedBytes) / Math.max(1, nowMs - before.atMs)
    if (perMs <= 0) return this.#delayMs
    const untilNextSweepMs = Math.max(MIN_DELAY_MS, (this.#nextAt(load, threshold) - usedBytes) / perMs / 2)
    return Math.min(this.#delayMs, untilNextSweepMs)
  }

  #calmDown(): void {
    this.#leastBytes = null
    this.#uselessSweeps = 0
    this.#notBeforeMs = 0
  }
}

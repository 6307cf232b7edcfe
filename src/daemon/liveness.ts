/** Whether the daemon is alive and not wedged. Judged by its own progress, so that a Redis outage never restarts it. */

/** How late a tick may be: timers are late on a busy machine, and croner may look at the clock only every 30 s. */
const TICK_GRACE_MS = 60_000
/** Time that one step of a sweep may take besides waiting for replies. */
const STEP_GRACE_MS = 30_000

export interface Progress {
  /** How long the next tick has been due, in ms; null if none is scheduled. Setting the clock does not make a tick late. */
  readonly tickLateMs: number | null
  /** Milliseconds since the running sweep last made progress; null if no sweep is running. */
  readonly sinceStepMs: number | null
}

/**
 * Why the daemon counts as wedged, or null if it does not. A step of a sweep may take as long as the reply deadline, which
 * the pace stretches; a tick must come when the clock says so.
 */
export function whyWedged(progress: Progress, replyTimeoutMs: number, pacePercent: number): string | null {
  const longestStepMs = (2 * replyTimeoutMs * 100) / pacePercent + STEP_GRACE_MS
  if (progress.sinceStepMs !== null) {
    return progress.sinceStepMs > longestStepMs
      ? `the running sweep has made no progress for ${Math.round(progress.sinceStepMs / 1000)} s`
      : null
  }
  return progress.tickLateMs !== null && progress.tickLateMs > TICK_GRACE_MS
    ? `the next sweep is ${Math.round(progress.tickLateMs / 1000)} s late`
    : null
}

/** Records the daemon's progress. */
export class Liveness {
  /** When the running sweep last made progress, as performance.now(). */
  #stepAt = 0
  /** When the next tick is due: by the system clock, which can be set, and by the monotonic clock, which cannot. */
  #due: { readonly systemMs: number; readonly monotonicMs: number } | null = null

  /** A sweep has started or made progress. */
  step(): void {
    this.#stepAt = performance.now()
  }

  /** When the next tick is due, in ms since 1970; null for never. */
  expectTick(ms: number | null): void {
    this.#due = ms === null ? null : { systemMs: ms, monotonicMs: performance.now() + ms - Date.now() }
  }

  progress(isSweeping: boolean): Progress {
    return { tickLateMs: this.#tickLateMs(), sinceStepMs: isSweeping ? performance.now() - this.#stepAt : null }
  }

  /** Late only if both clocks say so: the schedule follows the system clock, which may have jumped past the tick. */
  #tickLateMs(): number | null {
    if (this.#due === null) return null
    return Math.min(Date.now() - this.#due.systemMs, performance.now() - this.#due.monotonicMs)
  }
}

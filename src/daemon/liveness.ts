/** Whether the daemon is alive and not wedged: judged by its own progress alone, never by Redis. */

/** Timers are late on a busy machine, and croner looks at the clock every half minute at least. */
const TICK_GRACE_MS = 60_000
/** What one step may take beside its replies. */
const STEP_GRACE_MS = 30_000

/** How the daemon gets on. */
export interface Progress {
  /** How long ago the tick that comes next was due, in ms; null when none is. A clock that is set makes nothing late. */
  readonly tickLateMs: number | null
  /** How long ago the sweep under way last got on, in ms; null when none is. */
  readonly sinceStepMs: number | null
}

/**
 * Why the daemon counts as wedged, or null. A step of a sweep is bounded by the reply deadline, which pacing stretches;
 * a tick is bounded by the clock.
 */
export function whyWedged(progress: Progress, replyTimeoutMs: number, pacePercent: number): string | null {
  const longestStepMs = (2 * replyTimeoutMs * 100) / pacePercent + STEP_GRACE_MS
  if (progress.sinceStepMs !== null) {
    return progress.sinceStepMs > longestStepMs
      ? `a sweep has not got on for ${Math.round(progress.sinceStepMs / 1000)} s`
      : null
  }
  return progress.tickLateMs !== null && progress.tickLateMs > TICK_GRACE_MS
    ? `a sweep has been due for ${Math.round(progress.tickLateMs / 1000)} s`
    : null
}

/** Keeps what a daemon's progress is judged by. */
export class Liveness {
  /** performance.now() when the sweep under way last got on. */
  #stepAt = 0
  /** When the next tick is due: on the clock that people set, and as performance.now(), on the one that nobody sets. */
  #due: { readonly ms: number; readonly at: number } | null = null

  /** A sweep has begun, or got on. */
  step(): void {
    this.#stepAt = performance.now()
  }

  /** The next tick is due then, in ms since 1970; null when none is. */
  expectTick(ms: number | null): void {
    this.#due = ms === null ? null : { ms, at: performance.now() + ms - Date.now() }
  }

  progress(isSweeping: boolean): Progress {
    return { tickLateMs: this.#tickLateMs(), sinceStepMs: isSweeping ? performance.now() - this.#stepAt : null }
  }

  /** By both clocks: the one that people set decides when a sweep is due, and may have passed that moment in a leap. */
  #tickLateMs(): number | null {
    return this.#due === null ? null : Math.min(Date.now() - this.#due.ms, performance.now() - this.#due.at)
  }
}

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

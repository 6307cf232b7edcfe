/** Bounds the share of time in which one Redis has any work of ours. */

/** How long work may go on before a pause: short, so that other clients wait for little; a page is a few ms. */
const BURST_MS = 5
/** Timers have a grain of 1 ms: smaller pauses are saved up. */
const LEAST_PAUSE_MS = 2

export interface Pace {
  /** Runs the work when it is its turn. What it waits for does not count as its time. */
  run<T>(work: () => Promise<T>): Promise<T>
}

/**
 * A pace of `percent` (1 to 100): over a sweep, the time with work outstanding stays within that share. At 100 nothing
 * ever waits. A pause ends early when `stop` fires.
 */
export function makePace(percent: number, stop: AbortSignal): Pace {
  if (percent === 100) return { run: (work) => work() }
  const pausePerBusyMs = (100 - percent) / percent
  let outstanding = 0
  let burstStart = 0
  let owedMs = 0
  /** Resolves when the pause under way, or about to be, is over; null while work may start. */
  let pause: PromiseWithResolvers<void> | null = null

  const rest = async (): Promise<void> => {
    const start = performance.now()
    await sleep(owedMs, stop)
    owedMs -= performance.now() - start
    const over = pause
    pause = null
    over?.resolve()
  }

  return {
    async run(work) {
      while (pause !== null) await pause.promise
      if (outstanding === 0) burstStart = performance.now()
      outstanding++
      try {
        return await work()
      } finally {
        outstanding--
        const busyMs = performance.now() - burstStart
        // Who comes from now on waits, so that what is outstanding drains and the pause can begin.
        if (pause === null && busyMs >= BURST_MS && !stop.aborted) pause = Promise.withResolvers()
        if (outstanding === 0) {
          owedMs += busyMs * pausePerBusyMs
          if (owedMs >= LEAST_PAUSE_MS && !stop.aborted) {
            pause ??= Promise.withResolvers()
            void rest()
          } else {
            const over = pause
            pause = null
            over?.resolve()
          }
        }
      }
    },
  }
}

function sleep(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      stop.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    stop.addEventListener('abort', done, { once: true })
    if (stop.aborted) done()
  })
}

/** Waiting that a stop cuts short. `Promise.race` with a signal that lives for months would leak a listener for each wait. */

/** Resolves when the promise settles or `stop` fires, whichever comes first. */
export function settledOrStopped(promise: Promise<unknown>, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop.removeEventListener('abort', done)
      resolve()
    }
    stop.addEventListener('abort', done, { once: true })
    promise.then(done, done)
    if (stop.aborted) done()
  })
}

/** Resolves after `ms` milliseconds, or when `stop` fires. */
export async function sleep(ms: number, stop: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await settledOrStopped(promise, stop)
  clearTimeout(timer)
}

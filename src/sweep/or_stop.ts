/** Waiting that a stop cuts short, and that leaves nothing behind: `Promise.race` with a signal that lives for months would. */

/** Resolves when the promise settles or `stop` fires, whichever comes first. */
export function orStop(promise: Promise<unknown>, stop: AbortSignal): Promise<void> {
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

/** Resolves after so many milliseconds, or when `stop` fires. */
export async function sleep(ms: number, stop: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  await orStop(promise, stop)
  clearTimeout(timer)
}

/** Returns memory to the system while the daemon is idle, because a sidecar should be small. */

/** Idle time before collecting. Sweeps that follow each other sooner reuse the memory of the one before. */
const IDLE_MS = 5000

/**
 * Collects all garbage once in each pause between sweeps, which takes about 50 ms, if Node allows it (`--expose-gc`, as in
 * the image). Otherwise Node keeps the memory of a sweep, and for minutes that of loading the program. Node's own
 * `--memory-saver-mode` collects so often that a sweep takes a third longer.
 */
export class IdleGc {
  #timer: NodeJS.Timeout | undefined

  /** Collects once the daemon has been idle for IDLE_MS. */
  schedule(): void {
    this.cancel()
    const { gc } = globalThis
    if (gc) this.#timer = setTimeout(() => void gc({ type: 'major', flavor: 'last-resort' }), IDLE_MS).unref()
  }

  cancel(): void {
    clearTimeout(this.#timer)
  }
}

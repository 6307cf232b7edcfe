/** Memory that loading and sweeping have left goes back to the system while nothing is to be done: a sidecar should be small. */

/** Sweeps that follow each other more closely work in what the one before has left. */
const REST_MS = 5000

/**
 * The times between sweeps. In each of them, where Node lets us ask for it (`--expose-gc`, as the image does), all garbage
 * is collected once, which takes some 50 ms. Left alone, Node keeps what a sweep took, or for minutes what loading did; told
 * to spare memory (`--memory-saver-mode`), it collects so often that a sweep takes a third longer.
 */
export class Rest {
  #timer: NodeJS.Timeout | undefined

  begin(): void {
    this.end()
    const { gc } = globalThis
    if (gc) this.#timer = setTimeout(() => void gc({ type: 'major', flavor: 'last-resort' }), REST_MS).unref()
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}

/** Which connections are closed, and when: those that take too long, and the slowest when there are too many. */

/** How long a client may take to send its request. */
const ASKING_TIMEOUT_MS = 5000
/** How long a client may take to read its answer and close. */
const ANSWERING_TIMEOUT_MS = 10_000

/**
 * Most connections open at a time. Prometheus, two probes and a few browsers need fewer than twenty. A thousand take 3 MB, 11 MB
 * with long headers, and give a busy client the time to send its request before as many others have come.
 */
const MOST_CONNECTIONS = 1000

/** Most answers under way at a time, because we hold the text of each until its client has taken it. */
const MOST_ANSWERS = 32

/** A socket, as far as it matters here. */
export interface Connection {
  destroy(): unknown
}

/**
 * All open connections. A new one is always accepted, because it may be Prometheus. When there are too many, the one that
 * has taken longest gives way to it: clients that send half a request, or nothing, never keep out one that sends a whole request.
 *
 * A connection is `asking` until its request is there, and then `answering` until it is closed. It serves one request.
 */
export class Connections<C extends Connection> {
  // With the timer that closes it. Maps keep the order of insertion, so the first one has taken longest.
  readonly #asking = new Map<C, NodeJS.Timeout>()
  readonly #answering = new Map<C, NodeJS.Timeout>()

  /** A client has connected. */
  add(connection: C): void {
    if (this.#asking.size + this.#answering.size >= MOST_CONNECTIONS) this.#closeFirst(this.#asking)
    this.#asking.set(
      connection,
      setTimeout(() => this.#close(connection), ASKING_TIMEOUT_MS),
    )
  }

  /** Its request is there. */
  beginAnswer(connection: C): void {
    clearTimeout(this.#asking.get(connection))
    this.#asking.delete(connection)
    if (this.#answering.size >= MOST_ANSWERS) this.#closeFirst(this.#answering)
    this.#answering.set(
      connection,
      setTimeout(() => this.#close(connection), ANSWERING_TIMEOUT_MS),
    )
  }

  /** It is closed. */
  remove(connection: C): void {
    for (const connections of [this.#asking, this.#answering]) {
      clearTimeout(connections.get(connection))
      connections.delete(connection)
    }
  }

  closeAll(): void {
    for (const connection of [...this.#asking.keys(), ...this.#answering.keys()]) this.#close(connection)
  }

  #closeFirst(connections: ReadonlyMap<C, unknown>): void {
    const [first] = connections.keys()
    if (first !== undefined) this.#close(first)
  }

  #close(connection: C): void {
    this.remove(connection)
    connection.destroy()
  }
}

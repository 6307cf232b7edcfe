/**
 * Remembers groups in which no consumer can become reapable for a while, since `XINFO CONSUMERS` cannot be paged and takes
 * Redis 4 ms for 20,000 consumers. A group that gains or loses consumers or pending references is asked again.
 */

/** Most groups remembered. The ones remembered longest are forgotten first, and asked again. */
const MOST_REMEMBERED = 20_000

interface Quiet {
  readonly untilMs: number
  readonly consumers: number
  readonly pending: number
}

export class QuietGroups {
  readonly #groups = new Map<string, Quiet>()

  /** Whether the group is as it was and still has nothing to reap. Times in ms of Redis's clock. */
  isQuiet(key: Buffer, group: Uint8Array, consumers: number, pending: number, nowMs: number): boolean {
    const quiet = this.#groups.get(nameOf(key, group))
    return quiet !== undefined && quiet.consumers === consumers && quiet.pending === pending && nowMs < quiet.untilMs
  }

  set(key: Buffer, group: Uint8Array, consumers: number, pending: number, untilMs: number): void {
    const name = nameOf(key, group)
    this.#groups.delete(name)
    if (this.#groups.size >= MOST_REMEMBERED) {
      const [oldest] = this.#groups.keys()
      if (oldest !== undefined) this.#groups.delete(oldest)
    }
    this.#groups.set(name, { untilMs, consumers, pending })
  }
}

function nameOf(key: Buffer, group: Uint8Array): string {
  return `${key.length}:${key.toString('latin1')}${Buffer.from(group).toString('latin1')}`
}

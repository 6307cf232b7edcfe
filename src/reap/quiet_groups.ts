/**
 * Remembers groups in which no consumer can become reapable for a while, since `XINFO CONSUMERS` cannot be paged and takes
 * Redis 4 ms for 20,000 consumers: a consumer that reads now cannot be reapable before `--reap-consumers-after` has passed.
 */

/** Most groups remembered. The ones remembered longest are forgotten first, and asked again. */
const MOST_REMEMBERED = 20_000

interface Quiet {
  readonly untilMs: number
  readonly consumers: number
  readonly pending: number
}

/** A group as `XINFO GROUPS` reports it. */
interface Counts {
  readonly rawName: Uint8Array
  readonly consumers: number
  readonly pending: number
}

export class QuietGroups {
  readonly #groups = new Map<string, Quiet>()

  /**
   * Whether the group still has no reapable consumer at `nowMs` of Redis's clock. A consumer with pending entries may
   * acknowledge them and become reapable, so a group with other counts is asked again.
   */
  has(key: Buffer, { rawName, consumers, pending }: Counts, nowMs: number): boolean {
    const quiet = this.#groups.get(nameOf(key, rawName))
    return quiet !== undefined && nowMs < quiet.untilMs && consumers === quiet.consumers && pending === quiet.pending
  }

  set(key: Buffer, { rawName, consumers, pending }: Counts, untilMs: number): void {
    const name = nameOf(key, rawName)
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

/**
 * Remembers until when a verdict on a group cannot change, since `XINFO CONSUMERS` cannot be paged and takes Redis 4 ms for
 * 20,000 consumers. A group whose youngest consumer has been idle for `i` cannot be dead before the rest of
 * `--stale-group-after` has passed, and a consumer that reads now cannot be reapable before `--reap-consumers-after` has.
 */

/** Most verdicts remembered. The ones remembered longest are forgotten first, and asked again. */
const MOST_REMEMBERED = 20_000

/** What a verdict was about. `consumers`: none of them is reapable. `alive`: the group is not dead. */
type Verdict = 'consumers' | 'alive'

interface Remembered {
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
  readonly #verdicts = new Map<string, Remembered>()

  /**
   * Whether the verdict still holds at `nowMs` of Redis's clock. A consumer with pending entries may acknowledge them and
   * become reapable, so a group with other counts is asked again. Where a consumer disappeared, it may have been the youngest.
   */
  has(verdict: Verdict, key: Buffer, { rawName, consumers, pending }: Counts, nowMs: number): boolean {
    const known = this.#verdicts.get(nameOf(verdict, key, rawName))
    if (known === undefined || nowMs >= known.untilMs) return false
    if (verdict === 'alive') return consumers >= known.consumers
    return consumers === known.consumers && pending === known.pending
  }

  set(verdict: Verdict, key: Buffer, { rawName, consumers, pending }: Counts, untilMs: number): void {
    const name = nameOf(verdict, key, rawName)
    this.#verdicts.delete(name)
    if (this.#verdicts.size >= MOST_REMEMBERED) {
      const [oldest] = this.#verdicts.keys()
      if (oldest !== undefined) this.#verdicts.delete(oldest)
    }
    this.#verdicts.set(name, { untilMs, consumers, pending })
  }
}

function nameOf(verdict: Verdict, key: Buffer, group: Uint8Array): string {
  return `${verdict}:${key.length}:${key.toString('latin1')}${Buffer.from(group).toString('latin1')}`
}

/** Judges whether the groups of one stream are dead. */

import { readConsumers, withLife } from '../groups/consumer_groups.ts'
import { type Group, isAt } from '../retention/groups.ts'
import { type Consumer, isReapable } from '../retention/reaping.ts'
import type { ReapContext } from './reaped.ts'

/** Reads the consumers of each group at most once, until it is told to forget them. */
export class GroupJudge {
  readonly #key: Buffer
  readonly #context: ReapContext
  readonly #consumers = new Map<string, readonly Consumer[]>()

  constructor(key: Buffer, context: ReapContext) {
    this.#key = key
    this.#context = context
  }

  /** The group with its signs of life if it is dead, else null. @throws Refused, Fault */
  async ifDead(group: Group): Promise<Group | null> {
    const { ask, limits, nowMs, living, deserted } = this.#context
    if (group.consumers === 0 && deserted !== null) {
      const before = deserted.find(({ rawName }) => nameOf(rawName) === nameOf(group.rawName))
      return before !== undefined && isAt(group, before.lastDelivered) ? group : null
    }
    if (living.idleMs(this.#key, group, limits.staleGroupAfterMs, nowMs) !== null) return null
    const judged = group.consumers > 0 ? await this.#withIdle(group) : await withLife(ask, this.#key, group)
    return judged !== null && isReapable(judged, limits, nowMs) ? judged : null
  }

  async #withIdle(group: Group): Promise<Group> {
    const { limits, nowMs, living } = this.#context
    const idle = (await this.consumersOf(group)).map(({ idleMs }) => idleMs)
    if (idle.length === 0) return group
    const seen = { ...group, idleMs: idle.reduce((least, ms) => Math.min(least, ms)) }
    living.set(this.#key, seen, limits.staleGroupAfterMs, nowMs)
    return seen
  }

  /** @throws Refused, Fault */
  async consumersOf(group: Group): Promise<readonly Consumer[]> {
    const known = this.#consumers.get(nameOf(group.rawName))
    if (known !== undefined) return known
    const consumers = await readConsumers(this.#context.ask, this.#key, group.rawName, group.consumers)
    this.#consumers.set(nameOf(group.rawName), consumers)
    return consumers
  }

  /** Reads the consumers of the group again the next time: they have changed. */
  forget(group: Uint8Array): void {
    this.#consumers.delete(nameOf(group))
  }
}

/** The name of a group as a key of a map. */
export function nameOf(group: Uint8Array): string {
  return Buffer.from(group).toString('latin1')
}

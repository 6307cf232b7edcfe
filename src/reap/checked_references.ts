/**
 * Remembers groups in which no pending reference leads to a missing entry. Only a removal can make an entry missing, and no
 * removal of an entry that a group was delivered leaves the stream's length and the group's position and lag as they were:
 * with as many new entries the length is the same, but the lag grows.
 */

import { BoundedMemory, groupKey } from '../remembered/bounded_memory.ts'
import type { Group } from '../retention/groups.ts'

/** Most groups remembered; others are checked in every sweep. */
const MOST_REMEMBERED = 20_000
/** Checked again after this time in any case, in ms. */
const RECHECKED_AFTER_MS = 24 * 3_600_000

interface Checked {
  readonly sign: string
  readonly untilMs: number
}

export class CheckedReferences {
  readonly #groups = new BoundedMemory<Checked>(MOST_REMEMBERED)

  /** Whether nothing has changed since the group was checked, at `nowMs` of Redis's clock. `length` is that of its stream. */
  has(key: Buffer, group: Group, length: number, nowMs: number): boolean {
    const checked = this.#groups.get(groupKey(key, group.rawName))
    return checked !== undefined && nowMs < checked.untilMs && checked.sign === signOf(group, length)
  }

  set(key: Buffer, group: Group, length: number, nowMs: number): void {
    const name = groupKey(key, group.rawName)
    const sign = signOf(group, length)
    if (sign === null) this.#groups.delete(name)
    else this.#groups.set(name, { sign, untilMs: nowMs + RECHECKED_AFTER_MS })
  }
}

/** Null where Redis does not know the lag, or takes it from the length because the group is behind the whole stream. */
function signOf({ lag, pending, lastDelivered }: Group, length: number): string | null {
  if (lag === null || lag >= length) return null
  return `${length} ${lag} ${pending} ${lastDelivered.ms}-${lastDelivered.seq}`
}

/**
 * Remembers when the consumers of a group were last seen, since `XINFO CONSUMERS` cannot be paged and takes Redis 4 ms for
 * 20,000 consumers. A group cannot be dead before its most recently seen consumer has been idle for `--stale-group-after`,
 * unless consumers are deleted. Only living groups are remembered: a dead one may come back at any time.
 */

import { isBefore, type StreamId } from '../entries/stream_id.ts'
import { BoundedMemory, groupKey } from '../remembered/bounded_memory.ts'
import type { Group } from '../retention/groups.ts'

/** Most groups remembered; others are asked in every sweep. */
const MOST_REMEMBERED = 20_000
/** A group is not remembered if its name and its stream's are longer than this together, in bytes. */
const MOST_NAME_BYTES = 512

interface Living {
  readonly consumers: number
  /** When a consumer was seen for certain, in ms of Redis's clock. */
  readonly seenMs: number
  /** The same, or later where the group was delivered more since. */
  readonly activeMs: number
  readonly lookedMs: number
  readonly lastDelivered: StreamId
}

export class LivingGroups {
  readonly #groups = new BoundedMemory<Living>(MOST_REMEMBERED)

  /** How long the group has been idle at most; null if it must be asked, because it may be dead by now. Times in ms of Redis's clock. */
  idleMs(key: Buffer, group: Group, staleGroupAfterMs: number, nowMs: number): number | null {
    const name = groupKey(key, group.rawName)
    const living = this.#groups.get(name)
    if (living === undefined) return null
    const { seenMs, lastDelivered, lookedMs } = living
    if (group.consumers < living.consumers || nowMs - seenMs >= staleGroupAfterMs) {
      this.#groups.delete(name)
      return null
    }
    const activeMs = isBefore(lastDelivered, group.lastDelivered) ? lookedMs : living.activeMs
    this.#groups.set(name, { ...positionOf(group, nowMs), seenMs, activeMs })
    return Math.max(0, nowMs - activeMs)
  }

  /** Remembers a group whose consumers were asked. */
  set(key: Buffer, group: Group, staleGroupAfterMs: number, nowMs: number): void {
    const name = groupKey(key, group.rawName)
    const isLiving = group.idleMs !== null && group.idleMs < staleGroupAfterMs
    if (!isLiving || name.length > MOST_NAME_BYTES) {
      this.#groups.delete(name)
      return
    }
    const seenMs = nowMs - (group.idleMs ?? 0)
    this.#groups.set(name, { ...positionOf(group, nowMs), seenMs, activeMs: seenMs })
  }
}

function positionOf({ consumers, lastDelivered }: Group, lookedMs: number) {
  return { consumers, lastDelivered, lookedMs }
}

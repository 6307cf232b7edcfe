/** What streams leave behind: which consumers and groups may be reaped. */
import { type Group, isStale } from './groups.ts'
import type { Limits } from './policy.ts'

/** What Redis reports about one consumer. */
export interface Consumer {
  readonly name: Uint8Array
  /** Entries delivered to it and not acknowledged. */
  readonly pending: number
  /**
   * Time since it last tried to read, in ms. Before Redis 7.2 an attempt that found nothing does not count, so a living
   * consumer of a quiet stream looks idle.
   */
  readonly idleMs: number
  /** Whether attempts that found nothing count (Redis 7.2 and newer, Valkey). */
  readonly countsAttempts: boolean
}

/**
 * The consumers that may be deleted: nothing pending, and idle for `afterMs`. Where attempts that found nothing do not count,
 * idle is measured from the most recently active consumer of the group, so that an application that is quiet as a whole
 * keeps its consumers (as zeebe-redis-exporter does). With `keepsYoungest`, the most recently active consumer stays.
 */
export function reapableConsumers(
  consumers: readonly Consumer[],
  afterMs: number,
  keepsYoungest: boolean,
): readonly Consumer[] {
  const youngestMs = consumers.reduce((least, { idleMs }) => Math.min(least, idleMs), Number.POSITIVE_INFINITY)
  const reapable = consumers.filter(
    ({ pending, idleMs, countsAttempts }) => pending === 0 && idleMs >= afterMs + (countsAttempts ? 0 : youngestMs),
  )
  if (!keepsYoungest) return reapable
  const kept = reapable.find(({ idleMs }) => idleMs === youngestMs)
  const going = new Set(reapable)
  const isTold = consumers.some((consumer) => consumer.idleMs === youngestMs && !going.has(consumer))
  return kept === undefined || isTold ? reapable : reapable.filter((consumer) => consumer !== kept)
}

/**
 * Whether the policy asks if a group is alive. Its most recently active consumer tells that, so this consumer stays:
 * without it, a group that was alive yesterday would look as dead as its oldest crashed consumer.
 */
export function judgesLife({ protect, ackedAfterMs, deleteIdleMs, reapGroups }: Limits, group: Uint8Array): boolean {
  const usesLife = protect !== 'none' || Number.isFinite(ackedAfterMs) || Number.isFinite(deleteIdleMs)
  return usesLife || (reapGroups?.matches(group) ?? false)
}

/**
 * A dead group with more references than this to entries that still exist is left until trimming has removed those entries:
 * `XGROUP DESTROY` frees all references in one step, which takes Redis 0.1 to 0.2 ms for each 1,000.
 */
export const MOST_LIVING_REFERENCES = 20_000

/**
 * How long until a consumer may become reapable that is not in `reapable`, in ms: if none of them acknowledges anything, and
 * whatever they acknowledge. One that stays although it has been idle for long enough may be reapable as soon as another one
 * reads.
 */
export function msToNextReapable(
  consumers: readonly Consumer[],
  reapable: readonly Consumer[],
  afterMs: number,
): { readonly ifNoneAcks: number; readonly whatever: number } {
  const going = new Set(reapable)
  const staying = consumers.filter((consumer) => !going.has(consumer))
  const least = (of: readonly Consumer[]): number =>
    of.reduce((ms, { idleMs }) => Math.min(ms, Math.max(0, afterMs - idleMs)), afterMs)
  return { ifNoneAcks: least(staying.filter(({ pending }) => pending === 0)), whatever: least(staying) }
}

/**
 * Whether a group may be destroyed, or its stream deleted with it: dead for `staleGroupAfterMs`. Redis does not say when a group was created, and a group
 * without consumers that was just created at an old ID looks as dead as an abandoned one. So such a group must have been
 * delivered something (its entries-read is known and not 0); otherwise it is alive.
 */
export function isReapable(group: Group, { staleGroupAfterMs }: Limits, nowMs: number): boolean {
  if (!isStale(group, staleGroupAfterMs, nowMs)) return false
  return group.consumers > 0 || (group.entriesRead ?? 0) > 0
}

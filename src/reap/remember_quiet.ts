/** Tells until when nothing can be reapable in the groups of a stream. */

import type { Found } from '../look/found.ts'
import type { Group } from '../retention/groups.ts'
import type { ReapContext } from './reaped.ts'

/** Remembers a stream in whose groups a look found nothing to reap. */
export function rememberQuiet({ key, state }: Found, groups: readonly Group[], context: ReapContext): void {
  const { limits, nowMs, living, reapMemory } = context
  let untilMs = Number.POSITIVE_INFINITY
  for (const group of groups) {
    if (limits.reapGroups?.matches(group.rawName)) {
      const idleMs = group.consumers > 0 ? living.idleMs(key, group, limits.staleGroupAfterMs, nowMs) : null
      untilMs = idleMs === null ? 0 : Math.min(untilMs, nowMs - idleMs + limits.staleGroupAfterMs)
    }
    if (Number.isFinite(limits.reapConsumersAfterMs) && group.consumers > 0)
      untilMs = Math.min(untilMs, reapMemory.quietGroups.untilWhateverMs(key, group))
  }
  if (untilMs > nowMs) reapMemory.quietStreams.set(key, state.length, nowMs, untilMs)
}

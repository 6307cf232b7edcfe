/** The limits of a policy as text. */
import type { limitFlags } from '../flags/flags.ts'
import type { Limits } from '../retention/policy.ts'
import { formatDuration, formatSize } from '../text/quantities.ts'

/** The limits by flag name. By default numbers are written as the flags accept them; `count` may format them otherwise. */
export function limitTexts(limits: Limits, count: (n: number) => string = String) {
  const orOff = (n: number): string => (Number.isFinite(n) ? count(n) : 'off')
  return {
    'max-age': formatDuration(limits.maxAgeMs),
    'max-length': orOff(limits.maxLength),
    'max-bytes': formatSize(limits.maxBytes),
    trim: limits.trim,
    protect: limits.protect,
    'hard-max-age': formatDuration(limits.hardMaxAgeMs),
    'hard-max-length': orOff(limits.hardMaxLength),
    'stale-group-after': formatDuration(limits.staleGroupAfterMs),
    'acked-after': formatDuration(limits.ackedAfterMs),
    'reap-consumers-after': formatDuration(limits.reapConsumersAfterMs),
    'reap-groups': limits.reapGroups?.pattern ?? 'off',
    'reap-pending': limits.reapPending,
    'delete-idle': formatDuration(limits.deleteIdleMs),
    'delete-empty': limits.deleteEmpty,
  } satisfies Record<keyof typeof limitFlags, string | boolean>
}

/** Whether such a text means that the limit is turned off. */
export function isOff(text: string | boolean): boolean {
  return text === 'off' || text === 'none' || text === false
}

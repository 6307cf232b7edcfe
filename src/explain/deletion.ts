/** Why `--delete-empty` and `--delete-idle` leave a stream. Pure. */

import { isTime } from '../entries/stream_id.ts'
import type { Limits } from '../retention/policy.ts'

/** The stream as the next sweep leaves it. */
export interface Remains {
  readonly entries: number
  readonly groups: readonly { readonly isDead: boolean | null }[]
  /** First part of the last ID ever; null where the ACL hides it. */
  readonly lastMs: number | null
  readonly nowMs: number
}

/** Why `--delete-empty` leaves it; null if nothing is in the way. */
export function whyNotEmpty({ entries, groups, lastMs, nowMs }: Remains, { maxAgeMs }: Limits): string | null {
  if (entries > 0) return 'it is not empty'
  if (groups.length > 0) return 'it has a consumer group'
  return whyWritten(lastMs, nowMs, maxAgeMs, '--max-age')
}

/** Why `--delete-idle` leaves it; null if nothing is in the way. */
export function whyNotIdle({ groups, lastMs, nowMs }: Remains, { deleteIdleMs }: Limits): string | null {
  if (groups.some(({ isDead }) => isDead !== true)) return 'a group on it is alive'
  return whyWritten(lastMs, nowMs, deleteIdleMs, '--delete-idle')
}

function whyWritten(lastMs: number | null, nowMs: number, afterMs: number, flag: string): string | null {
  if (lastMs === null) return 'the ACL hides when it was last written'
  if (!isTime(lastMs, nowMs)) return 'its IDs are not times'
  return lastMs < nowMs - afterMs ? null : `it was written within ${flag}`
}

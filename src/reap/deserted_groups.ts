/**
 * Dead groups without consumers. What tells that such a group is dead is the first entry that it was not delivered, and
 * trimming may remove that entry: so it is judged before the stream is trimmed.
 */

import { readGroupsToReap, withLife } from '../groups/consumer_groups.ts'
import type { Found } from '../look/found.ts'
import type { Ask } from '../redis/ask.ts'
import { Fault } from '../redis/refusal.ts'
import { Refused } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { Limits } from '../retention/policy.ts'
import { isReapable } from '../retention/reaping.ts'

/** The dead groups without consumers of a stream that is about to be trimmed; none where nothing depends on it. */
export async function readDeserted(
  { key, state }: Found,
  limits: Limits,
  ask: Ask,
  nowMs: number,
): Promise<readonly Group[]> {
  const isNeeded = limits.reapGroups !== null || Number.isFinite(limits.deleteIdleMs)
  if (!isNeeded || state.hasGroups === false || state.length === 0) return []
  try {
    const groups = await readGroupsToReap(ask, key)
    const empty = groups.filter(({ consumers, entriesRead }) => consumers === 0 && (entriesRead ?? 0) > 0)
    const judged = await Promise.all(empty.map((group) => withLife(ask, key, group)))
    return judged
      .filter((group) => group !== null && isReapable(group, limits, nowMs))
      .filter((group) => group !== null)
  } catch (error) {
    // Whatever goes wrong here goes wrong again when the stream is trimmed or reaped, and there it is counted.
    if (error instanceof Refused || error instanceof Fault) return []
    throw error
  }
}

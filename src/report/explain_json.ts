/** What `explain --output json` prints. */

import { formatStreamId, isTime } from '../entries/stream_id.ts'
import type { Explanation, StreamExplained } from '../explain/explain.ts'
import type { GroupExplained } from '../explain/groups.ts'
import { entriesGone } from '../forecast/forecast_stream.ts'
import type { Oldest } from '../look/stream_state.ts'
import { type Pause, pauseFields } from '../shared_keys/pause_key.ts'
import { shown } from '../text/shown.ts'
import { verdictsOn } from './explain_verdicts.ts'
import { holdFields, missingFields } from './json.ts'

/** `pause` is the one in force. */
export function explainJson(explanation: Explanation, pause: Pause | null = null) {
  const { key, result, cause, message, stream, missing } = explanation
  const policy = stream?.policy ?? null
  return {
    result,
    ...(cause === null ? {} : { cause, reason: message }),
    paused: pause && pauseFields(pause),
    stream: shown(key),
    policy: policy?.name ?? null,
    match: policy?.match ?? null,
    policyFrom: policy?.origin.policy ?? null,
    passed: stream?.passed.map(({ name, match }) => ({ policy: name, match })) ?? [],
    entries: stream?.length ?? null,
    bytes: stream?.bytes ?? null,
    memoryBytes: stream?.memory ?? null,
    first: stream && entryFields(stream.first, stream),
    last: stream && entryFields(stream.last, stream),
    customIds: stream === null || stream.first === null ? null : !stream.hasTimeIds,
    writtenPerSecond: stream?.written ? rounded(stream.written.perSecond) : null,
    writtenOverSeconds: stream?.written ? seconds(stream.written.overMs) : null,
    limits: stream === null ? [] : verdictsOn(stream),
    groups: stream?.groups.map((group) => groupFields(group, stream.nowMs)) ?? [],
    nextSweep: stream === null ? null : nextSweepFields(stream),
    missing: missingFields(missing),
  }
}

function entryFields(entry: Oldest | null, { nowMs }: StreamExplained) {
  return entry === null
    ? null
    : { id: entry.id, ageSeconds: isTime(entry.ms, nowMs) ? seconds(nowMs - entry.ms) : null }
}

function groupFields(group: GroupExplained, nowMs: number) {
  const { name, lag, pending, lastDelivered, floor, lastAliveMs, isDead, holdsBack, dangling } = group
  return {
    name,
    lastDelivered: formatStreamId(lastDelivered),
    lag,
    pending,
    floor: formatStreamId(floor),
    lastAlive: lastAliveMs === null ? null : new Date(lastAliveMs).toISOString(),
    aliveSecondsAgo: lastAliveMs === null ? null : seconds(nowMs - lastAliveMs),
    dead: isDead,
    holdsBack,
    dangling,
    allPendingChecked: group.areAllChecked,
    consumerCount: group.consumers,
    consumers: group.named.map((one) => ({
      name: shown(one.name),
      pending: one.pending,
      idleSeconds: seconds(one.idleMs),
    })),
  }
}

/** The same figures as in a plan. */
function nextSweepFields({ nextSweep, policy, length }: StreamExplained) {
  if (nextSweep === null || policy === null) return null
  const { removed, bytes, isExact, unread, over, hold, reap } = nextSweep
  return {
    remove: { ...removed, approximateBytes: bytes, exact: isExact },
    archive: policy.archive ? entriesGone(nextSweep, length) : 0,
    unread: unread?.entries ?? 0,
    unreadBy: unread?.group ?? null,
    overLimit: over,
    held: hold && holdFields(hold),
    reap: { ...reap },
  }
}

function seconds(ms: number): number {
  return Math.round(ms) / 1000
}

function rounded(n: number): number {
  return Math.round(n * 1000) / 1000
}

/** What `explain` prints for people, within 80 columns. */

import { formatStreamId, isTime } from '../entries/stream_id.ts'
import type { Explanation, StreamExplained } from '../explain/explain.ts'
import type { GroupExplained } from '../explain/groups.ts'
import { entriesGone } from '../forecast/forecast_stream.ts'
import type { Oldest } from '../look/stream_state.ts'
import { isOff } from '../phrases/limits.ts'
import { missingLines, reapedTold, reasonsShown, sentence, table } from '../phrases/table.ts'
import { sumOfReasons } from '../retention/policy.ts'
import { counted, listed } from '../text/counted.ts'
import { roundDuration, roundSize } from '../text/quantities.ts'
import { shown } from '../text/shown.ts'
import { type LimitVerdict, reasonFor, verdictsOn } from './explain_verdicts.ts'

/** Most groups, and most consumers of a group, that are named. JSON has all groups, and more consumers. */
const GROUPS_NAMED = 20
const CONSUMERS_NAMED = 5

/** Several lines, each ending in a newline. */
export function explainSummary(explanation: Explanation): string {
  const { key, stream, missing } = explanation
  const lines =
    stream === null
      ? sentence(`failed: ${reasonFor(explanation)}`)
      : [
          ...sentence(shown(key)),
          ...sentence(reasonFor(explanation)),
          '',
          ...stateLines(stream),
          ...limitLines(stream),
          ...groupLines(stream),
          ...nextSweepLines(stream),
        ]
  const lacks = missingLines(missing).filter((line) => !lines.includes(`failed: ${line}`))
  return [...lines, ...lacks, ''].join('\n')
}

function stateLines(stream: StreamExplained): string[] {
  const { length, bytes, first, last, written } = stream
  const size = bytes === null ? '' : `, ${roundSize(bytes)}`
  return [
    `entries  ${length}${size}`,
    ...(first === null ? [] : [`first    ${entry(first, stream)}`]),
    ...(last === null ? [] : [`last     ${entry(last, stream)}`]),
    ...(written === null
      ? []
      : [`written  ${roundRate(written.perSecond)} a second over the last ${roundDuration(written.overMs)}`]),
  ]
}

function entry({ id, ms }: Oldest, { nowMs }: StreamExplained): string {
  if (!isTime(ms, nowMs)) return `${id}, not a time`
  return ms > nowMs ? `${id}, ${roundDuration(ms - nowMs)} in the future` : `${id}, ${roundDuration(nowMs - ms)} old`
}

function limitLines(stream: StreamExplained): string[] {
  const verdicts = verdictsOn(stream)
  if (verdicts.length === 0) return []
  const on = verdicts.filter(({ value }) => !isOff(value))
  const off = verdicts.filter(({ value }) => isOff(value))
  return [
    '',
    'limits',
    ...on.flatMap(({ limit, value, from, verdict }) =>
      sentence(`${limit} ${value} (${source(limit, from)})${verdict === null ? '' : `: ${verdict}`}`),
    ),
    ...offLines(off),
  ]
}

/** The limits that are off: by default, then with what turned them off. */
function offLines(off: readonly LimitVerdict[]): string[] {
  const byDefault = off.filter(({ from }) => from === 'default').map(({ limit }) => limit)
  const others = off.filter(({ from }) => from !== 'default')
  return [
    ...others.flatMap(({ limit, value, from }) => sentence(`${limit} ${value} (${source(limit, from)})`)),
    ...(byDefault.length === 0 ? [] : sentence(`off by default: ${byDefault.join(', ')}`)),
  ]
}

function source(limit: string, from: string): string {
  if (from === 'policy') return 'set in the policy'
  if (from === 'default') return 'by default'
  return from === 'flag' ? `from\u00a0--${limit}` : `from\u00a0${from}`
}

function groupLines({ groups, nowMs }: StreamExplained): string[] {
  if (groups.length === 0) return ['', 'no consumer groups']
  const named = groups.slice(0, GROUPS_NAMED)
  const checked = ({ dangling, areAllChecked }: GroupExplained): string => `${dangling}${areAllChecked ? '' : '+'}`
  return [
    '',
    ...table([
      ['group', 'lag', 'pending', 'dangling', 'consumers', 'last alive', 'state'],
      ...named.map((group) => [
        group.name,
        group.lag ?? '?',
        group.pending,
        checked(group),
        group.consumers,
        group.lastAliveMs === null ? '?' : `${roundDuration(Math.max(0, nowMs - group.lastAliveMs))} ago`,
        stateOf(group),
      ]),
    ]),
    ...named.flatMap(consumerLines),
    ...(groups.length > named.length ? [`… and ${groups.length - named.length} more groups`] : []),
    ...named
      .filter(({ holdsBack }) => holdsBack)
      .flatMap(({ name, floor }) =>
        sentence(`group ${name} holds the trim back: it needs every entry from ${formatStreamId(floor)} on`),
      ),
    ...otherFloors(named.filter(({ holdsBack }) => !holdsBack)),
  ]
}

/** Where the groups are that hold nothing back. */
function otherFloors(groups: readonly GroupExplained[]): string[] {
  if (groups.length === 0) return []
  return sentence(`floors: ${groups.map(({ name, floor }) => `${name} ${formatStreamId(floor)}`).join(', ')}`)
}

function stateOf({ isDead, holdsBack }: GroupExplained): string {
  return holdsBack ? 'holds' : isDead ? 'dead' : isDead === null ? '' : 'alive'
}

/** The stuck and the oldest consumers of a group. */
function consumerLines({ name, named, consumers }: GroupExplained): string[] {
  const shownOnes = named.slice(0, CONSUMERS_NAMED)
  const more = consumers > shownOnes.length ? `; ${consumers - shownOnes.length} more` : ''
  if (shownOnes.length === 0) return []
  const each = shownOnes.map((one) => `${shown(one.name)} (${one.pending} pending, idle ${roundDuration(one.idleMs)})`)
  return sentence(`consumers of ${name}: ${each.join(', ')}${more}`)
}

function nextSweepLines({ nextSweep, policy, length }: StreamExplained): string[] {
  if (nextSweep === null || policy === null) return ['', 'the next sweep leaves it alone']
  const { removed, bytes, isExact, unread, hold, reap } = nextSweep
  const total = sumOfReasons(removed)
  const about = isExact ? '' : 'about '
  const gone = entriesGone(nextSweep, length)
  const reaped = reapedTold({ ...reap, streams: 0 })
  const by = reasonsShown(removed).flatMap((reason) => (removed[reason] > 0 ? [`${removed[reason]} by ${reason}`] : []))
  return [
    '',
    ...sentence(
      total === 0
        ? 'the next sweep removes nothing'
        : `the next sweep removes ${about}${counted(total, 'entry', 'entries')} (${by.join(', ')}) and frees about ${roundSize(bytes)}`,
    ),
    ...(policy.archive && gone > 0
      ? sentence(`it archives ${about}${counted(gone, 'entry', 'entries')} before that`)
      : []),
    ...(unread === null
      ? []
      : sentence(`${counted(unread.entries, 'of them is', 'of them are')} not yet read by group ${unread.group}`)),
    ...(hold === null ? [] : sentence(`group ${hold.group} keeps the stream over its limits`)),
    ...(reaped.length === 0 ? [] : sentence(`it reaps ${listed(reaped)}`)),
    ...(reap.streams > 0 ? ['it unlinks the stream'] : []),
  ]
}

/** A rate for people: three digits. */
function roundRate(perSecond: number): string {
  return String(Number(perSecond.toPrecision(3)))
}

/** The tables of streams and groups on the status page: what a group holds back, the longest streams, and lagging groups. */
import { NODE_ENTRIES } from '../entries/bites.ts'
import { lengthLimit, type Policy } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { LongStream } from '../tally/longest.ts'
import { shown } from '../text/shown.ts'
import { when } from '../text/when.ts'
import { cell, count, table } from './markup.ts'

/** How many of the longest streams the page lists. */
const LONGEST_LISTED = 20

/** Which group holds back which stream. If streams may not be named, one row for each policy and group. */
export function heldTable({ held, total }: SweepReport, namesStreams: boolean): string {
  if (held.length === 0) return ''
  const rows = held.map(({ key, policy, hold }) => [
    ...(namesStreams ? [cell(shown(key), 'name')] : []),
    cell(policy),
    cell(hold.group),
    cell(hold.lastAliveMs === null ? 'unknown' : when(hold.lastAliveMs)),
  ])
  const distinct = [...new Map(rows.map((row) => [row.join(''), row])).values()]
  const heads = [...(namesStreams ? ['stream'] : []), 'policy', 'group', 'last alive']
  const all = total.protectedStreams
  const note = all > held.length ? `<p>The first ${held.length} of ${count(all)}.</p>\n` : ''
  return `<h2>Held back by a consumer group</h2>\n${note}${table(heads, distinct)}`
}

/** All bars share one scale, so their lengths can be compared. Each is marked with the limit of its stream. */
export function longestTable({ longest }: SweepReport, policies: readonly Policy[]): string {
  if (longest.length === 0) return ''
  const listed = longest.slice(0, LONGEST_LISTED).map((stream) => {
    const own = policies.find(({ name }) => name === stream.policy)
    return {
      ...stream,
      limit: own ? lengthLimit(own) : Number.POSITIVE_INFINITY,
      slack: own?.trim === 'approx' ? NODE_ENTRIES : 0,
    }
  })
  const most = Math.max(...listed.map(({ length }) => length))
  // Make room for a limit just above the longest stream. One far above would make all bars tiny.
  const scale = Math.max(...listed.map(({ limit }) => limit).filter((limit) => limit <= 1.25 * most), most)
  const rows = listed.map((stream) => [
    cell(shown(stream.key), 'name'),
    cell(stream.policy),
    `<td>${bar(stream, scale)}</td>`,
    cell(`${count(stream.length)} / ${Number.isFinite(stream.limit) ? count(stream.limit) : 'no limit'}`, 'n'),
  ])
  return `<h2>Longest streams</h2>\n${table(['stream', 'policy', 'against its limit', 'entries / limit'], rows, 3)}`
}

const BAR_WIDTH = 160

/** The slack of `--trim approx` does not count as excess: such a stream is inside its policy. */
function bar({ length, limit, slack }: LongStream & { limit: number; slack: number }, scale: number): string {
  const x = (entries: number): string => ((entries / scale) * BAR_WIDTH).toFixed(1)
  const allowed = Math.min(length, limit + slack)
  const excess =
    length > allowed ? `<rect class="excess" x="${x(allowed)}" y="2" width="${x(length - allowed)}" height="8"/>` : ''
  const mark = limit <= scale ? `<line class="limit" x1="${x(limit)}" x2="${x(limit)}" y2="12"/>` : ''
  return `<svg class="length" viewBox="0 0 ${BAR_WIDTH + 2} 12" aria-hidden="true"><rect class="track" y="2" width="${BAR_WIDTH}" height="8"/><rect class="kept" y="2" width="${x(allowed)}" height="8"/>${excess}${mark}</svg>`
}

/** How many of the most lagging groups the page lists. */
const LAGGING_LISTED = 20

/** The groups of each policy, and which of them lag most. Empty where groups are not looked at. */
export function groupTables({ groups }: SweepReport, namesStreams: boolean): string {
  if (groups === null) return ''
  const sums = groups.policies.map(({ policy, groups, consumers, pending, lagMax }) => [
    cell(policy, 'name'),
    ...[groups, consumers, pending, lagMax].map((n) => cell(n, 'n')),
  ])
  const all = table(['policy', 'groups', 'consumers', 'pending', 'worst lag'], sums, 1)
  const lagging = groups.lagging
    .filter(({ lag }) => lag > 0)
    .slice(0, LAGGING_LISTED)
    .map(({ policy, key, group, lag }) => [
      ...(namesStreams ? [cell(shown(key), 'name')] : []),
      cell(policy),
      cell(group),
      cell(lag, 'n'),
    ])
  const heads = [...(namesStreams ? ['stream'] : []), 'policy', 'group', 'lag']
  const worst =
    lagging.length === 0 ? '' : `\n<h2>Groups that lag most</h2>\n${table(heads, lagging, heads.length - 1)}`
  return `<h2>Consumer groups</h2>\n${all}${worst}`
}

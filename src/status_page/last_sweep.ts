/** What the last sweep did, or in a dry run would have done, on the status page. */

import type { Foretold } from '../forecast/foretold.ts'
import { type Policy, REASONS, type Reason, reapsGroups } from '../retention/policy.ts'
import type { SweepReport } from '../sweep/sweep.ts'
import type { PolicyTally } from '../tally/tally.ts'
import { roundDuration, roundSize } from '../text/quantities.ts'
import { ago, count, streams, term } from './markup.ts'

export function lastSweep(report: SweepReport, policies: readonly Policy[], sinceMs: number): string {
  const { memory, total, result, durationMs } = report
  const { entries, removed, foretold } = total
  return [
    term(
      'last sweep',
      `${result}, ${ago(sinceMs)}; it took ${roundDuration(durationMs)} for ${streams(total.streams)}`,
    ),
    term('entries', `${count(entries.before)} before, ${count(entries.after)} after`),
    ...(foretold === undefined
      ? [term('removed', byReason(removed)), ...archivedTerms(total, policies), ...reapedTerms(total, policies)]
      : foretoldTerms(foretold, policies)),
    memory === null
      ? ''
      : term(
          'Redis memory',
          `${roundSize(memory.usedBytes)} of ${memory.maxBytes > 0 ? roundSize(memory.maxBytes) : 'no limit'}`,
        ),
  ].join('\n')
}

/** Only where a policy archives. */
function archivedTerms({ archived, archivedBytes, unarchived }: PolicyTally, policies: readonly Policy[]): string[] {
  if (!policies.some(({ archive }) => archive) && archived + unarchived === 0) return []
  const lost = unarchived === 0 ? '' : `; ${count(unarchived)} removed by a hard limit without it`
  return [term('archived', `${some(archived, 'entry', 'entries') || 'nothing'}${inBytes(archivedBytes)}${lost}`)]
}

function inBytes(bytes: number): string {
  return bytes === 0 ? '' : ` in ${roundSize(bytes)}`
}

/** Only where a policy reaps: to all others these lines say nothing. */
function reapedTerms({ reaped, deletedFor, deletedStreams }: PolicyTally, policies: readonly Policy[]): string[] {
  const { consumers, groups, pending } = reaped
  const terms: string[] = []
  if (policies.some(reapsGroups) || consumers + groups + pending > 0)
    terms.push(term('reaped', listed(leftBehind(reaped))))
  if (policies.some(deletes) || deletedStreams > 0) {
    const { empty, idle } = deletedFor
    terms.push(term('deleted', listed([some(empty, 'empty stream'), some(idle, 'idle stream')])))
  }
  return terms
}

function foretoldTerms({ remove, exact, unread, reap }: Foretold, policies: readonly Policy[]): string[] {
  const lost = unread > 0 ? `; ${count(unread)} of them unread by a consumer group` : ''
  const terms = [term('would remove', `${exact ? '' : 'about '}${byReason(remove)}${lost}`)]
  if (policies.some(reapsGroups)) terms.push(term('would reap', listed(leftBehind(reap))))
  if (policies.some(deletes)) terms.push(term('would delete', listed([some(reap.streams, 'stream')])))
  return terms
}

function byReason(removed: Readonly<Record<Reason, number>>): string {
  return REASONS.map((reason) => `${count(removed[reason])} by ${reason}`).join(', ')
}

function deletes({ deleteEmpty, deleteIdleMs }: Policy): boolean {
  return deleteEmpty || Number.isFinite(deleteIdleMs)
}

function leftBehind({ consumers, groups, pending }: PolicyTally['reaped']): string[] {
  return [some(consumers, 'consumer'), some(groups, 'group'), some(pending, 'pending reference')]
}

/** A number of things; empty for none. */
function some(n: number, one: string, more = `${one}s`): string {
  return n === 0 ? '' : `${count(n)} ${n === 1 ? one : more}`
}

function listed(things: readonly string[]): string {
  return things.filter((thing) => thing !== '').join(', ') || 'nothing'
}

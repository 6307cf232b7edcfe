/** The first line of the status page: is every stream inside its policy? */
import { pausedSentence } from '../phrases/pause.ts'
import { entriesOf } from '../tally/tally.ts'
import { ago, count, span, streams } from './markup.ts'
import type { Status } from './status.ts'

export interface Verdict {
  /** `plain` if this copy cannot tell: it has not swept yet, or another copy leads. */
  readonly tone: 'good' | 'bad' | 'plain'
  readonly sentence: string
}

/** A success is overdue after this many further ticks beyond the first that was due. */
const OVERDUE_PERIODS = 2

/** Says what this copy knows, and how old that is. */
export function verdict(status: Status, nowMs: number): Verdict {
  const { last, lastSuccessMs, startedAtMs } = status
  if (status.pause !== null) return { tone: 'bad', sentence: `${pausedSentence(status.pause)} Nothing is trimmed.` }
  if (status.anotherLeads && !status.sweeping) {
    const age =
      last === null ? '' : ` The numbers below are from this copy's last sweep, ${ago(nowMs - last.endedAtMs)}.`
    return { tone: 'plain', sentence: `Another copy leads; its page has the current numbers.${age}` }
  }
  const isOverdue = nowMs > overdueFrom(status, lastSuccessMs ?? startedAtMs)
  if (last === null) {
    const late = isOverdue ? ` This copy has been running for ${span(nowMs - startedAtMs)}.` : ''
    return { tone: isOverdue ? 'bad' : 'plain', sentence: `No sweep has ended yet.${late}` }
  }
  const { result, message, total } = last.report
  if (result !== 'success') {
    const success =
      lastSuccessMs === null
        ? 'None has succeeded since this copy started.'
        : `The last success was ${ago(nowMs - lastSuccessMs)}.`
    return { tone: 'bad', sentence: `The last sweep did not succeed: ${message ?? result}. ${success}` }
  }
  const over = entriesOf(total.overLimit).filter(([, n]) => n > 0)
  if (isOverdue) {
    return {
      tone: 'bad',
      sentence: `The last success was ${ago(nowMs - last.endedAtMs)}, and later sweeps are overdue.`,
    }
  }
  if (over.length === 0) {
    const all =
      total.streams === 1
        ? 'The one stream is inside its policy.'
        : `All ${count(total.streams)} streams are inside their policies.`
    return { tone: 'good', sentence: total.streams === 0 ? 'No stream matches a policy.' : all }
  }
  const limits = over.map(([limit, n]) => `${count(n)} by ${limit}`).join(', ')
  const held = total.protectedStreams > 0 ? ` Consumer groups hold back ${streams(total.protectedStreams)}.` : ''
  return { tone: 'bad', sentence: `Streams over a limit: ${limits}, out of ${streams(total.streams)}.${held}` }
}

/** When the next success is overdue by two periods: at the third tick after `sinceMs`. */
function overdueFrom({ nextTick }: Status, sinceMs: number): number {
  let atMs: number | null = sinceMs
  for (let ticks = 0; ticks <= OVERDUE_PERIODS && atMs !== null; ticks++) atMs = nextTick(atMs)
  return atMs ?? Number.POSITIVE_INFINITY
}

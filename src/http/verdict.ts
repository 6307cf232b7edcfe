/** The answer to the first question: is everything inside its policy? */
import { entriesOf } from '../tally/tally.ts'
import { ago, count, span, streams } from './markup.ts'
import type { Status } from './status.ts'

export interface Verdict {
  /** `plain`: it is not for this copy to say, or not yet. */
  readonly tone: 'good' | 'bad' | 'plain'
  readonly told: string
}

/** A success may be missing for so many further ticks after the first that was due. */
const OVERDUE_PERIODS = 2

/** What this copy knows, as good as it is now: it may be old, or another copy's to tell. */
export function verdict(status: Status, nowMs: number): Verdict {
  const { last, lastSuccessMs, startedAtMs } = status
  if (status.anotherLeads && !status.sweeping) {
    const from = last === null ? '' : ` What is below is from when this one last swept, ${ago(nowMs - last.endedAtMs)}.`
    return { tone: 'plain', told: `Another copy leads: its page has the numbers.${from}` }
  }
  const isOverdue = nowMs > overdueFrom(status, lastSuccessMs ?? startedAtMs)
  if (last === null) {
    const late = isOverdue ? ` This copy has been running for ${span(nowMs - startedAtMs)}.` : ''
    return { tone: isOverdue ? 'bad' : 'plain', told: `No sweep has ended yet.${late}` }
  }
  const { result, message, total } = last.report
  if (result !== 'success') {
    const success =
      lastSuccessMs === null ? 'None was since the start' : `The last success was ${ago(nowMs - lastSuccessMs)}`
    return { tone: 'bad', told: `The last sweep was no success: ${message ?? result}. ${success}.` }
  }
  const over = entriesOf(total.overLimit).filter(([, n]) => n > 0)
  if (isOverdue) {
    return { tone: 'bad', told: `The last success was ${ago(nowMs - last.endedAtMs)}, and others have been due since.` }
  }
  if (over.length === 0) {
    const all =
      total.streams === 1
        ? 'The one stream is inside its policy.'
        : `All ${count(total.streams)} streams are inside their policies.`
    return { tone: 'good', told: total.streams === 0 ? 'No stream matches a policy.' : all }
  }
  const limits = over.map(([limit, n]) => `${count(n)} by ${limit}`).join(', ')
  const held = total.protectedStreams > 0 ? ` A consumer group holds ${count(total.protectedStreams)} back.` : ''
  return { tone: 'bad', told: `Over a limit, of ${streams(total.streams)}: ${limits}.${held}` }
}

/** When a success is overdue by two periods, after one at that moment: at the third tick from there. */
function overdueFrom({ nextTick }: Status, sinceMs: number): number {
  let atMs: number | null = sinceMs
  for (let ticks = 0; ticks <= OVERDUE_PERIODS && atMs !== null; ticks++) atMs = nextTick(atMs)
  return atMs ?? Number.POSITIVE_INFINITY
}

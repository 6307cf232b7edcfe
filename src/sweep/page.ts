/** One page of a sweep: the way of each of its streams, from the key that SCAN found to the tally. */

import { isDue } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import type { Batching } from '../look/in_batches.ts'
import { lookAtPage } from '../look/look.ts'
import type { Ask } from '../redis/ask.ts'
import type { Missing } from '../redis/refused.ts'
import type { Policy } from '../retention/policy.ts'
import type { Outcome } from '../tally/outcome.ts'
import type { Tally } from '../tally/tally.ts'
import { trimDue } from '../trim/trim_due.ts'
import { leftAsFound } from '../trim/trimmed.ts'
import { countInside, countOutcome, countUnseen } from './count.ts'

export interface PageContext {
  readonly keys: readonly Buffer[]
  readonly ask: Ask
  /** The primary's own clock when the sweep of it began. */
  readonly nowMs: number
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  readonly policies: readonly Policy[]
  readonly dryRun: boolean
  readonly tally: Tally
  /** Given where many streams may be looked at in one command; shared by the pages of one primary. */
  readonly batching?: Batching
  /** Called for each command that Redis denied and the work can do without. */
  readonly missing: Missing
  /** Called for each stream that was not simply found inside its policy. */
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
  /** Called for each stream when the work on it is done, also if it was left alone. */
  readonly onDone?: (key: Buffer) => void
}

/**
 * Holds the streams of one page to their policies: looked at → judged → trimmed → counted. Whatever happens, what was done
 * is in the tally.
 * @throws Fault when the connection fails or the server refuses everything
 */
export async function sweepPage(page: PageContext): Promise<void> {
  const { ask, keys, policies, nowMs, batching, dryRun } = page
  const { found, unseen } = await lookAtPage(ask, keys, policies, nowMs, batching)
  for (const stream of unseen) countUnseen(stream, page)

  const { due, inside } = judged(found, page)
  for (const stream of inside) countInside(stream, page)

  if (dryRun) {
    for (const stream of due) countOutcome(stream, leftAsFound(stream), page)
    return
  }
  const fault = await trimDue(due, { ...page, onTrimmed: (stream, trimmed) => countOutcome(stream, trimmed, page) })
  if (fault !== null) throw fault
}

/** Splits streams into those that are due and those that are inside their policies. */
function judged(found: readonly Found[], { policies, nowMs }: PageContext): { due: Found[]; inside: Found[] } {
  const due: Found[] = []
  const inside: Found[] = []
  for (const stream of found) {
    const isStreamDue = isDue(stream, policies[stream.policy] as Policy, nowMs)
    ;(isStreamDue ? due : inside).push(stream)
  }
  return { due, inside }
}

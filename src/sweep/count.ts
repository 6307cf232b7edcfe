/** Counts what became of each stream of a page. */

import { overLimits } from '../judge/over_limits.ts'
import type { Found, Unseen } from '../look/found.ts'
import { NOTHING_REAPED, type Reaped } from '../reap/reaped.ts'
import { lackOf, type Missing, nameOf, Refused } from '../redis/refused.ts'
import { forEachLimit, forEachReason, type Policy } from '../retention/policy.ts'
import type { Outcome, RefusedFields } from '../tally/outcome.ts'
import type { Tally } from '../tally/tally.ts'
import { leftAsFound, type Trimmed } from '../trim/trimmed.ts'

export interface CountContext {
  readonly policies: readonly Policy[]
  /** The primary's own clock when the sweep of it began. */
  readonly nowMs: number
  readonly tally: Tally
  /** Called for each command that Redis denied and the work can do without. */
  readonly missing: Missing
  /** Called for each stream that was not simply found inside its policy. */
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
  /** Called for each stream when the work on it is done, also if it was left alone. */
  readonly onDone?: (key: Buffer) => void
}

/** Counts a stream that is inside its policy. */
export function countInside(stream: Found, context: CountContext): void {
  if (!stream.hasTimeIds) {
    countOutcome(stream, leftAsFound(stream), NOTHING_REAPED, context)
    return
  }
  context.tally.addUntouched(stream.policy, stream.key, stream.state.length)
  context.onDone?.(stream.key)
}

/** Counts a stream that was due, with what became of it. */
export function countOutcome(stream: Found, trimmed: Trimmed, reaped: Reaped, context: CountContext): void {
  const policy = context.policies[stream.policy] as Policy
  const { state, hold, attempted } = trimmed
  const refused = trimmed.refused ?? reaped.refused
  const isDeleted = reaped.deleted !== null
  const over = isDeleted
    ? forEachLimit(false)
    : overLimits(
        stream,
        { ...trimmed, wasTrimmed: attempted && trimmed.refused === null },
        policy.configured,
        context.nowMs,
      )
  const heldBack = hold !== null && (over.age || over.length || over.bytes)
  const isGone = refused?.refusal.word === 'WRONGTYPE'
  const outcome: Outcome = {
    key: stream.key,
    before: stream.state.length,
    after: isDeleted ? 0 : state.length,
    removed: trimmed.removed,
    unread: trimmed.unread + reaped.unread,
    unarchived: trimmed.unarchived,
    deleted: reaped.deleted,
    reaped: reaped.counts,
    skipped: isGone ? 'not_a_stream' : stream.hasTimeIds ? null : 'custom_ids',
    over,
    held: heldBack ? hold : null,
    refused: isGone || refused === null ? null : refusedFields(refused, context),
  }
  context.tally.addOutcome(stream.policy, outcome)
  context.onOutcome(policy, outcome)
  context.onDone?.(stream.key)
}

/** Counts a key that could not be looked at. One that stopped being a stream is skipped; any other is refused. */
export function countUnseen({ key, policy, refusal, command }: Unseen, context: CountContext): void {
  context.onDone?.(key)
  if (refusal.word === 'WRONGTYPE') {
    context.tally.addSkipped(policy, 'not_a_stream')
    return
  }
  const refused = refusedFields(new Refused(refusal, nameOf(command)), context)
  context.tally.addRefused(policy, refused)
  context.onOutcome(context.policies[policy] as Policy, {
    key,
    before: 0,
    after: 0,
    removed: forEachReason(0),
    unread: 0,
    unarchived: 0,
    deleted: null,
    reaped: NOTHING_REAPED.counts,
    skipped: null,
    over: forEachLimit(false),
    held: null,
    refused,
  })
}

/** What Redis refused; where a command is missing, also reports which flag needs that command. */
function refusedFields({ refusal, command }: Refused, { missing }: CountContext): RefusedFields {
  const lack = lackOf(command, refusal)
  if (lack !== null) missing(lack.command, lack.neededFor, lack.why)
  return { word: refusal.word, command, message: refusal.message }
}

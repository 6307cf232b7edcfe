/** One page of a sweep: look at its streams, trim those that are due, count them all. */

import { endsSweep, Fault } from '../redis/refusal.ts'
import { NODE_BYTES, NODE_ENTRIES } from '../retention/bites.ts'
import { ageLimitMs, forEachReason, type Limits, lengthLimit, type Policy, type Reason } from '../retention/policy.ts'
import { isBefore, timeId } from '../retention/stream_id.ts'
import { isDue } from './due.ts'
import { type Found, lookAtPage, type Unseen } from './look.ts'
import { lacking, type Missing, nameOf, Refused } from './refused.ts'
import type { Outcome, RefusedFields, Tally } from './tally.ts'
import { trimStream } from './trim.ts'
import { takesOneBite, trimTogether } from './trim_together.ts'
import { type Trimmed, untrimmed } from './trimmed.ts'
import type { Page } from './walk.ts'

export interface PageContext extends Page {
  readonly policies: readonly Policy[]
  readonly dryRun: boolean
  readonly tally: Tally
  /** Told of a command that an ACL refused where the work could go on without it. */
  readonly missing: Missing
  /** Told of every stream that was not simply inside its policy. */
  readonly onOutcome: (policy: Policy, outcome: Outcome) => void
  /** Told of every stream that is done with, those that were left as they are too: some take far longer than others. */
  readonly onDone?: (key: Buffer) => void
}

/**
 * Holds the streams of one page to their policies. Whatever happens, what was done is in the tally.
 * @throws Fault when the connection fails or the server refuses everything
 */
export async function sweepPage(context: PageContext): Promise<void> {
  const { ask, keys, policies, nowMs, tally, batching } = context
  const { found, unseen } = await lookAtPage(ask, keys, policies, nowMs, batching)
  for (const stream of unseen) countUnseen(stream, context)
  const due: Found[] = []
  for (const stream of found) {
    const limits = policies[stream.policy] as Policy
    if (isDue(stream, limits, nowMs)) due.push(stream)
    else if (stream.byAge) {
      tally.addUntouched(stream.policy, stream.key, stream.state.length)
      context.onDone?.(stream.key)
    } else count(stream, untrimmed(stream), context)
  }
  const faults = context.dryRun ? [] : await holdToPolicies(due, context)
  if (context.dryRun) for (const stream of due) count(stream, untrimmed(stream), context)
  const fault = faults.find((found) => found !== null)
  if (fault) throw fault
}

/** Trims these streams and counts them. @returns the faults that end the sweep, where one came of it */
async function holdToPolicies(due: readonly Found[], context: PageContext): Promise<(Fault | null)[]> {
  const { policies, batching } = context
  const tell = (stream: Found, trimmed: Trimmed): Fault | null => {
    count(stream, trimmed, context)
    const { refused, fault } = trimmed
    return refused !== null && endsSweep(refused.refusal) ? Fault.of(refused.refusal) : fault
  }
  const faults: Promise<(Fault | null)[]>[] = []
  for (const [policy, streams] of Map.groupBy(due, ({ policy }) => policy)) {
    const limits = policies[policy] as Policy
    const { short = [], long = [] } = Object.groupBy(streams, (stream) =>
      batching?.isAllowed && takesOneBite(stream, limits) ? 'short' : 'long',
    )
    if (batching && short.length > 0) {
      const trimmed = trimTogether(short, { ...context, limits }, batching.mostAtOnce)
      faults.push(trimmed.then((all) => short.map((stream, i) => tell(stream, all[i] as Trimmed))))
    }
    for (const stream of long)
      faults.push(trimStream(stream, { ...context, limits }).then((trimmed) => [tell(stream, trimmed)]))
  }
  return (await Promise.all(faults)).flat()
}

function count(stream: Found, trimmed: Trimmed, context: PageContext): void {
  const policy = context.policies[stream.policy] as Policy
  const over = overLimits(stream, trimmed, policy.own, context.nowMs)
  const heldBack = trimmed.hold !== null && (over.age || over.length || over.bytes)
  const isGone = trimmed.refused?.refusal.word === 'WRONGTYPE'
  const outcome: Outcome = {
    key: stream.key,
    before: stream.state.length,
    after: trimmed.state.length,
    removed: trimmed.removed,
    unread: trimmed.unread,
    deleted: trimmed.deleted,
    skipped: isGone ? 'not_a_stream' : stream.byAge ? null : 'custom_ids',
    over,
    held: heldBack ? trimmed.hold : null,
    refused: isGone || trimmed.refused === null ? null : refusedFields(trimmed.refused, context),
  }
  context.tally.addOutcome(stream.policy, outcome)
  context.onOutcome(policy, outcome)
  context.onDone?.(stream.key)
}

/** What Redis refused; and where it is the ACL that lacks a command, which flag cannot do without it. */
function refusedFields({ refusal, command }: Refused, { missing }: PageContext): RefusedFields {
  const lack = lacking(command, refusal)
  if (lack !== null) missing(lack.command, lack.neededFor)
  return { word: refusal.word, command, message: refusal.message }
}

/**
 * Which limits the stream is still over. `approx` may leave a node, which nobody can tell from outside to be one: by
 * length that is a node of Redis's default size, by age it is over only where something else held the trim back.
 */
function overLimits(stream: Found, trimmed: Trimmed, own: Limits, nowMs: number): Record<Reason, boolean> {
  const { state, memoryBytes, hold } = trimmed
  const approx = own.trim === 'approx' && trimmed.refused === null && trimmed.attempted
  const cutOffMs = nowMs - ageLimitMs(own)
  const stale = stream.byAge && state.oldest ? state.oldest.ms < cutOffMs : false
  const heldBack = hold !== null && isBefore(hold.floor, timeId(cutOffMs))
  return {
    age: stale && (!approx || heldBack),
    length: state.length > lengthLimit(own) + (approx ? NODE_ENTRIES : 0),
    bytes: memoryBytes > own.maxBytes + (trimmed.attempted ? NODE_BYTES : 0),
  }
}

/** A key that became something else is nobody's business; any other refusal is a stream that was not held to its policy. */
function countUnseen({ key, policy, refusal, command }: Unseen, context: PageContext): void {
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
    deleted: false,
    skipped: null,
    over: forEachReason(false),
    held: null,
    refused,
  })
}

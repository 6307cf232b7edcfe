/** Looks at a page of keys: which policy holds each stream, and the state in which it was found. */

import { isTime } from '../entries/stream_id.ts'
import type { Ask } from '../redis/ask.ts'
import { Refusal } from '../redis/refusal.ts'
import type { QuietStreams } from '../remembered/quiet_streams.ts'
import { needOnlyLengthAndAge, type Policy, policyFor, reapsGroups } from '../retention/policy.ts'
import type { Covered, Found, Looked } from './found.ts'
import { type Batching, lookWithGroups } from './in_batches.ts'
import { lookOneByOne } from './one_by_one.ts'
import { asQuiet } from './stream_state.ts'

/**
 * Looks at the keys that a policy covers: at many in one command where `batching` is given and allows it, else one by one.
 * Only the latter always reads the oldest entry.
 * @throws Fault when the connection fails or the whole server refuses
 */
export async function lookAtPage(
  ask: Ask,
  keys: readonly Buffer[],
  policies: readonly Policy[],
  nowMs: number,
  batching?: Batching,
): Promise<Looked> {
  const covered: Covered[] = []
  for (const key of keys) {
    const policy = policyFor(policies, key)
    if (policy >= 0) covered.push({ key, policy })
  }
  const looked: Looked = { found: [], unseen: [] }
  const oneByOne =
    batching === undefined ? covered : await lookInBatches(ask, covered, policies, nowMs, batching, looked)
  if (oneByOne.length > 0) {
    const before = looked.found.length
    await lookOneByOne(ask, oneByOne, policies, nowMs, looked)
    if (batching?.quietStreams) markQuiet(looked.found, before, policies, nowMs, batching.quietStreams)
  }
  for (const { key, hasTimeIds, state } of looked.found) {
    if (state.oldest) batching?.futureIds.set(key, !hasTimeIds && state.oldest.ms > nowMs)
  }
  return looked
}

/** Marks those of the streams from `first` on that earlier sweeps found quiet. */
function markQuiet(
  found: Found[],
  first: number,
  policies: readonly Policy[],
  nowMs: number,
  quietStreams: QuietStreams,
): void {
  for (let i = first; i < found.length; i++) {
    const stream = found[i] as Found
    if (!reapsGroups(policies[stream.policy] as Policy)) continue
    found[i] = { ...stream, state: asQuiet(stream.state, quietStreams.lengthIfQuiet(stream.key, nowMs)) }
  }
}

/** Looks in batches where that is possible. @returns the streams left to look at one by one */
async function lookInBatches(
  ask: Ask,
  covered: readonly Covered[],
  policies: readonly Policy[],
  nowMs: number,
  batching: Batching,
  { found, unseen }: Looked,
): Promise<readonly Covered[]> {
  const rest: Covered[] = []
  const byPolicy = Map.groupBy(covered, ({ policy }) => policy)
  await Promise.all(
    [...byPolicy].map(async ([policy, streams]) => {
      const limits = policies[policy] as Policy
      const keys = streams.map(({ key }) => key)
      const seen =
        batching.isAllowed && needOnlyLengthAndAge(limits)
          ? await lookWithGroups(ask, keys, limits, nowMs, batching)
          : null
      if (seen === null) {
        rest.push(...streams)
        return
      }
      seen.forEach((state, i) => {
        const key = keys[i] as Buffer
        if (state === 'look again' || (state !== 'no stream' && state.oldest && !isTime(state.oldest.ms, nowMs)))
          rest.push({ key, policy })
        else if (state === 'no stream') unseen.push({ key, policy, refusal: NOT_A_STREAM, command: ['XLEN', key] })
        else {
          const hasTimeIds = Boolean(state.oldest) || !batching.futureIds.has(key)
          found.push({ key, policy, state, memoryBytes: 0, hasTimeIds })
        }
      })
    }),
  )
  return rest
}

const NOT_A_STREAM = new Refusal('WRONGTYPE')

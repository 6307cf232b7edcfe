/** Looks at a page of streams: what each holds, and whether its policy calls for work. */

import type { Command, Reply } from '../redis/connection.ts'
import { endsSweep, Fault, Refusal } from '../redis/refusal.ts'
import { leastShares } from '../retention/bites.ts'
import { areLengthAndAge, needsOldest, type Policy, policyFor } from '../retention/policy.ts'
import { idsAre, isTime } from '../retention/stream_id.ts'
import { argument, type Batching, lookTogether } from './look_many.ts'
import { type Ask, memoryCommand, oldestCommand, readOldest, type State } from './stream.ts'

/** One stream as it was found. */
export interface Found {
  readonly key: Buffer
  /** Its policy's place in the list. */
  readonly policy: number
  readonly state: State
  /** Memory in bytes where a limit needs it, else 0. */
  readonly memoryBytes: number
  /** False where an age limit would apply and the stream's IDs are not times. */
  readonly byAge: boolean
}

/** A key that could not be looked at: it is no stream any more, or Redis refused. */
export interface Unseen {
  readonly key: Buffer
  readonly policy: number
  readonly refusal: Refusal
  readonly command: Command
}

interface Covered {
  readonly key: Buffer
  readonly policy: number
}

interface Looked {
  readonly found: Found[]
  readonly unseen: Unseen[]
}

/**
 * Looks at those keys that a policy covers: at many in one command where `batching` is given and allows it, else one by one.
 * Only the latter tells the oldest entry of every stream.
 * @throws Fault when the connection fails, or when the whole server refuses
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
  if (oneByOne.length > 0) await lookOneByOne(ask, oneByOne, policies, nowMs, looked)
  for (const { key, byAge, state } of looked.found) {
    if (state.oldest) batching?.ahead.set(key, !byAge && state.oldest.ms > nowMs)
  }
  return looked
}

/** Looks at all it can in batches. @returns what is left to be looked at one by one */
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
        batching.isAllowed && areLengthAndAge(limits) ? await lookTogether(ask, keys, limits, nowMs, batching) : null
      if (seen === null) {
        rest.push(...streams)
        return
      }
      seen.forEach((state, i) => {
        const key = keys[i] as Buffer
        if (state === 'look again' || (state !== 'no stream' && state.oldest && !isTime(state.oldest.ms, nowMs)))
          rest.push({ key, policy })
        else if (state === 'no stream') unseen.push({ key, policy, refusal: NO_STREAM, command: ['XLEN', key] })
        else
          found.push({ key, policy, state, memoryBytes: 0, byAge: Boolean(state.oldest) || !batching.ahead.has(key) })
      })
    }),
  )
  return rest
}

const NO_STREAM = new Refusal('WRONGTYPE')

/** Looks in one batch of plain commands: each stream costs one XLEN, one entry where age matters, one MEMORY USAGE where bytes do. */
async function lookOneByOne(
  ask: Ask,
  covered: readonly Covered[],
  policies: readonly Policy[],
  nowMs: number,
  { found, unseen }: Looked,
): Promise<void> {
  const commands: Command[] = []
  const starts: number[] = []
  for (const { key, policy } of covered) {
    const limits = policies[policy] as Policy
    const named = argument(key)
    starts.push(commands.length)
    commands.push(['XLEN', named])
    if (needsOldest(limits)) commands.push(oldestCommand(named))
    if (limits.maxBytes !== Number.POSITIVE_INFINITY) commands.push(memoryCommand(named))
  }
  const replies = await ask(commands, leastShares(commands.length))
  const open: Open[] = []
  covered.forEach(({ key, policy }, i) => {
    const from = starts[i] as number
    const to = starts[i + 1] ?? commands.length
    for (let at = from; at < to; at++) {
      const refusal = replies[at]
      if (refusal instanceof Refusal) {
        if (endsSweep(refusal)) throw Fault.of(refusal)
        unseen.push({ key, policy, refusal, command: commands[at] as Command })
        return
      }
    }
    const oldest = needsOldest(policies[policy] as Policy) ? readOldest(replies[from + 1] as Reply) : undefined
    const ids = oldest ? idsAre(oldest.ms, nowMs) : 'times'
    if (oldest && ids === 'open') open.push({ place: found.length, key, after: oldest.id })
    const memory = commands[to - 1]?.[0] === 'MEMORY' ? Number(replies[to - 1]) : 0
    const state = { length: Number(replies[from]), oldest }
    found.push({ key, policy, state, memoryBytes: memory, byAge: ids === 'times' })
  })
  if (open.length > 0) await settleOpen(ask, found, open, nowMs)
}

/** A stream whose first ID does not tell what its IDs are. */
interface Open {
  readonly place: number
  readonly key: Buffer
  readonly after: string
}

/** A first entry like `0-1` may stand before times: the second one decides. */
async function settleOpen(ask: Ask, found: Found[], open: readonly Open[], nowMs: number): Promise<void> {
  const replies = await ask(
    open.map(({ key, after }) => ['XRANGE', key, `(${after}`, '+', 'COUNT', '1']),
    leastShares(open.length),
  )
  open.forEach(({ place }, i) => {
    const second = readOldest(replies[i] ?? null)
    const stream = found[place]
    if (stream !== undefined && second !== null && idsAre(second.ms, nowMs) === 'times') {
      found[place] = { ...stream, byAge: true }
    }
  })
}

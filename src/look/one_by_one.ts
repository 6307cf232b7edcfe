/** Looks at streams with plain commands: XLEN for each, one entry where age matters, MEMORY USAGE where bytes matter. */

import { leastCosts } from '../entries/bites.ts'
import { classifyIds } from '../entries/stream_id.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault, isServerWide, Refusal } from '../redis/refusal.ts'
import { Refused } from '../redis/refused.ts'
import { needsOldest, type Policy } from '../retention/policy.ts'
import { lookAtContents } from './entry_bytes.ts'
import type { Covered, Found, Looked } from './found.ts'
import { argument } from './in_batches.ts'
import { memoryHabits } from './memory_habits.ts'
import { memoryCommand, oldestCommand, readOldest } from './stream_state.ts'

/** Adds what it sees to `looked`. @throws Fault when the connection fails or the whole server refuses */
export async function lookOneByOne(
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
  const replies = await ask(commands, leastCosts(commands.length))
  const undecided: Undecided[] = []
  covered.forEach(({ key, policy }, i) => {
    const from = starts[i] as number
    const to = starts[i + 1] ?? commands.length
    for (let at = from; at < to; at++) {
      const refusal = replies[at]
      if (refusal instanceof Refusal) {
        if (isServerWide(refusal)) throw Fault.of(refusal)
        unseen.push({ key, policy, refusal, command: commands[at] as Command })
        return
      }
    }
    const oldest = needsOldest(policies[policy] as Policy) ? readOldest(replies[from + 1] as Reply) : undefined
    const ids = oldest ? classifyIds(oldest.ms, nowMs) : 'times'
    if (oldest && ids === 'open') undecided.push({ place: found.length, key, after: oldest.id })
    const memory = commands[to - 1]?.[0] === 'MEMORY' ? Number(replies[to - 1]) : 0
    const state = { length: Number(replies[from]), oldest }
    found.push({ key, policy, state, memoryBytes: memory, hasTimeIds: ids === 'times' })
  })
  if (undecided.length > 0) await readSecondIds(ask, found, undecided, nowMs)
  await lookBesideGroups(ask, policies, { found, unseen })
}

/** Tells the entries of streams that are over a limit on bytes from their groups, which `MEMORY USAGE` counts too. */
async function lookBesideGroups(ask: Ask, policies: readonly Policy[], { found, unseen }: Looked): Promise<void> {
  const habits = memoryHabits(ask)
  const isOver = ({ policy, state, memoryBytes }: Found): boolean =>
    memoryBytes > (policies[policy] as Policy).maxBytes && state.length > 1
  const over = found.filter(isOver)
  await Promise.all(
    over.map(async (stream) => {
      const { key, policy, memoryBytes } = stream
      const place = found.indexOf(stream)
      try {
        const contents = await lookAtContents(ask, key, memoryBytes, habits)
        if (contents !== null) found[place] = { ...stream, memoryBytes: contents.entries.bytes, contents }
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        if (isServerWide(error.refusal)) throw Fault.of(error.refusal)
        unseen.push({ key, policy, refusal: error.refusal, command: error.command.split(' ') })
        found.splice(found.indexOf(stream), 1)
      }
    }),
  )
}

/** A stream whose first ID does not show whether its IDs are times. */
interface Undecided {
  readonly place: number
  readonly key: Buffer
  readonly after: string
}

/** A stream of times may begin with an entry like `0-1`: its second ID decides. */
async function readSecondIds(ask: Ask, found: Found[], undecided: readonly Undecided[], nowMs: number): Promise<void> {
  const replies = await ask(
    undecided.map(({ key, after }) => ['XRANGE', key, `(${after}`, '+', 'COUNT', '1']),
    leastCosts(undecided.length),
  )
  undecided.forEach(({ place }, i) => {
    const second = readOldest(replies[i] ?? null)
    const stream = found[place]
    if (stream !== undefined && second !== null && classifyIds(second.ms, nowMs) === 'times') {
      found[place] = { ...stream, hasTimeIds: true }
    }
  })
}

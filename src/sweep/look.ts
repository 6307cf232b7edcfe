/** Looks at a page of streams in one batch: what each holds, and whether its policy calls for work. */

import { isAscii } from 'node:buffer'
import type { Command, Reply } from '../redis/connection.ts'
import { endsSweep, Fault, Refusal } from '../redis/refusal.ts'
import { type Policy, policyFor } from '../retention/policy.ts'
import { type Ask, idsAre, memoryCommand, needsOldest, oldestCommand, readOldest, type State } from './stream.ts'

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

/** The parts of a policy's look. Each stream costs one XLEN, one entry where age matters, one MEMORY USAGE where bytes do. */
function pushLook(commands: Command[], key: Buffer, policy: Policy, withMemory: boolean): void {
  // node-redis writes a command of texts in one piece, and one with a Buffer in three.
  const argument = isAscii(key) ? key.toString('latin1') : key
  commands.push(['XLEN', argument])
  if (needsOldest(policy)) commands.push(oldestCommand(argument))
  if (withMemory || policy.maxBytes !== Number.POSITIVE_INFINITY) commands.push(memoryCommand(argument))
}

/**
 * Looks at those keys that a policy covers, in order. `withMemory` asks for every stream's memory.
 * @throws Fault when the connection fails, or when the whole server refuses
 */
export async function lookAtPage(
  ask: Ask,
  keys: readonly Buffer[],
  policies: readonly Policy[],
  nowMs: number,
  withMemory = false,
): Promise<{ found: Found[]; unseen: Unseen[] }> {
  const commands: Command[] = []
  const covered: { key: Buffer; policy: number; from: number }[] = []
  for (const key of keys) {
    const policy = policyFor(policies, key)
    if (policy < 0) continue
    covered.push({ key, policy, from: commands.length })
    pushLook(commands, key, policies[policy] as Policy, withMemory)
  }
  const replies = commands.length === 0 ? [] : await ask(commands)

  const found: Found[] = []
  const unseen: Unseen[] = []
  const open: { place: number; key: Buffer; after: string }[] = []
  covered.forEach(({ key, policy, from }, i) => {
    const limits = policies[policy] as Policy
    const to = covered[i + 1]?.from ?? commands.length
    for (let at = from; at < to; at++) {
      const refusal = replies[at]
      if (refusal instanceof Refusal) {
        if (endsSweep(refusal)) throw Fault.of(refusal)
        unseen.push({ key, policy, refusal, command: commands[at] as Command })
        return
      }
    }
    const oldest = needsOldest(limits) ? readOldest(replies[from + 1] as Reply) : undefined
    const ids = oldest ? idsAre(oldest.ms, nowMs) : 'times'
    if (oldest && ids === 'open') open.push({ place: found.length, key, after: oldest.id })
    const memory = commands[to - 1]?.[0] === 'MEMORY' ? Number(replies[to - 1]) : 0
    found.push({
      key,
      policy,
      state: { length: Number(replies[from]), oldest },
      memoryBytes: memory,
      byAge: ids === 'times',
    })
  })
  if (open.length > 0) await settleOpen(ask, found, open, nowMs)
  return { found, unseen }
}

/** A first entry like `0-1` may stand before times: the second one decides. */
async function settleOpen(
  ask: Ask,
  found: Found[],
  open: { place: number; key: Buffer; after: string }[],
  nowMs: number,
): Promise<void> {
  const replies = await ask(open.map(({ key, after }) => ['XRANGE', key, `(${after}`, '+', 'COUNT', '1']))
  open.forEach(({ place }, i) => {
    const second = readOldest(replies[i] ?? null)
    const stream = found[place]
    if (stream !== undefined && second !== null && idsAre(second.ms, nowMs) === 'times') {
      found[place] = { ...stream, byAge: true }
    }
  })
}

/** What one look at a stream tells, and what it takes to look. */

import type { Command, Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import type { Limits } from '../retention/policy.ts'
import { EARLIEST_TIME_MS, isTime, millisecondsOf, parseStreamId, type StreamId } from '../retention/stream_id.ts'

export type Ask = (commands: readonly Command[]) => Promise<Reply[]>

export interface Oldest {
  readonly id: string
  readonly ms: number
  /** What its fields and values carry, in bytes. */
  readonly bytes: number
}

/** A stream as Redis described it a moment ago. */
export interface State {
  readonly length: number
  /** The first entry; null in an empty stream, undefined where it was not asked for. */
  readonly oldest: Oldest | null | undefined
  /** Whether it has no consumer group; undefined where that is not known. */
  readonly isGroupless?: boolean
}

/** Whether any limit of the policy needs the oldest entry: one entry carried per stream and sweep. */
export function needsOldest(limits: Limits): boolean {
  return limits.maxAgeMs !== Number.POSITIVE_INFINITY || limits.hardMaxAgeMs !== Number.POSITIVE_INFINITY
}

/** The age limit that holds in the end, whatever groups protect. */
export function ageLimitMs(limits: Limits): number {
  return Math.min(limits.maxAgeMs, limits.hardMaxAgeMs)
}

/** The length limit that holds in the end. */
export function lengthLimit(limits: Limits): number {
  return Math.min(limits.maxLength, limits.hardMaxLength)
}

export function oldestCommand(key: Buffer | string): Command {
  return ['XRANGE', key, '-', '+', 'COUNT', '1']
}

/** What Redis says the stream takes, from a sample of its nodes, as `MEMORY USAGE key` typed by hand answers. */
export function memoryCommand(key: Buffer | string): Command {
  return ['MEMORY', 'USAGE', key]
}

/** The entry in a reply of XRANGE … COUNT 1. */
export function readOldest(reply: Reply): Oldest | null {
  const entry = Array.isArray(reply) ? reply[0] : undefined
  if (!Array.isArray(entry)) return null
  const [id, fields] = entry
  let bytes = 0
  if (Array.isArray(fields)) for (const field of fields) bytes += Buffer.isBuffer(field) ? field.length : 0
  return Buffer.isBuffer(id) ? { id: id.toString('latin1'), ms: millisecondsOf(id), bytes } : null
}

/** The IDs in a reply of XRANGE. */
export function readIds(reply: Reply): StreamId[] {
  const entries = Array.isArray(reply) ? (reply as readonly (readonly [Buffer])[]) : []
  return entries.map(([id]) => parseStreamId(id.toString('latin1')))
}

/**
 * What a stream's IDs are. IDs only grow, so an oldest one that is a time vouches for all after it; one that is none
 * leaves it `open`, until the second is read.
 */
export function idsAre(oldestMs: number, nowMs: number): 'times' | 'open' | 'custom' {
  if (isTime(oldestMs, nowMs)) return 'times'
  return oldestMs < EARLIEST_TIME_MS ? 'open' : 'custom'
}

/** A refused command, thrown to end the work on one stream, as the outcome tells. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly refusal: Refusal
  /** The command that was refused, by its name, such as `XINFO GROUPS`. */
  readonly command: string

  constructor(refusal: Refusal, command: string) {
    super(refusal.message)
    this.refusal = refusal
    this.command = command
  }
}

/** What stands or falls with a command; a sweep cannot do without the others. */
const NEEDS: Readonly<Record<string, string>> = {
  XRANGE: '--max-age',
  XREVRANGE: 'plan',
  'MEMORY USAGE': '--max-bytes',
  'XINFO GROUPS': '--protect',
  'XINFO CONSUMERS': '--protect',
  XPENDING: '--protect',
  EVAL: '--trim exact, --max-bytes, --protect and --delete-empty',
}

/**
 * The command that the ACL does not allow, and the flag that needs it; null where it is something else that was refused,
 * such as the key. What a script lacks is named by Redis from 7.2 on.
 */
export function lacking(command: string, refusal: Refusal): { command: string; neededFor: string } | null {
  const named = /\brun the '([^']+)' command/.exec(refusal.message)?.[1]
  const isCommand = named !== undefined || /can't run this command/.test(refusal.message)
  if (refusal.word !== 'NOPERM' || !isCommand) return null
  return {
    command: command === 'EVAL' ? (named?.replace('|', ' ').toUpperCase() ?? 'command inside EVAL') : command,
    neededFor: NEEDS[command] ?? 'every sweep',
  }
}

/** The command's name as ACLs know it. */
export function nameOf(command: Command): string {
  const container = /^(?:XINFO|MEMORY|CLIENT|CONFIG)$/.test(String(command[0]))
  return container ? `${command[0]} ${command[1]}` : String(command[0])
}

/** The reply, which must be no Refusal. @throws Refused */
export function accepted(reply: Reply | undefined, command: Command): Reply {
  if (reply instanceof Refusal) throw new Refused(reply, nameOf(command))
  return reply ?? null
}

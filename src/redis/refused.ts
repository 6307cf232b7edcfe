/** What Redis refused of one stream, which ends the work on it and not on others; and what an ACL lacks, where that is why. */

import type { Command, Reply } from './connection.ts'
import { Refusal } from './refusal.ts'

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
export function deniedCommand(command: string, refusal: Refusal): { command: string; neededFor: string } | null {
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

/** Told of a command that an ACL refused, and of what goes without it. */
export type Missing = (command: string, neededFor: string) => void

/** The same as a sentence. */
export function deniedTold(command: string, neededFor: string): string {
  return `the ACL allows no ${command}, which ${neededFor} needs`
}

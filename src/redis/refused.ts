/** A command refused for one stream, which ends the work on this stream only; and the right that the ACL user lacks. */

import type { Command, Reply } from './connection.ts'
import { Refusal } from './refusal.ts'

/** Thrown to end the work on one stream; its outcome then holds the refusal. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly refusal: Refusal
  /** The name of the refused command, such as `XINFO GROUPS`. */
  readonly command: string

  constructor(refusal: Refusal, command: string) {
    super(refusal.message)
    this.refusal = refusal
    this.command = command
  }
}

/** What needs each command. A sweep needs every command that is not in this list. */
const NEEDS: Readonly<Record<string, string>> = {
  XRANGE: '--max-age',
  XREVRANGE: 'plan',
  'MEMORY USAGE': '--max-bytes',
  'XINFO GROUPS': '--max-bytes, --protect, --acked-after and reaping',
  'XINFO STREAM': '--max-bytes',
  'XINFO CONSUMERS': '--protect, --acked-after and reaping',
  XPENDING: '--protect and --acked-after',
  EVAL: '--trim exact, --max-bytes, --protect, --acked-after, --delete-empty and reaping',
}

/**
 * The command that the ACL forbids, and the flag that needs it; null if Redis refused for another reason, such as the key.
 * Since 7.2 Redis names the command that a script may not run.
 */
export function deniedCommand(command: string, refusal: Refusal): { command: string; neededFor: string } | null {
  const named = /\brun the '([^']+)' command/.exec(refusal.message)?.[1]
  const isCommand = named !== undefined || /can't run this command/.test(refusal.message)
  if (refusal.word !== 'NOPERM' || !isCommand) return null
  return {
    command: command.startsWith('EVAL') ? (named?.replace('|', ' ').toUpperCase() ?? 'command inside EVAL') : command,
    neededFor: NEEDS[command] ?? 'every sweep',
  }
}

/** The name of a command, with its subcommand, as in `XINFO GROUPS`. */
export function nameOf(command: Command): string {
  const container = /^(?:XINFO|MEMORY|CLIENT|CONFIG)$/.test(String(command[0]))
  return container ? `${command[0]} ${command[1]}` : String(command[0])
}

/** Returns the reply. @throws Refused if it is a Refusal */
export function accepted(reply: Reply | undefined, command: Command): Reply {
  if (reply instanceof Refusal) throw new Refused(reply, nameOf(command))
  return reply ?? null
}

/** Called with a command that the ACL forbids, and what needs it. */
export type Missing = (command: string, neededFor: string) => void

export function deniedTold(command: string, neededFor: string): string {
  return `the ACL forbids ${command}, which ${neededFor} needs`
}

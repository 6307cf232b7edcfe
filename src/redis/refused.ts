/** A command refused for one stream, which ends the work on this stream only; and the command that is missing. */

import type { Command, Reply } from './connection.ts'
import { Fault, Refusal } from './refusal.ts'

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

/** How the work on one stream ended; both are null if it went through. */
export interface Ending {
  readonly refused: Refused | null
  readonly fault: Fault | null
}

/** Waits for the work on one stream, and returns what Redis or the connection did. @throws anything else, which is a bug */
export async function endingOf(work: Promise<unknown>): Promise<Ending> {
  try {
    await work
  } catch (error) {
    return endingBy(error)
  }
  return { refused: null, fault: null }
}

/** How the work on one stream ended that threw this. @throws anything but what Redis or the connection did */
export function endingBy(error: unknown): Ending {
  if (error instanceof Refused) return { refused: error, fault: null }
  if (error instanceof Fault) return { refused: null, fault: error }
  throw error
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
  EVAL: '--trim exact, --max-bytes, --protect, --acked-after, --archive, --delete-empty and reaping',
}

/** Why a command is missing: the ACL forbids it, or the server does not know it. */
export type Why = 'forbidden' | 'unknown'

/** A command that is missing, and what needs it. */
export interface Lack {
  readonly command: string
  readonly neededFor: string
  readonly why: Why
}

/** Called with a command that is missing, what needs it, and why it is missing. */
export type Missing = (command: string, neededFor: string, why: Why) => void

/** By the name of each command that is missing. */
export type MissingCommands = ReadonlyMap<string, Omit<Lack, 'command'>>

/** Whether the command is missing, so that only what needs it is lost. Redis may refuse it for other reasons too. */
export function isMissing({ word, isUnknownCommand }: Refusal): boolean {
  return word === 'NOPERM' || isUnknownCommand
}

/** Whether the stream or the group disappeared since the command before. */
export function isGone({ message }: Refusal): boolean {
  return /^(?:NOGROUP|ERR no such key)/.test(message)
}

/** The same, or a key of another type has taken the place of the stream. */
export function hasStoppedBeingStream(refusal: Refusal): boolean {
  return refusal.word === 'WRONGTYPE' || isGone(refusal)
}

/** Why a command that Redis refused is missing. */
export function whyMissing({ isUnknownCommand }: Refusal): Why {
  return isUnknownCommand ? 'unknown' : 'forbidden'
}

/**
 * The command that is missing, and the flag that needs it; null if Redis refused for another reason, such as the key. Since
 * 7.2 Redis names the command that a script may not run.
 */
export function lackOf(command: string, refusal: Refusal): Lack | null {
  const neededFor = NEEDS[command] ?? 'every sweep'
  const why = whyMissing(refusal)
  const isEvaluated = /^EVAL(?:_RO)?$/.test(command)
  if (why === 'unknown') {
    const isInside = isEvaluated && !refusal.message.includes(`'${command}'`)
    return { command: isInside ? `command inside ${command}` : command, neededFor, why }
  }
  const named = /\brun the '([^']+)' command/.exec(refusal.message)?.[1]
  const isCommand = named !== undefined || /can't run this command/.test(refusal.message)
  if (refusal.word !== 'NOPERM' || !isCommand) return null
  const inside = named?.replace('|', ' ').toUpperCase() ?? 'command inside EVAL'
  return { command: isEvaluated ? inside : command, neededFor, why }
}

/** The fault where a server refuses what all the work on it needs. */
export function faultOf(refusal: Refusal, command: string, neededFor: string): Fault {
  return refusal.isUnknownCommand ? new Fault(refusal.word, unknownTold(command, neededFor)) : Fault.of(refusal)
}

/** The name of a command, with its subcommand, as in `XINFO GROUPS`. */
export function nameOf(command: Command): string {
  const container = /^(?:XINFO|MEMORY|CLIENT|CONFIG|CLUSTER|SENTINEL)$/.test(String(command[0]))
  return container ? `${command[0]} ${command[1]}` : String(command[0])
}

/** Returns the reply. @throws Refused if it is a Refusal */
export function accepted(reply: Reply | undefined, command: Command): Reply {
  if (reply instanceof Refusal) throw new Refused(reply, nameOf(command))
  return reply ?? null
}

export function missingTold(command: string, { neededFor, why }: Omit<Lack, 'command'>): string {
  return why === 'unknown' ? unknownTold(command, neededFor) : deniedTold(command, neededFor)
}

function deniedTold(command: string, neededFor: string): string {
  return `the ACL forbids ${command}, which ${neededFor} needs`
}

function unknownTold(command: string, neededFor: string): string {
  return `the server does not know ${command}, which ${neededFor} needs`
}

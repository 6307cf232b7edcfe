/** Replies and errors: a Refusal is Redis's error reply to one command, a Fault ends the work on a server. */

/** Texts arrive as Buffers, since keys are bytes. */
export type Reply = number | Buffer | string | null | Refusal | readonly Reply[]

/** An error reply to one command. The connection stays usable. */
export class Refusal {
  /** One of ERROR_WORDS: the first word of the message, which names the kind of error. */
  readonly word: string
  readonly message: string
  /** Whether the server does not know the command: it is older, the command was renamed away, or a managed service lacks it. */
  readonly isUnknownCommand: boolean

  constructor(message: string) {
    const isInScript = UNKNOWN_IN_SCRIPT.test(message)
    const unknown = isInScript ? undefined : UNKNOWN_COMMAND.exec(message)?.[1]
    // Redis goes on with the arguments, which may be keys, passwords or the source of a script.
    if (unknown !== undefined) this.message = `ERR unknown command '${unknown.toUpperCase()}'`
    else this.message = isInScript ? 'ERR unknown command called from a script' : message
    this.word = wordOf(message)
    this.isUnknownCommand = unknown !== undefined || isInScript || UNKNOWN_SUBCOMMAND.test(message)
  }
}

/** Before 7.0, Redis put the name between backticks. */
const UNKNOWN_COMMAND = /^ERR unknown command [`'"]?([^`'",\s]+)/i
const UNKNOWN_SUBCOMMAND = /^ERR unknown subcommand\b/i
/** Redis does not name the command. */
const UNKNOWN_IN_SCRIPT = /\bunknown (?:Redis )?command called from (?:Lua )?script\b/i

/** The error words that are counted. A closed set, since they are metric labels; any other word counts as `other`. */
export const ERROR_WORDS = [
  'ERR',
  'NOPERM',
  'NOAUTH',
  'WRONGPASS',
  'WRONGTYPE',
  'READONLY',
  'LOADING',
  'BUSY',
  'OOM',
  'MISCONF',
  'MASTERDOWN',
  'NOREPLICAS',
  'CLUSTERDOWN',
  'MOVED',
  'ASK',
  'TRYAGAIN',
  'EXECABORT',
  'other',
] as const

/** How Redis reports NOPERM for a command inside a script (as ERR) or a transaction (as EXECABORT). */
const NOPERM_INSIDE =
  /^(?:ERR (?:ACL failure in script|The user executing the script can't)|EXECABORT .*because of: NOPERM)\b/

function wordOf(message: string): string {
  if (NOPERM_INSIDE.test(message)) return 'NOPERM'
  const word = /^[A-Z]+/.exec(message)?.[0]
  return ERROR_WORDS.find((known) => known === word) ?? 'other'
}

/** Why a server could not be swept: `connect` (unreachable or cut off), `timeout` (no reply in time), or an error word. */
export const FAULT_CODES = ['connect', 'timeout', ...ERROR_WORDS] as const

/** Words that describe the state of a server, not of a key: it answers every write with them. */
const SERVER_WIDE = new Set([
  'NOAUTH',
  'READONLY',
  'LOADING',
  'BUSY',
  'MISCONF',
  'MASTERDOWN',
  'NOREPLICAS',
  'CLUSTERDOWN',
])

/** Ends the work on one server. `code` is one of FAULT_CODES; the message never holds a secret. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: string
  /** The replies received in the batch that it ended: this many commands, counted from the first, were executed. */
  readonly answered: readonly Reply[]

  constructor(code: string, message: string, options?: ErrorOptions, answered: readonly Reply[] = []) {
    super(message, options)
    this.code = code
    this.answered = answered
  }

  /** The same fault, with the replies to earlier commands in front. */
  withEarlierReplies(replies: readonly Reply[]): Fault {
    return new Fault(this.code, this.message, { cause: this.cause }, [...replies, ...this.answered])
  }

  static of(refusal: Refusal): Fault {
    return new Fault(refusal.word, refusal.message)
  }
}

/** Whether the server failed, not the command: other servers may still work. */
export function isServerFault({ code }: Fault): boolean {
  return code === 'connect' || code === 'timeout' || SERVER_WIDE.has(code)
}

/** Whether this server will refuse every other command too. */
export function isServerWide(refusal: Refusal): boolean {
  return SERVER_WIDE.has(refusal.word)
}

/** What Redis replies, and what it says no with: the first word of an error reply tells what is wrong. */

/** Texts come as Buffers: keys are bytes. */
export type Reply = number | Buffer | string | null | Refusal | readonly Reply[]

/** An error reply to one command. It concerns that command alone; the connection goes on. */
export class Refusal {
  readonly word: string
  readonly message: string

  constructor(message: string) {
    this.message = message
    this.word = wordOf(message)
  }
}

/** The words that errors are counted under. Closed, since labels of metrics must be; everything else is `other`. */
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

/** Of a command that a script runs, Redis says ERR; of EXEC, that the transaction is discarded. It is the ACL all the same. */
const NOPERM_INSIDE =
  /^(?:ERR (?:ACL failure in script|The user executing the script can't)|EXECABORT .*because of: NOPERM)\b/

function wordOf(message: string): string {
  if (NOPERM_INSIDE.test(message)) return 'NOPERM'
  const word = /^[A-Z]+/.exec(message)?.[0]
  return ERROR_WORDS.find((known) => known === word) ?? 'other'
}

/** Why a whole server could not be swept: it could not be reached, did not answer in time, or refused with a word. */
export const FAULT_CODES = ['connect', 'timeout', ...ERROR_WORDS] as const

/** States of a whole server, not of one key: what it answers to one write it answers to all of them. */
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

/** The end of the work on one server. `code` is one of FAULT_CODES; the message holds no secret. */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: string
  /** Of the batch that it ended, the replies that had come: so many commands, from the first on, were carried out. */
  readonly answered: readonly Reply[]

  constructor(code: string, message: string, options?: ErrorOptions, answered: readonly Reply[] = []) {
    super(message, options)
    this.code = code
    this.answered = answered
  }

  /** The same, where replies to what was asked before had come as well. */
  behind(replies: readonly Reply[]): Fault {
    return new Fault(this.code, this.message, { cause: this.cause }, [...replies, ...this.answered])
  }

  static of(refusal: Refusal): Fault {
    return new Fault(refusal.word, refusal.message)
  }
}

/** Whether it is the server that fails, and not what it was asked for: others may do well. */
export function isOfServer({ code }: Fault): boolean {
  return code === 'connect' || code === 'timeout' || SERVER_WIDE.has(code)
}

/** Whether a refusal says that this server will refuse everything else as well. */
export function endsSweep(refusal: Refusal): boolean {
  return SERVER_WIDE.has(refusal.word)
}

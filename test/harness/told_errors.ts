/** The errors listed in docs/errors.md, with cause and cure. */

import { ERROR_WORDS } from '../../src/redis/refusal.ts'
import { readPage } from './documents.ts'

export interface ToldError {
  /** With `…` for the parts that vary. */
  readonly error: string
  readonly cause: string
  readonly cure: string
}

/** The row for errors of the system, OpenSSL or the client. Rows with such errors are examples. */
export const OF_THE_SYSTEM = '…: …'

/** The rows of the page. Each starts with the error in backticks. */
export function toldErrors(): readonly ToldError[] {
  return [...readPage('docs/errors.md').matchAll(/^\| `(.*?)` \| (.*?) \| (.*?) \|$/gm)].map(
    ([, error = '', cause = '', cure = '']) => ({
      error: error.replaceAll('\\|', '|'),
      cause,
      cure,
    }),
  )
}

/** Whether the page has a row for this message, or the message comes from Redis itself and starts with an error word. */
export function isTold(reason: string, told = toldErrors()): boolean {
  if (ERROR_WORDS.some((word) => reason.startsWith(`${word} `))) return true
  return told.some(({ error }) => error !== OF_THE_SYSTEM && patternOf(error).test(reason))
}

function patternOf(error: string): RegExp {
  const parts = error.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's')
}

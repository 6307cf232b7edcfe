/** The errors that docs/errors.md tells of, each with its cause and its cure. */

import { ERROR_WORDS } from '../../src/redis/refusal.ts'
import { readPage } from './documents.ts'

export interface ToldError {
  /** What differs from case to case is `…`. */
  readonly error: string
  readonly cause: string
  readonly cure: string
}

/** What stands behind an address says the system, OpenSSL or the client: rows of its words are examples of this one. */
export const OF_THE_SYSTEM = '…: …'

/** The rows of the page, of which each begins with the error in backticks. */
export function toldErrors(): readonly ToldError[] {
  return [...readPage('docs/errors.md').matchAll(/^\| `(.*?)` \| (.*?) \| (.*?) \|$/gm)].map(
    ([, error = '', cause = '', cure = '']) => ({
      error: error.replaceAll('\\|', '|'),
      cause,
      cure,
    }),
  )
}

/** Whether the page has a row for just this; what Redis itself says, with its word in front, stands as Redis says it. */
export function isTold(reason: string, told = toldErrors()): boolean {
  if (ERROR_WORDS.some((word) => reason.startsWith(`${word} `))) return true
  return told.some(({ error }) => error !== OF_THE_SYSTEM && patternOf(error).test(reason))
}

function patternOf(error: string): RegExp {
  const parts = error.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's')
}

/** What is wrong with a flag or a variable, and how that is told. */

/** A flag, the rule it breaks, and the value it came with; null where the value may be a secret or there is none. */
export interface Problem {
  readonly subject: string
  readonly rule: string
  readonly value: string | null
  /** Where in the value, from 0. */
  readonly at?: number | null
}

/** One line: the flag (and its variable), the rule, and the value unless it may be a secret; below it, where in the value, if known. */
export function formatProblem({ subject, rule, value, at = null }: Problem): string {
  if (value === null) return `${subject}: ${rule}`
  const line = `${subject}: ${rule}; got ${JSON.stringify(value)}`
  return at === null ? line : `${line}\n${pointer(value, at)}`
}

/** How much of a value is shown around the place of the mistake. */
const SHOWN_BEFORE = 40
const SHOWN_BEHIND = 30

/** The place in a text, shown with a caret below it. */
function pointer(text: string, at: number): string {
  const from = Math.max(0, at - SHOWN_BEFORE)
  const part = text.slice(from, at + SHOWN_BEHIND).replace(/\p{Cc}/gu, '?')
  const cut = from > 0 ? '…' : ''
  return `    ${cut}${part}\n    ${' '.repeat(cut.length + at - from)}^`
}

/** What is wrong with a flag or a variable, and the line that says so. */

export interface Problem {
  /** The flag, with its variable if the value came from one; null when the rule is a whole sentence. */
  readonly subject: string | null
  /** What is wrong: "must …" continues the sentence that the subject begins. */
  readonly rule: string
  /** Null when there is none, or when it may be a secret. */
  readonly value: string | null
  /** Where in the value the mistake is, from 0. */
  readonly at?: number | null
}

/** `--max-age must be …; got "24"`; and if the place of the mistake is known, the value below with a caret under it. */
export function formatProblem({ subject, rule, value, at = null }: Problem): string {
  const sentence = subject === null ? rule : `${subject}${rule.startsWith('must ') ? '' : ':'} ${rule}`
  if (value === null) return sentence
  const echoed = value.length <= LONGEST_ECHO ? value : `${value.slice(0, LONGEST_ECHO)}…`
  const line = `${sentence}; got ${JSON.stringify(echoed)}`
  return at === null ? line : `${line}\n${pointer(value, at)}`
}

/** Most characters of a value to repeat: it may be a line of a file that does not list policies at all. */
const LONGEST_ECHO = 300

/** Characters of the value to show before and after the mistake: with the indent they fit 80 columns. */
const SHOWN_BEFORE = 40
const SHOWN_AFTER = 30

function pointer(text: string, at: number): string {
  const from = Math.max(0, at - SHOWN_BEFORE)
  const part = text.slice(from, at + SHOWN_AFTER).replace(/\p{Cc}/gu, '?')
  const cut = from > 0 ? '…' : ''
  return `    ${cut}${part}\n    ${' '.repeat(cut.length + at - from)}^`
}

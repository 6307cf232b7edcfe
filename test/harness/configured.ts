/** Parses arguments and variables into a configuration or into problems. */

import assert from 'node:assert/strict'
import { type Config, configure } from '../../src/config/config.ts'

export type Environment = Readonly<Record<string, string>>

/** The problems with these arguments and variables, one line each, without the caret line. Empty if they are accepted. */
export function problemsOf(args: readonly string[], env: Environment = {}): readonly string[] {
  const configured = configure(args, env, '0.0.0')
  return configured.kind === 'problems' ? configured.lines.map((line) => line.split('\n')[0] ?? '') : []
}

/** The configuration of these arguments, which must be accepted. */
export function configOf(args: readonly string[], env: Environment = {}): Config {
  const configured = configure(args, env, '0.0.0')
  assert.equal(configured.kind, 'config', configured.kind === 'problems' ? configured.lines.join('\n') : '')
  return (configured as { config: Config }).config
}

/** The rule for durations, as messages word it. */
export const DURATION = 'must be a duration such as 90s, 24h or 7d'
/** The rule for counts that may be off. */
export const COUNT = 'must be a whole number of at least 1, digits only, or off'

/** A secret that no message may contain. */
export const SECRET = 'hunter2'

/** Turns arguments and variables into a configuration, or into the problems with them. */

import assert from 'node:assert/strict'
import { type Config, configure } from '../../src/config/config.ts'

export type Environment = Readonly<Record<string, string>>

/** The problems with these arguments and variables, a line each without the caret below it; empty if they are accepted. */
export function problemsOf(args: readonly string[], env: Environment = {}): readonly string[] {
  const configured = configure(args, env, '0.0.0')
  return configured.kind === 'problems' ? configured.lines.map((line) => line.split('\n')[0] ?? '') : []
}

/** The configuration of arguments that must be accepted. */
export function configOf(args: readonly string[], env: Environment = {}): Config {
  const configured = configure(args, env, '0.0.0')
  assert.equal(configured.kind, 'config', configured.kind === 'problems' ? configured.lines.join('\n') : '')
  return (configured as { config: Config }).config
}

/** The rule for every duration. */
export const DURATION = 'must be a duration such as 90s, 24h or 7d'
/** The rule for every number that may be off. */
export const COUNT = 'must be a whole number of at least 1, digits only, or off'

/** A secret that no message may hold. */
export const SECRET = 'hunter2'

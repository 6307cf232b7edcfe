/** What the program makes of arguments and variables: its configuration, or what is wrong with them. */

import assert from 'node:assert/strict'
import { type Config, configure } from '../../src/config/config.ts'

export type Environment = Readonly<Record<string, string>>

/** What is wrong with these arguments and variables, line by line; nothing for what is accepted. Without what points into the value. */
export function problemsOf(args: readonly string[], env: Environment = {}): readonly string[] {
  const configured = configure(args, env, '0.0.0')
  return configured.kind === 'problems' ? configured.lines.map((line) => line.split('\n')[0] ?? '') : []
}

/** The configuration of what must be accepted. */
export function configOf(args: readonly string[], env: Environment = {}): Config {
  const configured = configure(args, env, '0.0.0')
  assert.equal(configured.kind, 'config', configured.kind === 'problems' ? configured.lines.join('\n') : '')
  return (configured as { config: Config }).config
}

/** The rule of every duration. */
export const DURATION = 'must be a duration with units such as 500ms, 90s, 15m, 24h, 7d or 1h30m'
/** The rule of every number that may be off. */
export const COUNT = 'must be a whole number of at least 1, in plain digits, or off'

/** A secret as people have them: no message may hold it. */
export const SECRET = 'hunter2'

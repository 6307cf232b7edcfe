/** Parses flags and variables, and collects every problem instead of stopping at the first. */
import { BrokenRule } from '../text/quantities.ts'
import { type FlagName, type FlagValue, flags, variableOf } from './flags.ts'
import type { Problem } from './problem.ts'

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Where a value came from: a flag, the default, a line of `--policy-file`, or the variable of this name. */
export type Source = 'flag' | 'default' | 'file' | `${string}_${string}`

/** A value as it was typed, and where it came from. */
export interface Given {
  readonly text: string
  /** How messages name it: `--max-age`, `--max-age (from XTRIMD_MAX_AGE)`, or `line 3 of --policy-file …`. */
  readonly subject: string
  readonly source: Source
}

/** How messages name a flag whose value came `from` a source. */
export function subjectOf(flag: string, from: string): string {
  return from === 'flag' || from === 'default' ? `--${flag}` : `--${flag} (from ${from})`
}

export class Reader {
  readonly env: Environment
  readonly problems: Problem[]
  readonly #flagTexts: ReadonlyMap<string, readonly string[]>

  constructor(flagTexts: ReadonlyMap<string, readonly string[]>, env: Environment, problems: readonly Problem[]) {
    this.#flagTexts = flagTexts
    this.env = env
    this.problems = [...problems]
  }

  /**
   * The values given for a flag. A flag beats its variable, and an empty variable counts as unset. The variable of a
   * repeatable flag holds one value a line; lines are trimmed, since files may indent them or end them with CRLF.
   */
  given(name: FlagName): readonly Given[] {
    const texts = this.#flagTexts.get(name)
    if (texts !== undefined) return texts.map((text) => ({ text, subject: subjectOf(name, 'flag'), source: 'flag' }))
    const variable = variableOf(name)
    const text = this.env[variable] ?? ''
    return (flags[name].isRepeatable ? text.split('\n').map((line) => line.trim()) : [text])
      .filter((text) => text.trim() !== '')
      .map((text) => ({ text, subject: subjectOf(name, variable), source: variable }))
  }

  /** What a flag that takes one value would have if the command line did not set it. */
  withoutFlag(name: FlagName): Given | undefined {
    return new Reader(new Map(), this.env, []).text(name)
  }

  /** The value given for a flag that takes one, else its default, else undefined. */
  text(name: FlagName): Given | undefined {
    const { default: fallback } = flags[name]
    return (
      this.given(name)[0] ??
      (fallback === null ? undefined : { text: fallback, subject: subjectOf(name, 'default'), source: 'default' })
    )
  }

  /** The parsed value; undefined if it was refused (a problem was noted), or if it is not set and has no default. */
  value<Name extends FlagName>(name: Name): FlagValue<Name> | undefined {
    const given = this.text(name)
    return given && (this.attempt(given, flags[name].parse, flags[name].isSecret) as FlagValue<Name> | undefined)
  }

  /** Parses a value. If it breaks its rule, notes a problem, which quotes the value unless it may be a secret. */
  attempt<T>({ text, subject }: Given, parse: (text: string) => T, isSecret = false): T | undefined {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof BrokenRule)) throw error
      this.problem(subject, error.message, isSecret ? null : text, error.at)
      return undefined
    }
  }

  /** Notes that a flag's value is valid alone but conflicts with other flags. */
  refuse(name: FlagName, rule: string): void {
    const given = this.text(name)
    this.problem(given?.subject ?? `--${name}`, rule, flags[name].isSecret ? null : (given?.text ?? null))
  }

  /** Notes a problem. Pass `value` as null if it may be a secret; `at` is the place of the mistake in it, from 0. */
  problem(subject: string, rule: string, value: string | null = null, at: number | null = null): void {
    this.problems.push({ subject, rule, value, at })
  }
}

/** Reads flags and variables through their rules, and collects every problem instead of stopping at the first. */
import { BrokenRule } from '../text/quantities.ts'
import { type FlagName, type FlagValue, flags, variableOf } from './flags.ts'
import type { Problem } from './problem.ts'

/** Variables by their names. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Where a value came from: a flag, the variable of that name, or the default. */
export type Source = 'flag' | 'default' | `${string}_${string}`

/** A text with where it came from, and how that is told: `--max-age`, or `--max-age (from XTRIMD_MAX_AGE)`. */
export interface Given {
  readonly text: string
  readonly subject: string
  readonly source: Source
}

/** A flag as a problem names it: with the variable, where its value came from one. */
export function subjectOf(flag: string, from: string): string {
  return from === 'flag' || from === 'default' ? `--${flag}` : `--${flag} (from ${from})`
}

/** Reads one command line and its variables. */
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
   * What was given for a flag: a flag beats its variable, an empty variable counts as unset. A variable gives a repeatable
   * flag one value a line, and how lines are indented and ended is the file's it comes from.
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

  /** What was given for a flag that takes one value, else its default, else undefined. */
  text(name: FlagName): Given | undefined {
    const { default: fallback } = flags[name]
    return (
      this.given(name)[0] ??
      (fallback === null ? undefined : { text: fallback, subject: subjectOf(name, 'default'), source: 'default' })
    )
  }

  /** The flag's value by its rule; undefined where a problem was noted, or where it is not set and has no default. */
  value<Name extends FlagName>(name: Name): FlagValue<Name> | undefined {
    const given = this.text(name)
    return given && (this.attempt(given, flags[name].parse, flags[name].isSecret) as FlagValue<Name> | undefined)
  }

  /** Reads a text by a rule; one that breaks it becomes a problem, without the text where that may be a secret. */
  attempt<T>({ text, subject }: Given, parse: (text: string) => T, isSecret = false): T | undefined {
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof BrokenRule)) throw error
      this.problem(subject, error.message, isSecret ? null : text, error.at)
      return undefined
    }
  }

  /** Notes that the value in effect of a flag, well-formed as it is, breaks a rule beside others. */
  refuse(name: FlagName, rule: string): void {
    const given = this.text(name)
    this.problem(given?.subject ?? `--${name}`, rule, flags[name].isSecret ? null : (given?.text ?? null))
  }

  /** Notes a problem; `value` is null where it may be a secret, `at` the place in it, from 0. */
  problem(subject: string, rule: string, value: string | null = null, at: number | null = null): void {
    this.problems.push({ subject, rule, value, at })
  }
}

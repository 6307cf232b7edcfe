/** Reads flags and variables through their rules, and collects every problem instead of stopping at the first. */
import { BrokenRule } from '../text/quantities.ts'
import type { Problem } from './command_line.ts'
import { type FlagName, type FlagValue, flags, variableOf } from './flags.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** A text with where it came from: `--max-age`, or `--max-age (from XTRIMD_MAX_AGE)`. */
export interface Given {
  readonly text: string
  readonly subject: string
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

  /** What was given for a flag: a flag beats its variable, an empty variable counts as unset. A variable gives a repeatable flag one value a line. */
  given(name: FlagName): readonly Given[] {
    const texts = this.#flagTexts.get(name)
    if (texts !== undefined) return texts.map((text) => ({ text, subject: `--${name}` }))
    const variable = this.env[variableOf(name)] ?? ''
    return (flags[name].isRepeatable ? variable.split('\n') : [variable])
      .filter((text) => text.trim() !== '')
      .map((text) => ({ text, subject: `--${name} (from ${variableOf(name)})` }))
  }

  /** What was given for a flag that takes one value, else its default, else undefined. */
  text(name: FlagName): Given | undefined {
    const { default: fallback } = flags[name]
    return this.given(name)[0] ?? (fallback === null ? undefined : { text: fallback, subject: `--${name}` })
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
      this.problem(subject, error.message, isSecret ? null : text)
      return undefined
    }
  }

  problem(subject: string, rule: string, value: string | null = null): void {
    this.problems.push({ subject, rule, value })
  }
}

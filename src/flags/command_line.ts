/** Splits the arguments into a command and flag values, and prints the help. Only this file imports commander. */
import { Command, CommanderError, Option } from 'commander'
import { suggestion } from '../text/nearest.ts'
import { wrapped } from '../text/wrapped.ts'
import { type Flag, flagGroups, flags, PASSWORD_VARIABLE } from './flags.ts'
import type { Problem } from './problem.ts'

/** Every command, with its line in the help. */
export const COMMANDS = {
  run: 'the daemon: sweep on a schedule until stopped (the default)',
  sweep: 'sweep once, now, and print what it did',
  plan: 'print what a sweep would remove; writes nothing',
  explain: 'say of one stream what holds it, and why; writes nothing',
  top: 'show the streams that matter now; writes nothing',
  'archive ls': 'list what was archived',
  'archive cat': "print a stream's archived entries as JSON, one a line",
  'archive restore': 'put the archived entries of a stream into another',
  pause: 'stop trimming in every copy of the daemon, without a restart',
  resume: 'end the pause',
} as const
export type CommandName = keyof typeof COMMANDS

/** What follows the name of a command. */
const OPERANDS: Partial<Record<CommandName, string>> = { explain: '<key>' }

/** The help fits a terminal of 80 columns: flags on the left, their texts from this column on. */
const WIDTH = 80
const TEXT_COLUMN = 34

const DESCRIPTION = `Keeps Redis Streams inside a retention policy: removes entries that are too old
or too many, and nothing else.

Commands:
${Object.entries(COMMANDS)
  .map(([name, what]) => `  ${[name, OPERANDS[name as CommandName]].join(' ').trim().padEnd(17)}${what}`)
  .join('\n')}`

const AFTER = `
Every flag has a variable: --max-age is XTRIMD_MAX_AGE. A flag beats its
variable, a variable the default [in brackets]. The password has no flag, only
${PASSWORD_VARIABLE}. A flag with [bool] means true if given without a value.
Durations are 500ms, 90s, 15m, 24h, 7d or 1h30m; sizes are 512kb, 64mb or 1gb.

Examples:
  xtrimd plan --redis-url redis://127.0.0.1:6379
  xtrimd sweep --max-age 24h --max-length 1000
  xtrimd run --cron '*/15 * * * *' --policy 'stream:fanout:*,max-age=1h'

Exit codes: 0 success; 1 partial, failed or stopped, or a bug; 2 bad input`

/** The command, and the values by flag, not yet parsed. */
export interface ParsedLine {
  readonly kind: 'parsed'
  readonly command: CommandName
  /** What followed the command; null if it takes nothing, or is missing. */
  readonly operand: string | null
  readonly given: ReadonlyMap<string, readonly string[]>
  readonly problems: readonly Problem[]
}

/** A text to print before exiting, or what was typed. */
export type CommandLine = { readonly kind: 'text'; readonly text: string } | ParsedLine

/** Returns every problem at once; never throws for bad arguments. */
export function parseCommandLine(args: readonly string[], version: string): CommandLine {
  const problems: Problem[] = []
  const program = makeProgram(version)
  let text = ''
  program.configureOutput({
    writeOut: (out) => {
      text += out
    },
    writeErr: () => {},
  })
  try {
    program.parse(completed(args, problems), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return { kind: 'text', text }
    problems.push({ subject: 'command line', rule: error.message.replace(/^error: /, ''), value: null })
  }
  const { command, operand } = readOperands(program, problems)
  const given = new Map<string, readonly string[]>()
  for (const option of program.options) {
    const value: unknown = program.getOptionValue(option.attributeName())
    if (program.getOptionValueSource(option.attributeName()) === 'cli') {
      given.set(option.name(), Array.isArray(value) ? value : [String(value)])
    }
  }
  return { kind: 'parsed', command, operand, given, problems }
}

function makeProgram(version: string): Command {
  const program = new Command('xtrimd')
    .description(DESCRIPTION)
    .usage('[command] [flags]')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .argument('[command...]')
    .allowUnknownOption()
    .exitOverride()
    .configureHelp({ helpWidth: WIDTH, visibleArguments: () => [], formatItem: (term, _, text) => item(term, text) })
    .addHelpText('after', AFTER)
  for (const [heading, group] of Object.entries(flagGroups)) {
    for (const [name, flag] of Object.entries<Flag<unknown>>(group)) {
      const text = flag.default === null ? flag.help : `${flag.help} [${flag.default}]`
      const option = new Option(`--${name} ${flag.value}`, text).helpGroup(`${heading}:`)
      if (flag.isRepeatable)
        option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value])
      program.addOption(option)
    }
  }
  return program
}

/** A flag and its text, on one line if they fit, also when the flag is longer than its column. */
function item(term: string, text: string): string {
  const left = `  ${term}`.length < TEXT_COLUMN ? `  ${term}`.padEnd(TEXT_COLUMN) : `  ${term}  `
  return left + wrapped(text, WIDTH - left.length).join(`\n${' '.repeat(TEXT_COLUMN)}`)
}

/**
 * Settles what commander would guess: a switch without a value means true and never takes a command's name as its value,
 * and a last flag without its value is a problem.
 */
function completed(args: readonly string[], problems: Problem[]): string[] {
  const result: string[] = []
  let takesOperand = false
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    const flag = knownFlag(arg)
    const next = args[i + 1]
    if (arg === '--') {
      // Some package managers pass on the `--` that was meant for them. Ignore it: our operands never start with a dash.
    } else if (arg === 'help' && !takesOperand) {
      result.push('--help')
    } else if (flag === null) {
      takesOperand ||= isCommand(arg) && OPERANDS[arg] !== undefined
      result.push(arg)
    } else if (flag.isSwitch) {
      const isValue = next !== undefined && !next.startsWith('-') && !beginsCommand(next)
      result.push(`${arg}=${isValue ? next : 'true'}`)
      if (isValue) i++
    } else if (next === undefined) {
      problems.push({ subject: arg, rule: `must have a value, as in ${arg} ${flag.value}`, value: null })
    } else {
      result.push(`${arg}=${next}`)
      i++
    }
  }
  return result
}

function knownFlag(arg: string): Flag<unknown> | null {
  const name = arg.startsWith('--') ? arg.slice(2) : ''
  return Object.hasOwn(flags, name) ? flags[name as keyof typeof flags] : null
}

/**
 * Finds the command and what follows it, and notes a problem for every unknown argument. The value of an unknown flag may
 * be a secret: never quote it.
 */
function readOperands(program: Command, problems: Problem[]): { command: CommandName; operand: string | null } {
  let command: CommandName | null = null
  let following: string | null = null
  let mayBeValue = false
  for (const operand of joined(program.args)) {
    if (operand.startsWith('-')) {
      const name = operand.startsWith('--') ? operand.replace(/=.*/s, '') : operand.slice(0, 2)
      problems.push({ subject: null, rule: `unknown flag ${name}${flagMeant(name)}`, value: null })
      mayBeValue = name === operand
    } else if (command === null && isCommand(operand)) {
      command = operand
      mayBeValue = false
    } else if (mayBeValue) {
      mayBeValue = false
    } else if (command !== null && OPERANDS[command] !== undefined && following === null) {
      following = operand
    } else {
      // A longer one may be a URL with a password.
      const quoted = /^[\w-]{1,20}$/.test(operand) ? ` "${operand}"` : ''
      const names = Object.keys(COMMANDS)
      const meant = suggestion(operand, names, '') || `; must be one of ${names.join(', ')}`
      const rule =
        command === null ? `unknown command${quoted}${meant}` : `unexpected argument${quoted} after ${command}`
      problems.push({ subject: null, rule, value: null })
    }
  }
  const missing = command !== null && following === null ? OPERANDS[command] : undefined
  if (missing !== undefined) {
    const rule = `must be followed by ${missing}, as in xtrimd ${command} ${missing}`
    problems.push({ subject: command, rule, value: null })
  }
  return { command: command ?? 'run', operand: following }
}

/** Suggests a known flag. `--no-lease` is how other programs write `--lease=false`. */
function flagMeant(name: string): string {
  const negated = knownFlag(name.replace(/^--no-/, '--'))
  if (negated?.isSwitch) return `; did you mean ${name.replace(/^--no-/, '--')}=false?`
  return suggestion(name.slice(2), [...Object.keys(flags), 'help', 'version'], '--')
}

/** Joins commands of two words. */
function joined(operands: readonly string[]): string[] {
  const all: string[] = []
  for (const operand of operands) {
    const pair = `${all.at(-1)} ${operand}`
    if (isCommand(pair)) all.splice(-1, 1, pair)
    else all.push(operand)
  }
  return all
}

function beginsCommand(word: string): boolean {
  return Object.keys(COMMANDS).some((name) => name === word || name.startsWith(`${word} `))
}

function isCommand(text: string): text is CommandName {
  return Object.hasOwn(COMMANDS, text)
}

/** The one door to commander: arguments in, texts out, and the help. What the texts mean is decided elsewhere. */
import { Command, CommanderError, Option } from 'commander'
import { suggestion } from '../text/nearest.ts'
import { wrapped } from '../text/wrapped.ts'
import { type Flag, flagGroups, flags, variableOf } from './flags.ts'
import type { Problem } from './problem.ts'

/** What the program can be told to do, with what the help says of it. */
export const COMMANDS = {
  run: 'the daemon: sweep on a schedule until told to stop (the default)',
  sweep: 'sweep once, now, and say what it did',
  plan: 'look, and say what a sweep would remove; writes nothing',
} as const
export type CommandName = keyof typeof COMMANDS

/** The help fits every terminal. */
const WIDTH = 80
const INDENT = '      '

const DESCRIPTION = `Keeps Redis Streams inside a retention policy: removes what is too old or too
much, and nothing else. A flag beats its variable, a variable its default.

Commands:
${Object.entries(COMMANDS)
  .map(([name, what]) => `  ${name.padEnd(8)}${what}`)
  .join('\n')}`

const AFTER = `
Values:
  durations are 500ms, 90s, 15m, 24h, 7d or 1h30m; sizes 512kb, 64mb or 1gb;
  a switch alone means true, and takes true or false

Examples:
  what a sweep would remove, without removing it:
    xtrimd plan --redis-url redis://127.0.0.1:6379
  one sweep, now:
    xtrimd sweep --max-age 24h --max-length 1000
  the daemon, every quarter of an hour, with limits of its own for other keys:
    XTRIMD_MAX_AGE=7d xtrimd run --cron '*/15 * * * *' \\
      --policy 'stream:fanout:*,max-length=100000,max-age=1h'

Exit codes:
  0 success; 1 no success, or a bug; 2 a bad flag, variable or combination`

/** A text to print and end with; or the arguments by flag, not yet looked into. */
export type CommandLine =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'parsed'
      readonly command: CommandName
      readonly given: ReadonlyMap<string, readonly string[]>
      readonly problems: readonly Problem[]
    }

/** Takes the arguments apart. Problems with them are in the result, all at once. */
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
  const command = readOperands(program, problems)
  const given = new Map<string, readonly string[]>()
  for (const option of program.options) {
    const value: unknown = program.getOptionValue(option.attributeName())
    if (program.getOptionValueSource(option.attributeName()) === 'cli') {
      given.set(option.name(), Array.isArray(value) ? value : [String(value)])
    }
  }
  return { kind: 'parsed', command, given, problems }
}

function makeProgram(version: string): Command {
  const program = new Command('xtrimd')
    .description(DESCRIPTION)
    .usage('[command] [flags]')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .argument('[command...]')
    .allowUnknownOption()
    .exitOverride()
    .configureHelp({ helpWidth: WIDTH, visibleArguments: () => [], formatItem: (term, _, text) => item(term, text) })
    .addHelpText('after', AFTER)
  for (const [heading, group] of Object.entries(flagGroups)) {
    for (const [name, flag] of Object.entries<Flag<unknown>>(group)) {
      const option = new Option(`--${name} ${flag.value}`, described(name, flag)).helpGroup(`${heading}:`)
      if (flag.isRepeatable)
        option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value])
      program.addOption(option)
    }
  }
  return program
}

/** What the flag does, and below it where else it may be given and what it is where it is not. */
function described(name: string, flag: Flag<unknown>): string {
  return `${flag.help}\n${variableOf(name)}${flag.default === null ? '' : `, default ${flag.default}`}`
}

/** A flag on a line of its own, what it does indented below it. */
function item(term: string, text: string): string {
  const lines = text.split('\n').flatMap((line) => wrapped(line, WIDTH - INDENT.length))
  return [`  ${term}`, ...lines.map((line) => INDENT + line)].join('\n')
}

/**
 * The arguments with what commander would guess at made plain: a switch without a value means true and takes no
 * command's name for its value, and a flag at the end without its value is a problem of its own.
 */
function completed(args: readonly string[], problems: Problem[]): string[] {
  const result: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    const flag = knownFlag(arg)
    const next = args[i + 1]
    if (arg === '--') {
      // Some package managers pass on the one that was meant for them, and no operand of ours begins with a dash.
    } else if (arg === 'help') {
      result.push('--help')
    } else if (flag === null) {
      result.push(arg)
    } else if (flag.isSwitch) {
      const isValue = next !== undefined && !next.startsWith('-') && !isCommand(next)
      result.push(`${arg}=${isValue ? next : 'true'}`)
      if (isValue) i++
    } else if (next === undefined) {
      problems.push({ subject: arg, rule: `must have a value: ${arg} ${flag.value}`, value: null })
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

/** The command, and a problem for everything nobody knows. The value of an unknown flag may be a secret and is not quoted. */
function readOperands(program: Command, problems: Problem[]): CommandName {
  let command: CommandName | null = null
  let isValue = false
  for (const operand of program.args) {
    if (operand.startsWith('-')) {
      const name = operand.startsWith('--') ? operand.replace(/=.*/s, '') : operand.slice(0, 2)
      problems.push({ subject: name, rule: `is no flag of xtrimd${flagMeant(name)}`, value: null })
      isValue = name === operand
    } else if (command === null && isCommand(operand)) {
      command = operand
      isValue = false
    } else if (isValue) {
      isValue = false
    } else {
      const names = Object.keys(COMMANDS)
      const rule =
        command === null
          ? `must be ${names.join(' or ')}${suggestion(operand, names, '')}`
          : `must be one alone, and ${command} stands before it`
      problems.push({ subject: 'command', rule, value: /^[\w-]{1,20}$/.test(operand) ? operand : null })
    }
  }
  return command ?? 'run'
}

/** What to say of the flag that was meant, most likely: `--no-lease` is how others write `--lease=false`. */
function flagMeant(name: string): string {
  const denied = knownFlag(name.replace(/^--no-/, '--'))
  if (denied?.isSwitch) return `; did you mean ${name.replace(/^--no-/, '--')}=false?`
  return suggestion(name.slice(2), [...Object.keys(flags), 'help', 'version'], '--')
}

function isCommand(text: string): text is CommandName {
  return Object.hasOwn(COMMANDS, text)
}

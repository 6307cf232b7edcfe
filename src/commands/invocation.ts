/** What every command is given, and how it answers: with an exit code. */
import type { Config } from '../config/config.ts'
import type { SweepTask } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import type { Terminal } from '../top/screen.ts'

export const EXIT = { success: 0, failure: 1, badInput: 2 } as const

/** Runs one command. @returns its exit code */
export type Command = (invocation: Invocation) => Promise<number>

export interface Invocation {
  readonly config: Config
  readonly task: SweepTask
  /** Fires when the program is asked to stop. */
  readonly stop: AbortSignal
  readonly log: Log
  readonly version: string
  readonly console: Console
}

/** Where commands print. */
export interface Console {
  /** Writes to stdout. Resolves when the system has taken the text; with false when nobody reads it anymore. */
  readonly print: (text: string | Buffer) => Promise<boolean>
  /** The same, to stderr. */
  readonly printError: (text: string) => Promise<boolean>
  /** Whether stdout shows colours. */
  readonly takesColour: boolean
  /** stderr, if it is a terminal that can redraw a line. */
  readonly redrawn: { readonly columns: number; readonly write: (text: string) => void } | null
  /** stdout and stdin, if stdout is a terminal that can redraw itself. */
  readonly terminal: Terminal | null
  /** Calls this when the process ends, however it does. */
  readonly onExit: (undo: () => void) => void
}

/** Prints what a command found, as `--output` asks for. */
export async function printReport(
  { config, console }: Invocation,
  json: () => unknown,
  text: () => string,
): Promise<void> {
  await console.print(config.output === 'json' ? `${JSON.stringify(json())}\n` : text())
}

export function exitCode(isSuccess: boolean): number {
  return isSuccess ? EXIT.success : EXIT.failure
}

/** Tells what is wrong with the flags. */
export async function complain({ printError }: Pick<Console, 'printError'>, lines: readonly string[]): Promise<number> {
  await printError(`${lines.map((line) => `xtrimd: ${line}`).join('\n')}\nsee xtrimd --help for all flags\n`)
  return EXIT.badInput
}

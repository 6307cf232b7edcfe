/** The program, run as anybody would run it: a process, and what it writes. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { withoutOurs } from './environment.ts'
import { atExit } from './undo.ts'

/** Node and the source, as everybody runs it here. */
const SOURCE = [process.execPath, fileURLToPath(new URL('../../src/main.ts', import.meta.url))] as const

/** What a sweep tells of itself, in the log and as `--output json`. */
export interface SweepTally {
  readonly result: string
  /** Why it is not a success. */
  readonly cause?: string | null
  readonly durationSeconds: number
  readonly removed: { readonly age: number; readonly length: number; readonly bytes: number }
}

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

/**
 * Runs `xtrimd run` until the signal is aborted, and then asks it to stop; hands over its log, line by line. What it
 * says on stderr goes to ours.
 *
 * @param program what starts it, if not the source
 * @throws when it ends by itself, or other than with exit code 0
 */
export async function* runDaemon(
  args: readonly string[],
  signal: AbortSignal,
  program: readonly string[] = SOURCE,
): AsyncGenerator<LogLine> {
  const daemon = start(program, ['run', ...args], signal)
  const ended = once(daemon, 'exit')
  if (daemon.stdout === null) throw new Error('the daemon has no stdout')
  for await (const line of createInterface(daemon.stdout)) yield JSON.parse(line) as LogLine
  const [code, killedBy] = await ended
  if (code !== 0 || !signal.aborted) throw new Error(`xtrimd run ended by itself (${killedBy ?? `exit code ${code}`})`)
}

/** Runs `xtrimd sweep` once. @throws when it did not end in a tally */
export async function runSweep(args: readonly string[], signal: AbortSignal): Promise<SweepTally> {
  const sweep = start(SOURCE, ['sweep', ...args, '--output', 'json'], signal)
  const ended = once(sweep, 'close')
  let stdout = ''
  sweep.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  const [code] = await ended
  signal.throwIfAborted()
  if (stdout === '') throw new Error(`xtrimd sweep ended with exit code ${code}`)
  return JSON.parse(stdout) as SweepTally
}

function start(
  [command = '', ...first]: readonly string[],
  args: readonly string[],
  signal: AbortSignal,
): ChildProcess {
  // Detached: Ctrl-C is ours to pass on.
  const env = withoutOurs()
  const child = spawn(command, [...first, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  atExit(() => child.kill('SIGKILL'))
  signal.addEventListener('abort', () => child.kill('SIGTERM'))
  if (signal.aborted) child.kill('SIGTERM')
  return child
}

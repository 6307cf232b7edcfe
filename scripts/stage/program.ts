/** Runs the program as a process and reads what it writes. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { withoutOurs } from './environment.ts'
import { atExit } from './undo.ts'

/** Runs the source, not the bundle. */
export const SOURCE = [process.execPath, fileURLToPath(new URL('../../src/main.ts', import.meta.url))] as const

/** A sweep's report, as in the log and in `--output json`. */
export interface SweepTally {
  readonly result: string
  /** Set unless the sweep succeeded. */
  readonly cause?: string | null
  readonly durationSeconds: number
  readonly removed: { readonly age: number; readonly length: number; readonly bytes: number }
  readonly reaped: { readonly consumers: number; readonly groups: number; readonly pending: number }
  readonly deletedStreams: number
  readonly archived: number
  readonly archivedBytes: number
}

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

/**
 * Runs `xtrimd run` and yields the lines of its log. When the signal is aborted, asks it to stop. Its stderr goes to ours.
 *
 * @param program the command that starts it, instead of the source
 * @throws if it ends before the abort or with an exit code other than 0
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
  if (code !== 0 || !signal.aborted)
    throw new Error(`xtrimd run ended unexpectedly (${killedBy ?? `exit code ${code}`})`)
}

/** Runs `xtrimd sweep` once. @throws if it prints no report */
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
  // In its own process group, so that Ctrl-C reaches only this process, which passes it on.
  const env = withoutOurs()
  const child = spawn(command, [...first, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  atExit(() => child.kill('SIGKILL'))
  signal.addEventListener('abort', () => child.kill('SIGTERM'))
  if (signal.aborted) child.kill('SIGTERM')
  return child
}

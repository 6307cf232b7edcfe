/** The process: arguments and environment in, exit codes and signals out. */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { COMMANDS } from './commands/commands.ts'
import { type Console, complain, EXIT } from './commands/invocation.ts'
import { configure } from './config/config.ts'
import { sweepTask } from './daemon/task.ts'
import type { CommandName } from './flags/command_line.ts'
import { makeLog } from './telemetry/log.ts'
import type { Terminal } from './top/screen.ts'

const BUG = 'bug: please report it'

async function main(): Promise<number> {
  // Hide the arguments: a URL among them may hold a password, and every user of the machine may run ps.
  process.title = 'xtrimd'
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const configured = configure(process.argv.slice(2), process.env, version, (command) => logStream(command).isTTY)
  const console = ownConsole()
  if (configured.kind === 'text') {
    await console.print(configured.text)
    return EXIT.success
  }
  if (configured.kind === 'problems') return await complain(console, configured.lines)

  const { config } = configured
  const stop = stopOnSignal()
  const out = logStream(config.command)
  const log = await makeLog(config.logLevel, config.logFormat, out.fd, takesColour(out))
  for (const warning of config.warnings) log.warn({ warning }, 'unknown variable')
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, BUG)
    process.exit(EXIT.failure)
  })
  try {
    const task = sweepTask(config, log, ownMs)
    return await COMMANDS[config.command]({ config, task, stop, log, version, console })
  } catch (error) {
    log.fatal({ err: error }, BUG)
    return EXIT.failure
  }
}

/** Where this process prints. */
function ownConsole(): Console {
  const { stdout, stderr, env } = process
  const canRedraw = (stream: NodeJS.WriteStream): boolean => stream.isTTY && env.TERM !== 'dumb'
  return {
    print: (text) => write(stdout, text),
    printError: (text) => write(stderr, text),
    takesColour: takesColour(stdout),
    redrawn: canRedraw(stderr) ? { columns: stderr.columns || 80, write: (text) => stderr.write(text) } : null,
    terminal: canRedraw(stdout) ? ownTerminal() : null,
    onExit: (undo) => process.once('exit', undo),
  }
}

/** The terminal of this process. Where stdin is not one too, no keys come, and a signal ends the program. */
function ownTerminal(): Terminal {
  const { stdin, stdout } = process
  return {
    columns: () => stdout.columns || 80,
    rows: () => stdout.rows || 24,
    write: (text) => stdout.write(text),
    takeKeys: (listener) => {
      stdin.removeAllListeners('data')
      if (!stdin.isTTY) return
      stdin.setRawMode(listener !== null)
      if (listener === null) stdin.pause()
      else stdin.setEncoding('utf8').on('data', listener).resume()
    },
    onResize: (listener) => stdout.on('resize', listener),
  }
}

/**
 * CPU time of this thread in ms, or of all threads (such as garbage collection) if Node cannot tell them apart. System time
 * is left out: during a write, Redis is already working on it.
 */
function ownMs(): number {
  const { user } = process.threadCpuUsage?.() ?? process.cpuUsage()
  return user / 1000
}

/** The daemon logs to stdout. Other commands print their result there, so they log to stderr. */
function logStream(command: CommandName): NodeJS.WriteStream & { readonly fd: 1 | 2 } {
  return command === 'run' ? process.stdout : process.stderr
}

/** Whether to print colours: only on a terminal that supports them, and never with NO_COLOR. */
function takesColour(out: NodeJS.WriteStream): boolean {
  return !process.env.NO_COLOR && out.isTTY === true && out.hasColors()
}

/** The first SIGTERM or SIGINT requests a stop; the second ends the process at once. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGINT', 2],
  ] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(128 + number)
      stop.abort()
    })
  }
  return stop.signal
}

/** Resolves when the system has taken the text; with false when nobody reads it anymore. */
function write(stream: NodeJS.WriteStream, text: string | Buffer): Promise<boolean> {
  // Without a listener the end of a reader would end the process.
  if (stream.listenerCount('error') === 0) stream.on('error', () => {})
  return new Promise((resolve) => {
    stream.write(text, (error) => resolve(!error))
  })
}

/** Reports a bug before the log exists. Node would print every property of the error, such as a URL with its password. */
async function reportBug(error: unknown): Promise<number> {
  const stack = error instanceof Error ? error.stack : undefined
  await write(process.stderr, `xtrimd: ${BUG}: ${stack ?? error}\n`)
  return EXIT.failure
}

// Exit at once: a frozen Redis may keep a connection open.
process.exit(await main().catch(reportBug))

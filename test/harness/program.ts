/** Runs the program as an operator does: a process with arguments, an environment, logs, an exit code and HTTP. */

import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import type { TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { type Labels, parseExposition, sumOf } from './exposition.ts'
import { waitUntil } from './waiting.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

type Environment = Readonly<Record<string, string>>

/** For tests that wait for ticks. */
export const EVERY_SECOND = ['--cron', '* * * * * *'] as const
/** Once a year, at New Year: for tests that need no sweep but the one at start. */
export const HARDLY_EVER = ['--cron', '0 0 1 1 *'] as const

/** How long to wait for what must happen. Long enough for a busy machine; a passing test never waits this long. */
const PATIENCE_MS = 60_000

export interface ProgramOptions {
  readonly env?: Environment
  readonly cwd?: string
  /** A file that the program sees as `/etc/hosts`; the test may rewrite it. */
  readonly hosts?: string
}

export interface Ended {
  /** Null if a signal ended the process. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs the program to its end. It inherits the environment without the variables that it would read, plus `env`. It gets
 * SIGTERM when `stopAfter` resolves.
 *
 * @throws if it has not ended after `timeoutMs` (default: a minute); it is then killed
 */
export async function runXtrimd(
  args: readonly string[],
  options: {
    readonly env?: Environment
    readonly timeoutMs?: number
    readonly cwd?: string
    readonly stopAfter?: Promise<unknown>
  } = {},
): Promise<Ended> {
  const program = spawnProgram(args, options)
  options.stopAfter?.then(() => program.process.kill('SIGTERM')).catch(() => {})
  const timeoutMs = options.timeoutMs ?? PATIENCE_MS
  try {
    return await within(timeoutMs, program.ended, `xtrimd ${args.join(' ')} to end`)
  } catch (error) {
    program.process.kill('SIGKILL')
    throw withOutput(error, program)
  }
}

/** One line of the program's JSON log. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

export interface Daemon {
  readonly pid: number
  /** The port of its HTTP server, from its log. */
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Every log line so far, oldest first. New lines are appended. */
  readonly logs: readonly LogLine[]
  /** Its output so far. */
  readonly stdout: string
  readonly stderr: string
  /** Resolves when the process ends. Has no deadline of its own. */
  readonly ended: Promise<Ended>
  /**
   * Waits for a log line with this message, or that satisfies the predicate, among those from position `from` (default 0)
   * on, for up to `timeoutMs` (default: a minute).
   */
  waitForLog(match: string | ((line: LogLine) => boolean), timeoutMs?: number, from?: number): Promise<LogLine>
  /**
   * Fetches a path of its HTTP server; fails after 20 s of silence. When it resolves, `logs` holds everything logged before
   * the answer, so the two can be compared.
   */
  get(path: string, init?: RequestInit): Promise<Response>
  /** The text of `/metrics`. */
  metrics(): Promise<string>
  /** The sum of the series with this name and at least these labels in `/metrics`. @throws if there are none */
  metric(name: string, labels?: Labels): Promise<number>
  /** Polls until the sum satisfies the predicate (default: for a minute). @returns the sum */
  waitForMetric(
    name: string,
    labels: Labels,
    predicate: (value: number) => boolean,
    timeoutMs?: number,
  ): Promise<number>
  /** Waits for this many more successful sweeps. With two or more, the last one began after this call. */
  waitForSuccesses(more: number): Promise<void>
  /** Sends the signal and waits up to 30 s for the end. `ms` is how long that took. */
  stop(signal?: NodeJS.Signals): Promise<Ended & { readonly ms: number }>
  /** Resident memory of the process (VmRSS), in bytes. */
  rssBytes(): Promise<number>
}

/**
 * Starts `xtrimd run` with these further arguments, on a free HTTP port unless the arguments or `env` set one, and waits
 * until it listens. It is killed when the test ends.
 *
 * @throws if it ends or does not listen within a minute; the message contains its output
 */
export async function startDaemon(
  t: TestContext,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<Daemon> {
  const bindGiven = args.some((arg) => arg.startsWith('--http-bind')) || options.env?.XTRIMD_HTTP_BIND !== undefined
  const program = spawnProgram(['run', ...args, ...(bindGiven ? [] : ['--http-bind', '127.0.0.1:0'])], options)
  t.after(async () => {
    program.process.kill('SIGKILL')
    await program.ended.catch(() => {})
  })

  const logs: LogLine[] = []
  let unread = ''
  program.process.stdout?.on('data', (text: string) => {
    const lines = (unread + text).split('\n')
    unread = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('{')) logs.push(JSON.parse(line) as LogLine)
  })

  const waitForLog: Daemon['waitForLog'] = async (match, timeoutMs = PATIENCE_MS, from = 0) => {
    const picks = typeof match === 'string' ? (line: LogLine) => line.msg === match : match
    const what = typeof match === 'string' ? `the log line '${match}'` : `a log line that ${match} picks`
    let seen = from
    try {
      return await waitUntil(
        () => {
          // Checked before the lines are read, so that the last lines of an ended process are read too.
          const over = program.over()
          while (seen < logs.length) {
            const line = logs[seen++]
            if (line && picks(line)) return line
          }
          if (over) throw new Error(`xtrimd ended before ${what}`)
          return undefined
        },
        { timeoutMs, what, everyMs: 10 },
      ).then((line) => line as LogLine)
    } catch (error) {
      throw withOutput(error, program)
    }
  }

  // Of pretty lines only the port is read; `logs` stays empty.
  const isPretty = args.includes('pretty')
  const prettyPort = () => /\blistening\b[\s\S]*?\bport\b\W+(\d+)/.exec(program.stdout())?.[1]
  const port = isPretty
    ? await waitUntil(prettyPort, { timeoutMs: PATIENCE_MS, what: 'a pretty line with the port' }).then(Number)
    : Number((await waitForLog('listening')).port)
  const url = `http://127.0.0.1:${port}`

  const daemon: Daemon = {
    pid: program.process.pid as number,
    port,
    url,
    logs,
    get stdout() {
      return program.stdout()
    },
    get stderr() {
      return program.stderr()
    },
    ended: program.ended,
    waitForLog,
    async get(path, init = {}) {
      const response = await fetch(url + path, { signal: AbortSignal.timeout(20_000), ...init })
      // The daemon writes a line before it answers, so by the end of this turn of the event loop the line has been read.
      await nextTurn()
      return response
    },
    async metrics() {
      const response = await daemon.get('/metrics')
      if (!response.ok) throw new Error(`/metrics answered ${response.status}`)
      return response.text()
    },
    async metric(name, labels = {}) {
      const value = sumOf(parseExposition(await daemon.metrics()), name, labels)
      if (value === undefined) throw new Error(`/metrics has no ${name}${JSON.stringify(labels)}`)
      return value
    },
    async waitForMetric(name, labels, predicate, timeoutMs = PATIENCE_MS) {
      let last: number | undefined
      try {
        await waitUntil(
          async () => {
            last = sumOf(parseExposition(await daemon.metrics()), name, labels)
            return last !== undefined && predicate(last)
          },
          { timeoutMs, what: `${name}${JSON.stringify(labels)}`, everyMs: 50 },
        )
      } catch (error) {
        throw withOutput(new Error(`${(error as Error).message}; last seen: ${last}`, { cause: error }), program)
      }
      return last as number
    },
    async waitForSuccesses(more) {
      const before = await daemon.metric('xtrimd_sweeps_total', { result: 'success' })
      await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (now) => now >= before + more)
    },
    async stop(signal = 'SIGTERM') {
      const began = performance.now()
      program.process.kill(signal)
      try {
        const ended = await within(30_000, program.ended, `xtrimd to end after ${signal}`)
        return { ...ended, ms: performance.now() - began }
      } catch (error) {
        throw withOutput(error, program)
      }
    },
    async rssBytes() {
      const status = await readFile(`/proc/${daemon.pid}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
    },
  }
  return daemon
}

/** Wraps a command so that it sees this file as `/etc/hosts`. The command keeps the pid. */
function besideHosts(path: string): string[] {
  const alone = ['unshare', '--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]
  return [...alone, 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', path]
}

interface Program {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
  over(): boolean
  stdout(): string
  stderr(): string
}

function spawnProgram(args: readonly string[], options: ProgramOptions): Program {
  const [command = '', ...rest] = [
    ...(options.hosts ? besideHosts(options.hosts) : []),
    process.execPath,
    MAIN,
    ...args,
  ]
  const child = spawn(command, rest, {
    env: { ...withoutOurs(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  let stdout = ''
  let stderr = ''
  let over = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    // 'close', unlike 'exit', comes after all output has been read.
    child.once('close', (code, signal) => {
      over = true
      resolve({ code, signal, stdout, stderr })
    })
  })
  ended.catch(() => {})
  return { process: child, ended, over: () => over, stdout: () => stdout, stderr: () => stderr }
}

async function within<T>(timeoutMs: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms in vain for ${what}`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}

function withOutput(error: unknown, program: Program): Error {
  const message = error instanceof Error ? error.message : String(error)
  return new Error(`${message}\n--- stdout\n${program.stdout()}\n--- stderr\n${program.stderr()}`, { cause: error })
}

/** The program as an operator meets it: a process with arguments, an environment, logs, an exit code and HTTP. */

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

/** Arguments of a daemon whose ticks a test waits for. */
export const EVERY_SECOND = ['--cron', '* * * * * *'] as const
/** Once a year: no tick comes while a test runs, unless it runs at New Year's midnight, and then one more sweep. */
export const HARDLY_EVER = ['--cron', '0 0 1 1 *'] as const

/**
 * How long is waited for what must come: long enough for a machine that has much else to do. Where nothing is wrong a test
 * waits for none of it to pass.
 */
const PATIENCE_MS = 60_000

export interface ProgramOptions {
  readonly env?: Environment
  readonly cwd?: string
  /** A file that stands for `/etc/hosts` while it runs, and may be written anew. */
  readonly hosts?: string
}

export interface Ended {
  /** The exit code, or null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs the program to its end. Its environment is this process', without anything the program would read, plus `env`.
 * It is sent SIGTERM when `stopAfter` resolves.
 *
 * @throws when it has not ended after `timeoutMs` (a minute unless told); it is killed then.
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
  /** Where its HTTP server listens, as its log told. */
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** Every log line so far, oldest first. It grows. */
  readonly logs: readonly LogLine[]
  /** Everything it wrote so far. */
  readonly stdout: string
  readonly stderr: string
  /** How it ended, once it has; waiting for this alone has no deadline. */
  readonly ended: Promise<Ended>
  /**
   * The first log line with this message, or that the predicate picks, among those at position `from` (0: all of
   * them) and after; waits for it up to `timeoutMs` (a minute).
   */
  waitForLog(match: string | ((line: LogLine) => boolean), timeoutMs?: number, from?: number): Promise<LogLine>
  /**
   * Fetches a path of its HTTP server; fails after 20 s of silence. What it had logged when it answered is in `logs` by the
   * time this resolves: what an answer tells may be compared with them.
   */
  get(path: string, init?: RequestInit): Promise<Response>
  /** The text of `/metrics`. */
  metrics(): Promise<string>
  /** The sum of the series with this name and at least these labels, as `/metrics` shows it; throws if there is none. */
  metric(name: string, labels?: Labels): Promise<number>
  /** Asks again and again until the predicate likes the sum (a minute unless told); returns it. */
  waitForMetric(
    name: string,
    labels: Labels,
    predicate: (value: number) => boolean,
    timeoutMs?: number,
  ): Promise<number>
  /**
   * Waits until so many more sweeps have ended as a success. Where there are two, the last of them began after this call.
   */
  waitForSuccesses(more: number): Promise<void>
  /** Sends the signal and waits for the end, at most 30 s; `ms` is how long that took. */
  stop(signal?: NodeJS.Signals): Promise<Ended & { readonly ms: number }>
  /** Memory that is really in use by the process (VmRSS), in bytes. */
  rssBytes(): Promise<number>
}

/**
 * Starts `xtrimd run` with these further arguments, on a free HTTP port unless they (or `env`) give one, and returns
 * once it listens. It is killed when the test ends.
 *
 * @throws when it ends, or says nothing of listening for a minute; the message carries what it wrote.
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
          // Asked before looking, so that the last lines of a process that just ended are looked at too.
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

  // Pretty lines are for people: of those only the port is read, and `logs` stays empty.
  const isPretty = args.includes('pretty')
  const prettyPort = () => /\blistening\b[\s\S]*?\bport\b\W+(\d+)/.exec(program.stdout())?.[1]
  const port = isPretty
    ? await waitUntil(prettyPort, { timeoutMs: PATIENCE_MS, what: 'a pretty line that tells the port' }).then(Number)
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
      // A line is with the system before the answer is, so by the end of this turn of the event loop it is read.
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

/** What comes before a command that is to find this file where the system's names of hosts are. It keeps its pid. */
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
    // 'close', not 'exit': by then everything it wrote has been read.
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

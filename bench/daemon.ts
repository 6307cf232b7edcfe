/** Runs `xtrimd run` and measures its sweeps, memory and CPU time. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { withoutOurs } from '../scripts/stage/environment.ts'
import { atExit } from '../scripts/stage/undo.ts'

export const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const GIVING_WAY = ['chrt', '--idle', '0']
const EVERY_SECOND = ['--cron', '* * * * * *']
export const FASTEST = ['--pace', '100']

/** The log line `sweep`. */
export interface SweepLine {
  readonly result: string
  readonly cause?: string
  readonly streams: number
  readonly removed: { readonly age: number; readonly length: number; readonly bytes: number }
  readonly durationSeconds: number
  /** performance.now() when the line arrived. */
  readonly at: number
}

export interface Daemon {
  readonly url: string
  /** Resolves when its first sweep ends, at once if it already has. @throws if the daemon ends first */
  firstSweep(): Promise<SweepLine>
  /** Resolves when a sweep ends after this call. @throws if the daemon ends first */
  nextSweep(): Promise<SweepLine>
  /** Suspends the process (SIGSTOP) until `thaw`. */
  freeze(): void
  thaw(): void
  /** A field of /proc/<pid>/status in KB, such as VmHWM. */
  status(field: string): number
  /** CPU time used so far, in ms. */
  cpuMs(): number
  stop(): Promise<void>
}

export interface DaemonOptions {
  readonly flags: readonly string[]
  readonly nodeFlags?: readonly string[]
  readonly variables?: Readonly<Record<string, string>>
  readonly main?: string
  /** Whether it gets only CPU time that nobody else wants (SCHED_IDLE). */
  readonly givesWay?: boolean
}

/**
 * Starts a daemon, lets it sweep `sweeps` times, and freezes it until its turn. It runs without a lease, because it would
 * lose it while frozen.
 */
export async function startWarmDaemon(redisUrl: string, options: DaemonOptions, sweeps: number): Promise<Daemon> {
  const daemon = await startDaemon(redisUrl, { ...options, flags: ['--lease', 'false', ...options.flags] })
  for (let sweep = 0; sweep < sweeps; sweep++) await daemon.nextSweep()
  daemon.freeze()
  return daemon
}

/** Starts a daemon that sweeps every second unless `flags` has a --cron. Returns once it listens. */
export async function startDaemon(redisUrl: string, options: DaemonOptions): Promise<Daemon> {
  const { flags, nodeFlags = [], variables = {}, main = MAIN, givesWay = false } = options
  const own = ['--redis-url', redisUrl, '--http-bind', '127.0.0.1:0', '--log-format', 'json']
  const args = ['run', ...own, ...(flags.includes('--cron') ? [] : EVERY_SECOND), ...flags]
  const [command = '', ...rest] = [...(givesWay ? GIVING_WAY : []), process.execPath, ...nodeFlags, main, ...args]
  const child = spawn(command, rest, {
    env: { ...withoutOurs(), ...variables },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  atExit(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const listening = Promise.withResolvers<number>()
  const first = Promise.withResolvers<SweepLine>()
  let next = Promise.withResolvers<SweepLine>()
  const onLine = (text: string): void => {
    const line = JSON.parse(text)
    if (line.msg === 'listening') listening.resolve(line.port)
    if (line.msg !== 'sweep') return
    const sweep = { ...line, at: performance.now() }
    first.resolve(sweep)
    next.resolve(sweep)
    next = Promise.withResolvers()
  }
  createInterface(child.stdout).on('line', onLine)
  const lost = ended.then(() => Promise.reject(new Error('the daemon ended unexpectedly')))
  lost.catch(() => {})
  const port = await Promise.race([listening.promise, lost])
  return {
    url: `http://127.0.0.1:${port}`,
    firstSweep: () => Promise.race([first.promise, lost]),
    nextSweep: () => Promise.race([next.promise, lost]),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    status(field) {
      const text = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1])
    },
    cpuMs() {
      const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      // utime and stime, in ticks of 10 ms.
      return (Number(fields[11]) + Number(fields[12])) * 10
    },
    async stop() {
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      await ended
    },
  }
}

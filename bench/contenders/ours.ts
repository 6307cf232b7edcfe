/** xtrimd itself: as a one-shot command and as a warm daemon. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import type { PrivateRedis } from '../../scripts/stage/private_redis.ts'
import { type Daemon, MAIN, type SweepLine, startWarmDaemon } from '../daemon.ts'
import type { Options } from '../options.ts'
import type { Contender } from './contender.ts'

export interface OnceReport {
  readonly result: string
  readonly durationSeconds: number
  readonly entries: { readonly before: number; readonly after: number }
}

/** Runs `xtrimd sweep`. @throws if it does not succeed */
export async function sweepOnce(redisUrl: string, flags: readonly string[]): Promise<OnceReport> {
  const args = [MAIN, 'sweep', '--output', 'json', '--redis-url', redisUrl, ...flags]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26, env: withoutOurs() })
  const report = JSON.parse(stdout) as OnceReport
  if (report.result !== 'success') throw new Error(`the sweep did not succeed: ${stdout.slice(0, 300)}`)
  return report
}

/** One process per sweep. The time is its own measurement, without the start of Node. */
export function oneShot(...flags: readonly string[]): Contender {
  return {
    name: ['xtrimd sweep', ...flags].join(' '),
    steadyOnly: true,
    async run(redis) {
      return { ms: (await sweepOnce(redis.url, flags)).durationSeconds * 1000 }
    },
  }
}

/** One of this many sweeps must have started after the thaw. */
const TRIES = 5

/**
 * A warm daemon, because an hourly worker is cold only once. It is frozen between its turns, so that it disturbs nobody.
 */
export function daemon(...flags: readonly string[]): Contender {
  let running: Daemon | null = null
  // A sweep at the default pace consists mostly of pauses, so neither warm it up nor wait for its end.
  // A quick run has only one page, and a sweep stopped within it may have trimmed nothing.
  const isDefault = flags.length === 0
  const begin = async (redis: PrivateRedis, { warmingSweeps, quick }: Options): Promise<void> => {
    const starting = isDefault ? ['--run-on-start', 'false', '--sweep-timeout', quick ? '60s' : '3s'] : []
    running = await startWarmDaemon(redis.url, { flags: [...starting, ...flags] }, isDefault ? 0 : warmingSweeps)
  }
  return {
    name: ['xtrimd run', ...flags].join(' '),
    begin,
    async run() {
      const d = running as unknown as Daemon
      const thawed = performance.now()
      const cpuBefore = d.cpuMs()
      d.thaw()
      let line: SweepLine
      let tries = 0
      // Ignore a sweep that was frozen halfway.
      do line = await d.nextSweep()
      while (line.at - thawed < line.durationSeconds * 1000 && ++tries < TRIES)
      d.freeze()
      if (line.result !== 'success' && line.cause !== 'sweep-timeout')
        throw new Error(`the sweep did not succeed: ${JSON.stringify(line)}`)
      return { ms: line.durationSeconds * 1000, ownCpuMs: d.cpuMs() - cpuBefore, streams: line.streams }
    },
    async end() {
      await running?.stop()
    },
  }
}

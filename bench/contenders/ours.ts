/** The program itself: as it is typed, and as the daemon that has swept before. */
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

/** Runs `xtrimd sweep` to its end. @throws when it was no success */
export async function sweepOnce(redisUrl: string, flags: readonly string[]): Promise<OnceReport> {
  const args = [MAIN, 'sweep', '--output', 'json', '--redis-url', redisUrl, ...flags]
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26, env: withoutOurs() })
  const report = JSON.parse(stdout) as OnceReport
  if (report.result !== 'success') throw new Error(`the sweep was no success: ${stdout.slice(0, 300)}`)
  return report
}

/** One process for one sweep; its own measure of it, so that starting Node does not count. */
export function oneShot(...flags: readonly string[]): Contender {
  return {
    name: ['xtrimd sweep', ...flags].join(' '),
    steadyOnly: true,
    async run(redis) {
      return { ms: (await sweepOnce(redis.url, flags)).durationSeconds * 1000 }
    },
  }
}

/** A sweep that nothing else disturbs must end within so many tries. */
const TRIES = 5

/**
 * The daemon when it has swept before: an hourly worker is cold but once. Between its turns it stands still, so that it
 * disturbs nobody.
 */
export function daemon(...flags: readonly string[]): Contender {
  let running: Daemon | null = null
  // Its pauses are most of it, and they are what they are: it is waited for neither until it is warm nor to the end.
  const isDefault = flags.length === 0
  const begin = async (redis: PrivateRedis, { warmingSweeps }: Options): Promise<void> => {
    const starting = isDefault ? ['--run-on-start', 'false', '--sweep-timeout', '3s'] : []
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
      // One that was under way when it was frozen took what the others took.
      do line = await d.nextSweep()
      while (line.at - thawed < line.durationSeconds * 1000 && ++tries < TRIES)
      d.freeze()
      if (line.result !== 'success' && line.cause !== 'sweep-timeout')
        throw new Error(`the sweep was no success: ${JSON.stringify(line)}`)
      return { ms: line.durationSeconds * 1000, ownCpuMs: d.cpuMs() - cpuBefore, streams: line.streams }
    },
    async end() {
      await running?.stop()
    },
  }
}

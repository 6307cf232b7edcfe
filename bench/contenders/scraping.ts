/** Scrapes: of the Redis exporter, which reads every stream for each scrape, and of xtrimd after a sweep. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../../scripts/stage/free_port.ts'
import { atExit } from '../../scripts/stage/undo.ts'
import { FASTEST, startDaemon } from '../daemon.ts'
import { MATCH } from '../keyspace.ts'
import { type Contender, timed } from './contender.ts'

const EXPORTER = 'prometheus-redis-exporter'
const SCRAPES = 9

/** It reads every tenth stream. */
export function exporterScrape(streams: number): Contender {
  return {
    name: 'a scrape of redis_exporter --check-streams (reads only)',
    sample: Math.floor(streams / 10),
    onlyReads: true,
    missing: () =>
      promisify(execFile)(EXPORTER, ['--version']).then(
        () => null,
        () => EXPORTER,
      ),
    async run(redis) {
      const address = `127.0.0.1:${await freePort()}`
      const args = ['--redis.addr', redis.url, '--check-streams', `${MATCH}0`, '--web.listen-address', address]
      const exporter = spawn(EXPORTER, args, { stdio: 'ignore' })
      atExit(() => exporter.kill('SIGKILL'))
      const ended = once(exporter, 'exit')
      try {
        await answers(`http://${address}/health`)
        return await timed(async () => {
          const text = await (await fetch(`http://${address}/metrics`)).text()
          if (!text.includes('redis_stream_length{')) throw new Error('the exporter reported no stream length')
        })
      } finally {
        exporter.kill('SIGKILL')
        await ended
      }
    },
  }
}

/** The median of several scrapes of a daemon. Its sweep has read every stream before. */
export const ourScrape: Contender = {
  name: 'a scrape of xtrimd (reads only)',
  onlyReads: true,
  async run(redis) {
    const daemon = await startDaemon(redis.url, { flags: ['--cron', '0 0 1 1 *', '--lease', 'false', ...FASTEST] })
    try {
      await daemon.firstSweep()
      const times: number[] = []
      for (let i = 0; i < SCRAPES; i++) {
        times.push((await timed(async () => (await fetch(`${daemon.url}/metrics`)).text())).ms)
      }
      return { ms: times.sort((a, b) => a - b)[SCRAPES >> 1] ?? Number.NaN }
    } finally {
      await daemon.stop()
    }
  },
}

async function answers(url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (
      await fetch(url).then(
        (r) => r.ok,
        () => false,
      )
    )
      return
    await pause(25)
  }
  throw new Error(`${url} did not answer`)
}

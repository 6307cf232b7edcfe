/** Whether `--pace` keeps its word, as seen on the wire. */
import { freePort } from '../scripts/stage/free_port.ts'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { startWarmDaemon } from './daemon.ts'
import { fillKeyspace } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'
import { startWire } from './wire.ts'

const PACES = [10, 25, 50, 100]
/** At 10 % a sweep takes ten times as long: as many streams as can be waited for. */
const MOST_STREAMS = 20_000

export async function keepPace(options: Options): Promise<Section> {
  const streams = Math.min(MOST_STREAMS, options.streams)
  say(`\nThe pace, ${count(streams)} streams`)
  const port = await freePort()
  const redis = await startPrivateRedis(['--bind', '127.0.0.1', '--port', String(port)])
  const rows: string[][] = []
  let furthest = 0
  for (const pace of PACES) {
    const fill = (stale: boolean) => fillKeyspace(redis, { streams, entriesEach: 20, bytesEach: 100, stale })
    await fill(true)
    const flags = ['--pace', String(pace)]
    // It stands still between two sweeps, so that the next one is wholly seen.
    const daemon = await startWarmDaemon(`redis://127.0.0.1:${port}`, { flags }, 3)
    for (const stale of [false, true]) {
      await fill(stale)
      const wire = await startWire(port)
      daemon.thaw()
      const { durationSeconds } = await daemon.nextSweep()
      daemon.freeze()
      const share = wire === null ? Number.NaN : (await wire.end()) * 100
      // At 100 it does not pause, and what it does between two pages is not Redis's.
      if (pace < 100) furthest = Math.max(furthest, Math.abs(share / pace - 1) * 100)
      const cells = [
        String(pace),
        stale ? '30 % to remove' : 'nothing to remove',
        wire === null ? 'tcpdump may not look' : brief(share),
        brief(durationSeconds * 1000),
      ]
      rows.push(cells)
      say(`  ${cells.join('  ')}`)
    }
    await daemon.stop()
  }
  await redis.stop()
  const verdict = `furthest from what was asked, below 100: ${brief(furthest)} % (goal 10 %)`
  say(`  ${verdict}`)
  return {
    title: 'The pace is honest',
    text: `The share of time in which commands of ours were unanswered, as tcpdump saw it on the wire, over a sweep of ${count(streams)} streams by a daemon that has swept before. xtrimd counts from when it writes a batch to when it has the replies, less what it computes itself in that time. A sweep ends with a burst and without the pause behind it, and connecting is not paced. At 50 % and more, what is missing is our own work between two batches.`,
    head: ['asked, %', '', 'measured, %', 'ms'],
    rows,
    verdicts: [verdict],
  }
}

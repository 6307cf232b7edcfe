/** Whether `--pace` keeps its word, as seen on the wire. */
import { freePort } from '../scripts/stage/free_port.ts'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { startWarmDaemon } from './daemon.ts'
import { fillKeyspace } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'
import { startWire } from './wire.ts'

const PACES = [10, 25, 50]
/** A sweep at 10 % takes as long as one at 50 % of five times as many, which is one second or two. */
const STREAMS_PER_PERCENT = 800
/** Of which the middle is told. */
const TURNS = 3

export async function keepPace(options: Options): Promise<Section> {
  say('\nThe pace')
  const port = await freePort()
  const redis = await startPrivateRedis(['--bind', '127.0.0.1', '--port', String(port)])
  const rows: string[][] = []
  let furthest = 0
  for (const pace of PACES) {
    const streams = Math.min(STREAMS_PER_PERCENT * pace, options.streams)
    const fill = (stale: boolean) => fillKeyspace(redis, { streams, entriesEach: 20, bytesEach: 100, stale })
    await fill(true)
    const flags = ['--pace', String(pace)]
    // It stands still between two sweeps, so that the next one is wholly seen.
    const daemon = await startWarmDaemon(`redis://127.0.0.1:${port}`, { flags }, 3)
    for (const stale of [false, true]) {
      const turns: { share: number; ms: number }[] = []
      while (turns.length < TURNS) {
        await fill(stale)
        const wire = await startWire(port)
        daemon.thaw()
        const { durationSeconds } = await daemon.nextSweep()
        daemon.freeze()
        turns.push({ share: wire === null ? Number.NaN : (await wire.end()) * 100, ms: durationSeconds * 1000 })
      }
      const share = median(turns.map((turn) => turn.share))
      furthest = Math.max(furthest, Math.abs(share / pace - 1) * 100)
      const cells = [
        String(pace),
        stale ? '30 % to remove' : 'nothing to remove',
        count(streams),
        Number.isNaN(share) ? 'tcpdump may not look' : brief(share),
        brief(median(turns.map(({ ms }) => ms))),
      ]
      rows.push(cells)
      say(`  ${cells.join('  ')}`)
    }
    await daemon.stop()
  }
  await redis.stop()
  const verdict = `furthest from what was asked: ${brief(furthest)} % (goal 10 %)`
  say(`  ${verdict}`)
  return {
    title: 'The pace is honest',
    text: `The share of time in which commands of ours were unanswered, as tcpdump saw it on the wire, over a sweep by a daemon that has swept before: the middle of ${TURNS} turns. xtrimd counts from when it writes a batch to when it has the replies, less what it computes itself in that time while nothing else is outstanding. A sweep ends without the pause behind its last burst, and connecting is not paced.`,
    head: ['asked, %', '', 'streams', 'measured, %', 'ms'],
    rows,
    verdicts: [verdict],
  }
}

/** Compares `--pace` with the share of time measured on the wire. */
import { freePort } from '../scripts/stage/free_port.ts'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { startWarmDaemon } from './daemon.ts'
import { fillKeyspace } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'
import { startWire } from './wire.ts'

const PACES = [10, 25, 50]
/** So that a sweep takes one or two seconds at every pace. */
const STREAMS_PER_PERCENT = 800
/** The median of these is reported. A quick run takes one. */
const TURNS = 3

export async function keepPace(options: Options): Promise<Section> {
  say('\nThe pace')
  const port = await freePort()
  const redis = await startPrivateRedis(['--bind', '127.0.0.1', '--port', String(port)])
  const most = options.quick ? 1 : TURNS
  const rows: string[][] = []
  let furthest = 0
  for (const pace of PACES) {
    const streams = Math.min(STREAMS_PER_PERCENT * pace, options.streams)
    const fill = (stale: boolean) => fillKeyspace(redis, { streams, entriesEach: 20, bytesEach: 100, stale })
    await fill(true)
    const flags = ['--pace', String(pace)]
    // Frozen between sweeps, so that tcpdump sees the next one from its start.
    const daemon = await startWarmDaemon(`redis://127.0.0.1:${port}`, { flags }, 3)
    for (const stale of [false, true]) {
      const turns: { share: number; ms: number }[] = []
      while (turns.length < most) {
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
        Number.isNaN(share) ? 'tcpdump not permitted' : brief(share),
        brief(median(turns.map(({ ms }) => ms))),
      ]
      rows.push(cells)
      say(`  ${cells.join('  ')}`)
    }
    await daemon.stop()
  }
  await redis.stop()
  const verdict = `largest deviation from the requested pace: ${brief(furthest)} % of it (goal 10 %)`
  say(`  ${verdict}`)
  return {
    title: 'Pace: requested and measured',
    text: `The share of time in which Redis had unanswered commands of xtrimd during a sweep of a warm daemon, as tcpdump measured it: the median of ${most} turns. xtrimd itself counts from writing a batch until it has the replies, minus the time in which it only computes. A sweep ends without the pause after its last burst, and connecting is not paced.`,
    head: ['requested, %', 'keyspace', 'streams', 'measured, %', 'ms'],
    rows,
    verdicts: [verdict],
  }
}

/** Measures the memory of a sweeping daemon, run as in the image. */
import { setTimeout as pause } from 'node:timers/promises'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { FASTEST, startDaemon } from './daemon.ts'
import { bundle, imageFlags } from './image.ts'
import { fillKeyspace } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'

const SWEEPS = 2
/** By then the daemon has returned the memory left over from start and sweep. */
const IDLE_MS = 12_000

export async function measureFootprint({ memoryStreams, quick }: Options): Promise<Section> {
  say('\nMemory')
  const image = await bundle()
  // Small streams, because only their number matters here.
  const redis = await startPrivateRedis(['--stream-node-max-bytes', '256'])
  const rows: string[][] = []

  const fewest = Math.min(...memoryStreams)
  const fill = (streams: number) => fillKeyspace(redis, { streams, entriesEach: 2, bytesEach: 50, stale: false })
  await fill(fewest)
  // It keeps running next to the sweeping daemons, so it needs its own lease.
  const idleFlags = ['--cron', '0 0 1 1 *', '--lease-key', 'xtrimd:idle', ...FASTEST]
  const idle = await startDaemon(redis.url, { ...image, flags: idleFlags })
  await idle.firstSweep()
  const isIdle = pause(quick ? 0 : IDLE_MS)

  const peaks: number[] = []
  // Pages are small at the default pace, and many streams would take minutes: the fewest streams are enough.
  const slowly = { streams: fewest, flags: [] }
  for (const { streams, flags } of [slowly, ...memoryStreams.map((streams) => ({ streams, flags: FASTEST }))]) {
    await fill(streams)
    const daemon = await startDaemon(redis.url, { ...image, flags })
    for (let sweep = 0; sweep < SWEEPS; sweep++) await daemon.nextSweep()
    const peakMb = daemon.status('VmHWM') / 1024
    peaks.push(peakMb)
    const name = [`${count(streams)} streams, ${SWEEPS} sweeps`, flags.join(' ')].filter(Boolean).join(', ')
    rows.push([name, brief(daemon.status('VmRSS') / 1024), brief(peakMb)])
    await daemon.stop()
  }
  await isIdle
  const idleMb = idle.status('VmRSS') / 1024
  rows.unshift([`idle, after a sweep of ${count(fewest)} streams`, brief(idleMb), brief(idle.status('VmHWM') / 1024)])
  await idle.stop()
  await redis.stop()
  const spread = (Math.max(...peaks) / Math.min(...peaks) - 1) * 100
  const verdicts = [
    `peak ${brief(Math.max(...peaks))} MB (goal 128); the highest peak is ${brief(spread)} % above the lowest (goal 10 %)`,
    `idle ${brief(idleMb)} MB (goal 90)`,
  ]
  for (const row of rows) say(`  ${row.join('  ')}`)
  for (const verdict of verdicts) say(`  ${verdict}`)
  return {
    title: 'Memory of the daemon',
    text: `The daemon runs from the image's bundle with the image's Node options (\`${(await imageFlags()).join(' ')}\`) and environment.`,
    head: ['after', 'RSS, MB', 'peak RSS, MB'],
    rows,
    verdicts,
  }
}

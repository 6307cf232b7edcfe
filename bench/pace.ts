/** Whether `--pace` keeps its word, as seen on the wire. */
import { rm } from 'node:fs/promises'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { socketOf } from './contenders/contender.ts'
import { sweepOnce } from './contenders/ours.ts'
import { fillKeyspace } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'
import { startWire } from './wire.ts'

const PACES = [10, 25, 50, 100]
/** At 10 % a sweep takes ten times as long: as many streams as can be waited for. */
const MOST_STREAMS = 15_000

export async function keepPace(options: Options): Promise<Section> {
  const streams = Math.min(MOST_STREAMS, options.streams)
  say(`\nThe pace, ${count(streams)} streams`)
  const redis = await startPrivateRedis()
  const rows: string[][] = []
  let furthest = 0
  for (const stale of [false, true]) {
    for (const pace of PACES) {
      if (stale || pace === PACES[0]) await fillKeyspace(redis, { streams, entriesEach: 20, bytesEach: 100, stale })
      const near = `${socketOf(redis)}.wire`
      const wire = await startWire(near, socketOf(redis))
      const { durationSeconds } = await sweepOnce(`unix://${near}`, ['--pace', String(pace)])
      await wire.close()
      await rm(near, { force: true })
      const share = wire.share() * 100
      // At 100 it does not pause, and what it does between two pages is not Redis's.
      if (pace < 100) furthest = Math.max(furthest, Math.abs(share / pace - 1) * 100)
      const cells = [
        String(pace),
        stale ? '30 % to remove' : 'nothing to remove',
        brief(share),
        brief(durationSeconds * 1000),
      ]
      rows.push(cells)
      say(`  ${cells.join('  ')}`)
    }
  }
  await redis.stop()
  const verdict = `furthest from what was asked, below 100: ${brief(furthest)} % (goal 10 %)`
  say(`  ${verdict}`)
  return {
    title: 'The pace is honest',
    text: `The share of time in which commands of ours were unanswered, as a proxy on the wire saw it, over a sweep of ${count(streams)} streams. xtrimd counts from when it writes a command to when it has read the reply, so what both take on their way to and from the proxy is rest here and work there: the share is bounded, and found smaller.`,
    head: ['asked, %', '', 'measured, %', 'ms'],
    rows,
    verdicts: [verdict],
  }
}

/** Sweeps one and ten million tiny streams, to see whether the time per million stays the same. Runs only with --ten-million. */
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { sweepOnce } from './contenders/ours.ts'
import { FASTEST } from './daemon.ts'
import { fillKeyspace } from './keyspace.ts'
import { brief, count, type Section, say } from './report.ts'

export async function sweepTenMillion(): Promise<Section> {
  say('\nTen million streams')
  const redis = await startPrivateRedis(['--stream-node-max-bytes', '64'])
  const rows: string[][] = []
  for (const streams of [1_000_000, 10_000_000]) {
    await fillKeyspace(redis, { streams, entriesEach: 1, bytesEach: 1, stale: false })
    const { durationSeconds } = await sweepOnce(redis.url, FASTEST)
    rows.push([count(streams), brief(durationSeconds), brief((durationSeconds / streams) * 1_000_000)])
    say(`  ${rows.at(-1)?.join('  ')}`)
  }
  await redis.stop()
  return {
    title: 'Ten million streams',
    text: 'Each stream has one entry; xtrimd sweeps at --pace 100.',
    head: ['streams', 's', 's per million'],
    rows,
    verdicts: [],
  }
}

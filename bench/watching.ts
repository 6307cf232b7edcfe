/** What `--watch` costs the writers, and us: twenty writers at full speed into a thousand streams. */
import { execFile } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { socketOf } from './contenders/contender.ts'
import { startDaemon } from './daemon.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'

const WRITERS = 20
const STREAMS = 1_000
const SETTLE_MS = 500
/** Nothing but the watch trims. */
const NO_SWEEPS = ['--cron', '0 0 1 1 *', '--run-on-start', 'false']
const WATCH = ['--watch', '--watch-configure', '--max-length', '100', '--watch-every', '100']

export async function watchWriters({ watchedWrites: writes }: Options): Promise<Section> {
  say(`\nThe cost of --watch, ${count(writes)} writes`)
  const redis = await startPrivateRedis()
  const rows: string[][] = []
  let alone = Number.NaN
  let watched = Number.NaN
  for (const flags of [[], WATCH]) {
    await redis.client.flushAll()
    const daemon = await startDaemon(redis.url, { flags: [...NO_SWEEPS, ...flags] })
    await pause(SETTLE_MS)
    const cpuBefore = daemon.cpuMs()
    const perSecond = await write(redis, writes)
    await pause(SETTLE_MS)
    const cpu = ((daemon.cpuMs() - cpuBefore) / writes) * 1_000
    await daemon.stop()
    const longest = Math.max(...(await redis.streamLengths()))
    const isWatched = flags.length > 0
    rows.push([
      isWatched ? '--watch' : 'without',
      count(Math.round(perSecond)),
      count(longest),
      isWatched ? brief(cpu) : '',
    ])
    if (isWatched) watched = perSecond
    else alone = perSecond
  }
  await redis.stop()
  const verdict = `under --watch the writers write ${brief((watched / alone) * 100)} % of what they write without`
  for (const row of rows) say(`  ${row.join('  ')}`)
  say(`  ${verdict}`)
  return {
    title: 'What --watch costs',
    text: `${WRITERS} writers at full speed (redis-benchmark) into ${count(STREAMS)} streams, with ${WATCH.slice(2).join(' ')}: they, Redis and the daemon share the processors.`,
    head: ['', 'writes a second', 'longest stream then', 'own CPU, s per million writes'],
    rows,
    verdicts: [verdict],
  }
}

/** @returns writes a second */
async function write(redis: PrivateRedis, writes: number): Promise<number> {
  const options = ['-s', socketOf(redis), '-c', String(WRITERS), '-n', String(writes), '-r', String(STREAMS), '-q']
  const command = ['XADD', 'stream:conversation:__rand_int__', '*', 'message', 'x'.repeat(100)]
  const start = performance.now()
  await promisify(execFile)('redis-benchmark', [...options, ...command], { maxBuffer: 2 ** 26 })
  return writes / ((performance.now() - start) / 1_000)
}

/** Measures what `--watch` costs writers and xtrimd when 20 writers write at full speed and most entries are trimmed. */
import { execFile } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { socketOf } from './contenders/contender.ts'
import { startDaemon } from './daemon.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'

const WRITERS = 20
/** Several times the length limit of a stream. */
const WRITES_EACH = 400
const SETTLE_MS = 500
/** So that only the watch trims. */
const NO_SWEEPS = ['--cron', '0 0 1 1 *', '--run-on-start', 'false']
const WATCH = ['--watch', '--watch-configure', '--max-length', '50', '--watch-every', '50']
/** Taken alternately, so that other work on the machine affects both. A quick run takes one. */
const TURNS = 2

interface Turn {
  readonly perSecond: number
  readonly longest: number
  readonly removed: number
  /** CPU time of xtrimd, in seconds per million writes. */
  readonly cpu: number
}

export async function watchWriters({ watchedWrites: writes, quick }: Options): Promise<Section> {
  const streams = Math.ceil(writes / WRITES_EACH)
  const most = quick ? 1 : TURNS
  say(`\nThe cost of --watch, ${count(writes)} writes into ${count(streams)} streams, ${most} times each`)
  const redis = await startPrivateRedis()
  const alone: Turn[] = []
  const watched: Turn[] = []
  for (let turn = 0; turn < most; turn++) {
    alone.push(await takeTurn(redis, [], writes, streams))
    watched.push(await takeTurn(redis, WATCH, writes, streams))
  }
  await redis.stop()
  // A quick run on a busy machine may end before the first trim; its figures mean nothing anyway.
  if (!quick && watched.some(({ removed }) => removed === 0))
    throw new Error('the watch removed nothing, so nothing was measured')
  const of = (turns: readonly Turn[], field: keyof Turn): number => median(turns.map((turn) => turn[field]))
  const row = (name: string, turns: readonly Turn[]): string[] => [
    name,
    count(Math.round(of(turns, 'perSecond'))),
    count(Math.round(of(turns, 'removed'))),
    count(Math.round(of(turns, 'longest'))),
    brief(of(turns, 'cpu')),
  ]
  const rows = [row('without --watch', alone), row('with --watch', watched)]
  const share = (of(watched, 'perSecond') / of(alone, 'perSecond')) * 100
  const verdict = `with --watch, writers reach ${brief(share)} % of their speed without it`
  for (const cells of rows) say(`  ${cells.join('  ')}`)
  say(`  ${verdict}`)
  return {
    title: 'What --watch costs',
    text: `${WRITERS} writers (redis-benchmark) send ${count(writes)} writes to ${count(streams)} streams at full speed, with ${WATCH.slice(2).join(' ')}. Writers, Redis and xtrimd share the CPUs. Medians of ${most} turns each, taken alternately.`,
    head: [
      'daemon',
      'writes a second',
      'entries removed',
      'longest stream at the end',
      'own CPU, s per million writes',
    ],
    rows,
    verdicts: [verdict],
  }
}

async function takeTurn(redis: PrivateRedis, flags: readonly string[], writes: number, streams: number): Promise<Turn> {
  await redis.client.flushAll()
  const daemon = await startDaemon(redis.url, { flags: [...NO_SWEEPS, ...flags] })
  await pause(SETTLE_MS)
  const cpuBefore = daemon.cpuMs()
  const perSecond = await write(redis, writes, streams)
  await pause(SETTLE_MS)
  const cpu = ((daemon.cpuMs() - cpuBefore) / writes) * 1_000
  await daemon.stop()
  const lengths = await redis.streamLengths()
  const left = lengths.reduce((sum, length) => sum + length, 0)
  return { perSecond, cpu, longest: Math.max(...lengths), removed: writes - left }
}

/** @returns writes a second */
async function write(redis: PrivateRedis, writes: number, streams: number): Promise<number> {
  const options = ['-s', socketOf(redis), '-c', String(WRITERS), '-n', String(writes), '-r', String(streams), '-q']
  const command = ['XADD', 'stream:conversation:__rand_int__', '*', 'message', 'x'.repeat(100)]
  const start = performance.now()
  await promisify(execFile)('redis-benchmark', [...options, ...command], { maxBuffer: 2 ** 26 })
  return writes / ((performance.now() - start) / 1_000)
}

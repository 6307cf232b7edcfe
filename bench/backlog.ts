/** Streams that were never trimmed, brought inside the policy: by one sweep, and by the command that holds Redis. */
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { timed } from './contenders/contender.ts'
import { FASTEST, startWarmDaemon } from './daemon.ts'
import { keyOf, MAX_LENGTH } from './keyspace.ts'
import { fillLongStream } from './long_stream.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'

const SLOW_MICROSECONDS = 1000
const TEMPLATE = 'template'
/** jemalloc, which Redis is built with, then keeps what is freed, and gives none of it back to the kernel. */
const KEEPS_MEMORY = { MALLOC_CONF: 'dirty_decay_ms:-1,muzzy_decay_ms:-1' }

interface Shape {
  readonly streams: number
  readonly entries: number
}

interface Turn extends Shape {
  /** Whether Redis keeps what is freed. */
  readonly keeps: boolean
  /** To sweep it, each in flags. */
  readonly ways: readonly (readonly string[])[]
}

/** In flags. */
const DEFAULT: readonly string[] = []

export async function catchUp({ backlog, warmingEntries }: Options): Promise<Section> {
  say('\nA backlog')
  const each = Math.max(2 * MAX_LENGTH, Math.min(10_000, Math.floor(backlog / 1000)))
  const turns: readonly Turn[] = [
    { streams: 1, entries: backlog, keeps: false, ways: [FASTEST, DEFAULT] },
    // A fifth of it is enough to tell what the kernel gets back.
    { streams: 1, entries: Math.ceil(backlog / 5), keeps: true, ways: [FASTEST] },
    { streams: Math.floor(backlog / each), entries: each, keeps: false, ways: [FASTEST] },
  ]
  const rows: string[][] = []
  const verdicts: string[] = []
  for (const { streams, entries, keeps, ways } of turns) {
    const name = `${count(streams)} × ${count(entries)} entries`
    const memory = keeps ? 'kept by Redis' : 'given back'
    const redis = await startPrivateRedis([], keeps ? KEEPS_MEMORY : {})
    await fillLongStream(redis, TEMPLATE, entries)
    for (const flags of ways) {
      const worker = ['xtrimd run', ...flags].join(' ')
      const { workMs, exactMs, slow } = await measure(redis, { streams, entries }, flags, warmingEntries)
      const ratio = brief(workMs / exactMs)
      const [longest] = slow.sort((a, b) => b.microseconds - a.microseconds)
      const named = longest === undefined ? '' : `${count(longest.microseconds)} (${longest.command})`
      rows.push([name, worker, memory, brief(exactMs), brief(workMs), ratio, String(slow.length), named])
      verdicts.push(
        `${name}, ${worker}, memory ${memory}: ${ratio} × one blocking exact XTRIM (goal 1.5), ${slow.length} commands over 1 ms (goal 0)`,
      )
      say(`  ${verdicts.at(-1)}`)
    }
    await redis.stop()
  }
  return {
    title: 'Backlog: never trimmed before',
    text: `Entries of 100 bytes, brought down to ${count(MAX_LENGTH)} a stream. The exact XTRIM works on an identical copy. The daemon has swept before. The slow log's threshold is ${count(SLOW_MICROSECONDS)} µs: what is over it in one long stream is for the most part jemalloc giving freed memory back to the kernel, inside whichever command is at work, as the row shows in which it is told to keep it (\`MALLOC_CONF=${KEEPS_MEMORY.MALLOC_CONF}\`); the rest is the machine, which is shared.`,
    head: [
      '',
      '',
      'freed memory',
      'exact XTRIM, ms',
      'our sweep, ms',
      'ratio',
      'commands over 1 ms',
      'longest of them, µs',
    ],
    rows,
    verdicts,
  }
}

async function measure(redis: PrivateRedis, { streams }: Shape, flags: readonly string[], warmingEntries: number) {
  const { client } = redis
  const copies = async (keyOfCopy: (stream: number) => string): Promise<void> => {
    for (let s = 1; s <= streams; s++) await client.sendCommand(['COPY', TEMPLATE, keyOfCopy(s), 'REPLACE'])
  }
  const toExact = (stream: number): string => `copy:${stream}`
  await copies(toExact)
  const { ms: exactMs } = await timed(async () => {
    for (let s = 1; s <= streams; s++) await client.xTrim(toExact(s), 'MAXLEN', MAX_LENGTH)
  })
  const workMs = await workOff(redis, flags, warmingEntries, async () => {
    await copies(keyOf)
    await client.sendCommand(['CONFIG', 'SET', 'slowlog-log-slower-than', String(SLOW_MICROSECONDS)])
    await client.sendCommand(['CONFIG', 'SET', 'slowlog-max-len', '100000'])
    await client.sendCommand(['SLOWLOG', 'RESET'])
  })
  const log = (await client.sendCommand(['SLOWLOG', 'GET', '-1'])) as unknown as [number, number, number, string[]][]
  for (let s = 1; s <= streams; s++) {
    const left = await client.xLen(keyOf(s))
    if (left > MAX_LENGTH + 200) throw new Error(`the sweep left ${left} entries of a stream`)
    await client.unlink([keyOf(s), toExact(s)])
  }
  return {
    workMs,
    exactMs,
    slow: log.map(([, , microseconds, [command = '']]) => ({ microseconds, command })),
  }
}

/** A sweep of what was planted is the first or the second behind it. */
const TRIES = 5

/**
 * What the daemon takes for what `plant` leaves, in ms: it has worked a backlog of `warmingEntries` off before, and stands
 * still while the next is planted.
 */
async function workOff(
  redis: PrivateRedis,
  flags: readonly string[],
  warmingEntries: number,
  plant: () => Promise<void>,
): Promise<number> {
  await fillLongStream(redis, keyOf(1), warmingEntries)
  // Its second sweep finds nothing to do any more: it is over in a moment, and the next one is far.
  const daemon = await startWarmDaemon(redis.url, { flags: ['--max-age', 'off', ...flags] }, 2)
  await plant()
  daemon.thaw()
  let line = await daemon.nextSweep()
  for (let tries = 1; line.removed.length === 0 && tries < TRIES; tries++) line = await daemon.nextSweep()
  await daemon.stop()
  if (line.removed.length === 0) throw new Error('no sweep found what was planted')
  return line.durationSeconds * 1000
}

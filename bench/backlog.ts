/** Trims streams that were never trimmed before: once with a sweep, once with a single blocking XTRIM. */
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { timed } from './contenders/contender.ts'
import { type Daemon, FASTEST, startWarmDaemon } from './daemon.ts'
import { keyOf, MAX_LENGTH } from './keyspace.ts'
import { fillLongStream } from './long_stream.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'

const SLOW_MICROSECONDS = 1000
const TEMPLATE = 'template'
/** jemalloc, Redis's allocator, then keeps freed memory instead of returning it to the kernel. */
const KEEPS_MEMORY = {
  settings: ['--jemalloc-bg-thread', 'no'],
  variables: { MALLOC_CONF: 'dirty_decay_ms:-1,muzzy_decay_ms:-1' },
}
const GIVES_BACK = { settings: [], variables: {} }

interface Backlog {
  readonly streams: number
  /** Entries of each stream. */
  readonly entries: number
  /** Whether Redis keeps freed memory. */
  readonly keeps: boolean
  readonly workers: readonly Worker[]
}

interface Worker {
  readonly flags: readonly string[]
  /** The median of its turns is reported. */
  readonly turns: number
}

const FAST: Worker = { flags: FASTEST, turns: 2 }
/** At this pace a sweep consists mostly of pauses, so one turn must do. */
const DEFAULT: Worker = { flags: [], turns: 1 }

export async function catchUp({ backlog, warmingEntries }: Options): Promise<Section> {
  say('\nA backlog')
  const each = Math.max(2 * MAX_LENGTH, Math.min(10_000, Math.floor(backlog / 1000)))
  const backlogs: readonly Backlog[] = [
    { streams: 1, entries: backlog, keeps: false, workers: [FAST, DEFAULT] },
    // A fifth is enough to show the effect of memory that is returned.
    { streams: 1, entries: Math.ceil(backlog / 5), keeps: true, workers: [FAST] },
    { streams: Math.floor(backlog / each), entries: each, keeps: false, workers: [FAST] },
  ]
  const rows: string[][] = []
  const verdicts: string[] = []
  for (const { streams, entries, keeps, workers } of backlogs) {
    const name = `${count(streams)} × ${count(entries)} entries`
    const memory = keeps ? 'kept' : 'returned'
    const { settings, variables } = keeps ? KEEPS_MEMORY : GIVES_BACK
    const redis = await startPrivateRedis(settings, variables)
    await fillLongStream(redis, TEMPLATE, entries)
    for (const worker of workers) {
      const named = ['xtrimd run', ...worker.flags].join(' ')
      const taken = await workOff(redis, streams, worker, warmingEntries)
      const workMs = median(taken.map((turn) => turn.workMs))
      const exactMs = median(taken.map((turn) => turn.exactMs))
      const slow = median(taken.map(({ slow }) => slow.length))
      const longest = taken.flatMap((turn) => turn.slow).sort((a, b) => b.microseconds - a.microseconds)[0]
      const slowest = longest === undefined ? '' : `${count(longest.microseconds)} (${longest.command})`
      const ratio = brief(workMs / exactMs)
      rows.push([name, named, memory, brief(exactMs), brief(workMs), ratio, brief(slow), slowest])
      verdicts.push(
        `${name}, ${named}, freed memory ${memory}: ${ratio} × one blocking exact XTRIM (goal 1.5), ${brief(slow)} commands over 1 ms (goal 0)`,
      )
      say(`  ${verdicts.at(-1)}`)
    }
    await redis.stop()
  }
  return {
    title: 'Backlog: never trimmed before',
    text: `A warm daemon trims streams with entries of 100 bytes to ${count(MAX_LENGTH)} entries each. At --pace 100 we report the median of ${FAST.turns} turns and the longest command of all turns. The exact XTRIM trims an identical copy. Slow commands are those over ${count(SLOW_MICROSECONDS)} µs in the slow log. Most of them are slow because a thread of jemalloc returns freed memory to the kernel and delays the running command. The row "kept" shows the difference: there jemalloc keeps the memory (\`${KEEPS_MEMORY.settings.join(' ')}\`, \`MALLOC_CONF=${KEEPS_MEMORY.variables.MALLOC_CONF}\`).`,
    head: [
      'backlog',
      'daemon',
      'freed memory',
      'exact XTRIM, ms',
      'our sweep, ms',
      'ratio',
      'commands over 1 ms',
      'longest command, µs',
    ],
    rows,
    verdicts,
  }
}

interface Turn {
  readonly workMs: number
  readonly exactMs: number
  /** The commands in the slow log. */
  readonly slow: readonly { readonly microseconds: number; readonly command: string }[]
}

/** In each turn, a daemon and then XTRIM trim the same backlog. The daemon has trimmed `warmingEntries` before. */
async function workOff(
  redis: PrivateRedis,
  streams: number,
  { flags, turns }: Worker,
  warmingEntries: number,
): Promise<Turn[]> {
  const { client } = redis
  const keys = Array.from({ length: streams }, (_, i) => keyOf(i + 1))
  const plant = async (): Promise<void> => {
    for (const key of keys) await client.sendCommand(['COPY', TEMPLATE, key, 'REPLACE'])
    // Return freed memory now, so that it does not disturb the measurement.
    await client.sendCommand(['MEMORY', 'PURGE'])
  }
  await client.sendCommand(['CONFIG', 'SET', 'slowlog-log-slower-than', String(SLOW_MICROSECONDS)])
  await client.sendCommand(['CONFIG', 'SET', 'slowlog-max-len', '100000'])
  await fillLongStream(redis, keyOf(1), warmingEntries)
  // The second sweep finds nothing to do and ends at once, so the daemon is not frozen within a sweep.
  const daemon = await startWarmDaemon(redis.url, { flags: ['--max-age', 'off', ...flags] }, 2)
  const taken: Turn[] = []
  while (taken.length < turns) {
    await plant()
    await client.sendCommand(['SLOWLOG', 'RESET'])
    const workMs = await workMsOf(daemon)
    const log = (await client.sendCommand(['SLOWLOG', 'GET', '-1'])) as unknown as [number, number, number, string[]][]
    for (const key of keys) {
      const left = await client.xLen(key)
      if (left > MAX_LENGTH + 200) throw new Error(`the sweep left ${left} entries of a stream`)
    }
    await plant()
    const { ms: exactMs } = await timed(async () => {
      for (const key of keys) await client.xTrim(key, 'MAXLEN', MAX_LENGTH)
    })
    const slow = log.map(([, , microseconds, [command = '']]) => ({ microseconds, command }))
    taken.push({ workMs, exactMs, slow })
  }
  await daemon.stop()
  await client.unlink(keys)
  return taken
}

/** The first or second sweep after planting finds the backlog. */
const TRIES = 5

/** How many ms the daemon takes for the backlog that was planted while it was frozen. */
async function workMsOf(daemon: Daemon): Promise<number> {
  daemon.thaw()
  let line = await daemon.nextSweep()
  for (let tries = 1; line.removed.length === 0 && tries < TRIES; tries++) line = await daemon.nextSweep()
  daemon.freeze()
  if (line.removed.length === 0) throw new Error('no sweep found the backlog')
  return line.durationSeconds * 1000
}

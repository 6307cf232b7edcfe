/** Streams that were never trimmed, brought inside the policy: by one sweep, and by the command that holds Redis. */
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { timed } from './contenders/contender.ts'
import { type Daemon, FASTEST, startWarmDaemon } from './daemon.ts'
import { keyOf, MAX_LENGTH } from './keyspace.ts'
import { fillLongStream } from './long_stream.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'

const SLOW_MICROSECONDS = 1000
const TEMPLATE = 'template'
/** jemalloc, which Redis is built with, then keeps what is freed, and its thread does not look for what to give back to the kernel. */
const KEEPS_MEMORY = {
  settings: ['--jemalloc-bg-thread', 'no'],
  variables: { MALLOC_CONF: 'dirty_decay_ms:-1,muzzy_decay_ms:-1' },
}
const GIVES_BACK = { settings: [], variables: {} }

interface Backlog {
  readonly streams: number
  /** Of each. */
  readonly entries: number
  /** Whether Redis keeps what is freed. */
  readonly keeps: boolean
  readonly workers: readonly Worker[]
}

interface Worker {
  readonly flags: readonly string[]
  /** Of which the middle is told. */
  readonly turns: number
}

const FAST: Worker = { flags: FASTEST, turns: 2 }
/** Its pauses are most of it. */
const DEFAULT: Worker = { flags: [], turns: 1 }

export async function catchUp({ backlog, warmingEntries }: Options): Promise<Section> {
  say('\nA backlog')
  const each = Math.max(2 * MAX_LENGTH, Math.min(10_000, Math.floor(backlog / 1000)))
  const backlogs: readonly Backlog[] = [
    { streams: 1, entries: backlog, keeps: false, workers: [FAST, DEFAULT] },
    // A fifth of it is enough to tell what comes of memory that is given back.
    { streams: 1, entries: Math.ceil(backlog / 5), keeps: true, workers: [FAST] },
    { streams: Math.floor(backlog / each), entries: each, keeps: false, workers: [FAST] },
  ]
  const rows: string[][] = []
  const verdicts: string[] = []
  for (const { streams, entries, keeps, workers } of backlogs) {
    const name = `${count(streams)} × ${count(entries)} entries`
    const memory = keeps ? 'kept by Redis' : 'given back'
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
        `${name}, ${named}, memory ${memory}: ${ratio} × one blocking exact XTRIM (goal 1.5), ${brief(slow)} commands over 1 ms (goal 0)`,
      )
      say(`  ${verdicts.at(-1)}`)
    }
    await redis.stop()
  }
  return {
    title: 'Backlog: never trimmed before',
    text: `Entries of 100 bytes, brought down to ${count(MAX_LENGTH)} a stream; at --pace 100 the middle of ${FAST.turns} turns, and the longest command of all. The exact XTRIM works on an identical copy. The daemon has swept before. The slow log's threshold is ${count(SLOW_MICROSECONDS)} µs: what is over it is for the most part jemalloc, which gives freed memory back to the kernel by a thread of its own that holds up whichever command is at work, as the row shows in which it is told to keep it (\`${KEEPS_MEMORY.settings.join(' ')}\`, \`MALLOC_CONF=${KEEPS_MEMORY.variables.MALLOC_CONF}\`).`,
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

interface Turn {
  readonly workMs: number
  readonly exactMs: number
  /** The commands that took Redis longer than the slow log's threshold. */
  readonly slow: readonly { readonly microseconds: number; readonly command: string }[]
}

/** Plants the backlog, has a daemon work it off that has done so with `warmingEntries` before, and then XTRIM, so many times. */
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
    // What went before is not given back while this is measured.
    await client.sendCommand(['MEMORY', 'PURGE'])
  }
  await client.sendCommand(['CONFIG', 'SET', 'slowlog-log-slower-than', String(SLOW_MICROSECONDS)])
  await client.sendCommand(['CONFIG', 'SET', 'slowlog-max-len', '100000'])
  await fillLongStream(redis, keyOf(1), warmingEntries)
  // Its second sweep finds nothing to do any more: it is over in a moment, and the next one is far.
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

/** A sweep of what was planted is the first or the second behind it. */
const TRIES = 5

/** What the daemon takes, in ms, for what was planted while it stood still. */
async function workMsOf(daemon: Daemon): Promise<number> {
  daemon.thaw()
  let line = await daemon.nextSweep()
  for (let tries = 1; line.removed.length === 0 && tries < TRIES; tries++) line = await daemon.nextSweep()
  daemon.freeze()
  if (line.removed.length === 0) throw new Error('no sweep found what was planted')
  return line.durationSeconds * 1000
}

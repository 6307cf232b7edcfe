/** Measures how long other clients of Redis wait during different kinds of sweeps. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { atExit } from '../scripts/stage/undo.ts'
import { minId, socketOf } from './contenders/contender.ts'
import { SWEEPING_SCRIPT } from './contenders/loops.ts'
import { type Daemon, type DaemonOptions, startWarmDaemon } from './daemon.ts'
import { nowMs, type Stretch, startForeground } from './foreground.ts'
import { imageFlags } from './image.ts'
import { fillKeyspace } from './keyspace.ts'
import { fillLongStream } from './long_stream.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'

/** More streams would make the many sweeps at the default pace take too long. */
const MOST_STREAMS = 5_000
/** Pause between two loads, so that one does not affect the next. */
const SETTLE_MS = 300
/** A cut takes only an instant, so look at the whole second around it. */
const CUT_STRETCH_MS = 1000

/** Puts load on Redis for a while. @returns the stretches of time with that load */
type Load = (redis: PrivateRedis, options: Options) => Promise<Stretch[]>

const IDLE = 'idle'
const OURS = 'our sweep, default pace'
/** Uses the CPU in the rhythm of our sweep, but does not use Redis. It shows what sharing CPUs alone adds to the waits. */
const COMPUTING = 'a process that computes as much but does not use Redis'
const COMPUTING_CODE = `
const nap = new Int32Array(new SharedArrayBuffer(4))
const burst = () => {
  const end = performance.now() + 5
  for (let now = performance.now(); now < end; now = performance.now()) {
    while (performance.now() < now + 0.2);
    Atomics.wait(nap, 0, 0, 0.2)
  }
  setTimeout(burst, 22)
}
burst()`
const IN_THE_IMAGE = "our sweep, default pace, with the image's Node options"
/** Runs with SCHED_IDLE, so it shows what our commands add without the effect of sharing CPUs. */
const GIVING_WAY = 'our sweep, default pace, with only spare CPU time'

/** The compared loads take turns, so that other work on the machine affects all of them. We report the median. */
const TURNS = 3
const COMPARED = [OURS, IN_THE_IMAGE, GIVING_WAY]

const waysOf = async ({ quick }: Options): Promise<Readonly<Record<string, DaemonOptions>>> => ({
  [OURS]: { flags: [] },
  [IN_THE_IMAGE]: { flags: [], nodeFlags: await imageFlags() },
  // A quick run shares the machine with tests, which may leave no spare CPU time for minutes.
  [GIVING_WAY]: { flags: [], givesWay: !quick },
  'our sweep, --pace 25': { flags: ['--pace', '25'] },
  'our sweep, --pace 50': { flags: ['--pace', '50'] },
  'our sweep, --pace 100': { flags: ['--pace', '100'] },
  'our sweep, --page-size 2000': { flags: ['--page-size', '2000'] },
})

/** All loads, in order. The rows of --pace and --page-size justify their defaults. */
function loadsOf(daemons: ReadonlyMap<string, Daemon>): (readonly [name: string, load: Load])[] {
  const ours = [...daemons].map(([name, daemon]) => [name, sweeping(daemon)] as const)
  const { compared = [], alone = [] } = Object.groupBy(ours, ([name]) =>
    COMPARED.includes(name) ? 'compared' : 'alone',
  )
  const turn = [[IDLE, idling], [COMPUTING, computing], ...compared] as const
  return [
    ...Array.from({ length: TURNS }, () => turn).flat(),
    ...alone,
    ['one blocking Lua script', blocking],
    ['one exact XTRIM of a long stream', cutting],
  ]
}

export async function beGentle(all: Options): Promise<Section> {
  const options = { ...all, streams: Math.min(MOST_STREAMS, all.streams) }
  say(`\nA foreground writer, ${count(options.streams)} streams`)
  const redis = await startPrivateRedis()
  await fillKeyspace(redis, { streams: options.streams, entriesEach: 20, bytesEach: 100, stale: false })
  await fillLongStream(redis, 'long', options.cutEntries)
  const daemons = await startWarm(redis, await waysOf(options), options.gentleWarmingSweeps)
  const foreground = await startForeground(socketOf(redis))
  // Its first entries are late, while Node still compiles its code.
  await pause(2 * SETTLE_MS)
  /** The stretches of each turn, by load. */
  const stretches = new Map<string, Stretch[][]>()
  for (const [name, load] of loadsOf(daemons)) {
    stretches.set(name, [...(stretches.get(name) ?? []), await load(redis, options)])
    await pause(SETTLE_MS)
  }
  const waitsIn = await foreground.end()
  for (const daemon of daemons.values()) await daemon.stop()
  await redis.stop()

  const waits = [...stretches].map(([name, turns]) => {
    const each = turns.map(waitsIn)
    const [p50, p99] = [median(each.map((turn) => turn.p50)), median(each.map((turn) => turn.p99))]
    return { name, ...waitsIn(turns.flat()), p50, p99 }
  })
  const p99Of = (wanted: string): number => waits.find(({ name }) => name === wanted)?.p99 ?? Number.NaN
  const added = (name: string): string => brief((p99Of(name) / p99Of(IDLE) - 1) * 100)
  const verdicts = [
    `added to the p99 of an idle Redis: our sweep at the default pace ${added(OURS)} % (goal: less than 20 %), with the image's Node options ${added(IN_THE_IMAGE)} %, with only spare CPU time ${added(GIVING_WAY)} %; ${COMPUTING} ${added(COMPUTING)} %`,
  ]
  const rows = waits.map(({ name, samples, p50, p99, p999, max }) => [
    name,
    count(samples),
    ...[p50, p99, p999, max].map(brief),
  ])
  for (const row of rows) say(`  ${row.join('  ')}`)
  for (const verdict of verdicts) say(`  ${verdict}`)
  return {
    title: 'Gentle: how long a foreground writer waits',
    text: `A separate process sends 1,000 XADD a second while ${count(options.streams)} streams are swept. A wait runs from the moment when an XADD was due to its reply, in ms. Only writes that were due during a load count for it. The first ${2 + COMPARED.length} loads took ${TURNS} turns; their p50 and p99 are medians over the turns. Each daemon had swept ${options.gentleWarmingSweeps} times before. The exact XTRIM cuts ${count(options.cutEntries)} entries, and the second around it counts.`,
    head: ['load', 'samples', 'p50', 'p99', 'p99.9', 'longest'],
    rows,
    verdicts,
  }
}

async function idling(_: PrivateRedis, { gentleMs }: Options): Promise<Stretch[]> {
  return [await stretch(() => pause(gentleMs))]
}

async function computing(_: PrivateRedis, { gentleMs }: Options): Promise<Stretch[]> {
  const child = spawn(process.execPath, ['--eval', COMPUTING_CODE], { stdio: 'ignore' })
  atExit(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  await pause(SETTLE_MS)
  const during = await stretch(() => pause(gentleMs))
  child.kill('SIGKILL')
  await ended
  return [during]
}

/** Starts all daemons in parallel, because they mostly wait while they warm up. */
async function startWarm(
  redis: PrivateRedis,
  all: Readonly<Record<string, DaemonOptions>>,
  sweeps: number,
): Promise<ReadonlyMap<string, Daemon>> {
  const warm = async ([name, options]: [string, DaemonOptions]): Promise<[string, Daemon]> => [
    name,
    await startWarmDaemon(redis.url, options, sweeps),
  ]
  return new Map(await Promise.all(Object.entries(all).map(warm)))
}

/** The load of a daemon that sweeps again and again. */
function sweeping(daemon: Daemon): Load {
  return async (_, { gentleMs }) => {
    const thawed = nowMs()
    daemon.thaw()
    const stretches: Stretch[] = []
    // Short sweeps leave gaps until the next second, so limit the time to collect enough of them.
    const latest = nowMs() + 2 * gentleMs
    for (let lasted = 0; lasted < gentleMs && (nowMs() < latest || lasted === 0); ) {
      const { durationSeconds } = await daemon.nextSweep()
      const end = nowMs()
      const start = end - durationSeconds * 1000
      // Ignore a sweep that was frozen halfway.
      if (start < thawed) continue
      stretches.push([start, end])
      lasted += durationSeconds * 1000
    }
    daemon.freeze()
    return stretches
  }
}

async function blocking(redis: PrivateRedis, { gentleMs }: Options): Promise<Stretch[]> {
  const oldest = await minId(redis)
  const stretches: Stretch[] = []
  for (const start = nowMs(); nowMs() < start + gentleMs; ) {
    stretches.push(await stretch(() => redis.client.eval(SWEEPING_SCRIPT, { arguments: [oldest] })))
    await pause(SETTLE_MS)
  }
  return stretches
}

async function cutting(redis: PrivateRedis): Promise<Stretch[]> {
  const start = nowMs()
  await redis.client.xTrim('long', 'MAXLEN', 1000)
  await pause(Math.max(0, CUT_STRETCH_MS - (nowMs() - start)))
  return [[start, start + CUT_STRETCH_MS]]
}

async function stretch(work: () => Promise<unknown>): Promise<Stretch> {
  const from = nowMs()
  await work()
  return [from, nowMs()]
}

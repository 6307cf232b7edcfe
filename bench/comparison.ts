/** All contenders take turns on the same keyspace: once with nothing to remove, once with three of ten streams stale. */
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import type { Chart } from './chart.ts'
import type { Contender } from './contenders/contender.ts'
import { theLimit, theLimitInScanOrder } from './contenders/limit.ts'
import { awaitedLoop, blockingScript, shellLoop } from './contenders/loops.ts'
import { daemon, oneShot } from './contenders/ours.ts'
import { ioredisPages, redisPyPages } from './contenders/pages.ts'
import { exporterScrape, ourScrape } from './contenders/scraping.ts'
import { FASTEST } from './daemon.ts'
import { fillKeyspace, isStale, keyOf, staleAmong } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, median, type Section, say } from './report.ts'
import { serverCpuMs } from './server_cpu.ts'

/** The medians of a contender's turns, scaled to all streams. */
interface Result {
  readonly contender: Contender
  readonly missing: string | null
  readonly ms: number
  readonly serverCpuMs: number
  readonly ownCpuMs: number | null
}

const WARM = daemon(...FASTEST)
const WARM_DEFAULT = daemon()

function contendersOf({ samples, streams }: Options): readonly Contender[] {
  return [
    theLimit,
    theLimitInScanOrder,
    WARM,
    WARM_DEFAULT,
    oneShot(...FASTEST),
    blockingScript,
    ioredisPages,
    redisPyPages,
    awaitedLoop(Math.min(streams, samples.awaited)),
    shellLoop(Math.min(streams, samples.shell)),
    exporterScrape(streams),
    ourScrape,
  ]
}

export async function compare(options: Options): Promise<{ sections: Section[]; chart: Chart }> {
  // DEBUG RELOAD restores what the previous contender removed.
  const redis = await startPrivateRedis(['--enable-debug-command', 'local'])
  const sections: Section[] = []
  const results: Result[][] = []
  const contenders = contendersOf(options)
  for (const stale of [false, true]) {
    const chosen = contenders.filter(({ onlyReads, steadyOnly }) => !(stale && (onlyReads || steadyOnly)))
    const title = stale ? 'Three of ten streams have gone stale' : 'Steady state: nothing to remove'
    say(`\n${title}, ${count(options.streams)} streams`)
    const measured = await measure(redis, chosen, options, stale)
    results.push(measured)
    sections.push(sectionOf(title, measured, options, stale))
  }
  await redis.stop()
  return { sections, chart: chartOf(results, options) }
}

/** These take several turns. One turn of the others is enough, to keep the benchmark within five minutes. */
const COMPARED: readonly Contender[] = [theLimit, theLimitInScanOrder, WARM]

async function measure(
  redis: PrivateRedis,
  contenders: readonly Contender[],
  options: Options,
  stale: boolean,
): Promise<Result[]> {
  const { streams, rounds } = options
  await fillKeyspace(redis, { streams, entriesEach: 20, bytesEach: 100, stale })
  if (stale) await redis.client.sendCommand(['SAVE'])
  const all = await Promise.all(contenders.map(async (c) => ({ contender: c, missing: (await c.missing?.()) ?? null })))
  const able = all.filter(({ missing }) => missing === null).map(({ contender }) => contender)
  const turns = new Map<Contender, Awaited<ReturnType<typeof takeTurn>>[]>(able.map((c) => [c, []]))
  await Promise.all(able.map((contender) => contender.begin?.(redis, options)))
  // In turns, so that a slow phase of the machine affects everybody.
  for (let round = 0; round < rounds; round++) {
    for (const contender of able) {
      if (round > 0 && !COMPARED.includes(contender)) continue
      if (stale) await redis.client.sendCommand(['DEBUG', 'RELOAD', 'NOSAVE'])
      const turn = await takeTurn(redis, contender, streams)
      if (stale) await assertTrimmed(redis, contender, turn.share, contender.sample ?? streams)
      turns.get(contender)?.push(turn)
      say(`  ${contender.name}: ${brief(turn.ms)} ms`)
    }
  }
  for (const contender of able) await contender.end?.()
  return all.map(({ contender, missing }) => {
    const taken = turns.get(contender) ?? []
    const own = taken.flatMap(({ ownCpuMs }) => ownCpuMs ?? [])
    return {
      contender,
      missing,
      ms: median(taken.map(({ ms }) => ms)),
      serverCpuMs: median(taken.map(({ serverCpuMs }) => serverCpuMs)),
      ownCpuMs: own.length > 0 ? median(own) : null,
    }
  })
}

async function takeTurn(redis: PrivateRedis, contender: Contender, streams: number) {
  const sample = contender.sample ?? streams
  const before = await serverCpuMs(redis)
  const turn = await contender.run(redis, sample)
  const spent = (await serverCpuMs(redis)) - before
  const share = (turn.streams ?? sample) / sample
  const scale = streams / (sample * share)
  return {
    ms: turn.ms * scale,
    serverCpuMs: spent * scale,
    ownCpuMs: turn.ownCpuMs === undefined ? null : turn.ownCpuMs * scale,
    share,
  }
}

/** How many of the stale streams are checked. */
const CHECKED = 1000

/** The time of a contender that did not do all its work would mean nothing. */
async function assertTrimmed({ client }: PrivateRedis, { name }: Contender, share: number, sample: number) {
  const stale = Array.from({ length: sample }, (_, i) => i + 1).filter(isStale)
  const every = Math.ceil(stale.length / CHECKED)
  const checked = stale.filter((_, i) => i % every === 0)
  const lengths = await Promise.all(checked.map((stream) => client.xLen(keyOf(stream))))
  const done = lengths.filter((length) => length === 0).length / checked.length
  // A stopped contender visited streams in the order of SCAN, so the checked ones are a random sample.
  if (done < (share < 1 ? share * 0.8 : 1))
    throw new Error(`${name} trimmed ${brief(done * 100)} % of the stale streams`)
}

function sectionOf(title: string, results: readonly Result[], options: Options, stale: boolean): Section {
  const { streams } = options
  const [limit] = results
  const limitMs = limit?.ms ?? Number.NaN
  const perMillion = 1_000_000 / streams
  const rows = results.map(({ contender, missing, ms, serverCpuMs, ownCpuMs }) => {
    const name = contender.sample ? `${contender.name} (sample of ${count(contender.sample)})` : contender.name
    if (missing !== null) return [name, `not installed (${missing})`, '', '', '']
    return [
      name,
      brief(ms),
      contender.onlyReads ? '' : brief(limitMs / ms),
      brief((serverCpuMs * perMillion) / 1000),
      ownCpuMs === null ? '' : brief((ownCpuMs * perMillion) / 1000),
    ]
  })
  const what = stale
    ? `${count(staleAmong(streams))} streams are stale, with ${count(staleAmong(streams) * 20)} entries to remove`
    : 'nothing to remove'
  const turns =
    options.rounds === 1
      ? 'Each took one turn.'
      : `The limit and ${WARM.name} took ${options.rounds} turns, and we report the median; the others took one.`
  return {
    title,
    text: `${count(streams)} streams × 20 entries × 100 bytes; ${what}. ${turns}`,
    head: [
      'contender',
      'ms',
      'speed against the limit',
      'CPU of Redis, s per million streams',
      'own CPU, s per million streams',
    ],
    rows,
    verdicts: verdictsOf(results, streams),
  }
}

function verdictsOf(results: readonly Result[], streams: number): string[] {
  const find = (text: string): Result | undefined => results.find(({ contender }) => contender.name.includes(text))
  const limit = results[0]
  const ours = results.find(({ contender }) => contender === WARM)
  if (limit === undefined || ours === undefined) return []
  const times = (text: string, name: string, goal: string): string => {
    const other = find(text)
    if (other === undefined || other.missing !== null) return `${name} not measured`
    return `${brief(other.ms / ours.ms)} × ${name} (goal ${goal})`
  }
  const others = [
    times('ioredis', 'pages of ioredis', '2.5'),
    times('redis-py', 'pages of redis-py', '2.5'),
    times('awaited', 'the awaited loop', '40'),
    times('shell loop', 'the shell loop', '1,000'),
  ]
  const scanned = results.find(({ contender }) => contender === theLimitInScanOrder)?.ms ?? Number.NaN
  const verdicts = [
    `speed at --pace 100: ${brief(limit.ms / ours.ms)} × the limit (goal 0.9), ${brief(scanned / ours.ms)} × the limit with keys in the order of SCAN`,
    `speed at --pace 100: ${others.join(', ')}`,
    `CPU time of Redis: ${brief(ours.serverCpuMs / limit.serverCpuMs)} × the limit's (goal at most 1.2)`,
  ]
  const [theirs, scrape] = [find('redis_exporter'), find('a scrape of xtrimd')]
  if (scrape !== undefined) {
    const exporter =
      theirs?.missing === null ? `the exporter takes ${brief(theirs.ms)} ms` : 'the exporter is not installed'
    verdicts.push(`a scrape takes ${brief(scrape.ms)} ms (goal under 20); ${exporter}`)
  }
  const hourly = ((ours.ownCpuMs ?? Number.NaN) / streams) * 1_000_000
  verdicts.push(
    `an hourly sweep of a million streams uses ${brief((hourly / 3_600_000) * 100)} % of one core for xtrimd`,
  )
  for (const verdict of verdicts) say(`  ${verdict}`)
  return verdicts
}

function chartOf(results: readonly (readonly Result[])[], { streams }: Options): Chart {
  const [steady = [], stale = []] = results
  const speed = (all: readonly Result[], name: string): number | null => {
    const found = all.find(({ contender }) => contender.name === name)
    return found === undefined || found.missing !== null ? null : (all[0]?.ms ?? Number.NaN) / found.ms
  }
  const shown = steady.filter(({ contender, missing }) => !contender.onlyReads && missing === null)
  return {
    title: `Holding ${count(streams)} streams to a policy`,
    unit: "speed against Redis's own limit; longer is faster",
    series: ['nothing to remove', '30 % to remove'],
    rows: shown.map(({ contender: { name } }) => ({
      label: name
        .replace(/:.*/, '')
        .replace(/^the same, keys/, 'the limit, keys')
        .replace(/, each command awaited/, ', awaited'),
      values: [speed(steady, name), speed(stale, name)],
      ours: name.startsWith('xtrimd'),
    })),
    format: brief,
  }
}

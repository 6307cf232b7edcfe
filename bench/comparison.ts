/** Every contender on the same keyspace, in turn: with nothing to remove, and with all that three of ten streams hold. */
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

/** What all its turns came to, in the middle, for all the streams. */
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
  // DEBUG RELOAD brings back what was there before a contender removed some of it.
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

/** Five minutes are all there is: of the others one turn is enough to tell. */
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
  // In turn, so that a machine that gets slower does so for everybody.
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

/** So many of the stale streams are looked at, evenly apart. */
const CHECKED = 1000

/** A contender that did not do its share of the work has no time worth telling. */
async function assertTrimmed({ client }: PrivateRedis, { name }: Contender, share: number, sample: number) {
  const stale = Array.from({ length: sample }, (_, i) => i + 1).filter(isStale)
  const every = Math.ceil(stale.length / CHECKED)
  const checked = stale.filter((_, i) => i % every === 0)
  const lengths = await Promise.all(checked.map((stream) => client.xLen(keyOf(stream))))
  const done = lengths.filter((length) => length === 0).length / checked.length
  // Who was stopped before the end came to streams in the order of SCAN, of which these are a sample.
  if (done < (share < 1 ? share * 0.8 : 1))
    throw new Error(`${name} trimmed ${brief(done * 100)} % of the stale streams`)
}

async function serverCpuMs({ client }: PrivateRedis): Promise<number> {
  const text = await client.info('cpu')
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(text)?.[1])
  return (field('used_cpu_user') + field('used_cpu_sys')) * 1000
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
    ? `the ${count(staleAmong(streams) * 20)} entries of ${count(staleAmong(streams))} streams are to go`
    : 'nothing is to go'
  const turns =
    options.rounds === 1
      ? 'One turn each.'
      : `The median of ${options.rounds} turns of the limit and of ${WARM.name}; the others had one.`
  return {
    title,
    text: `${count(streams)} streams × 20 entries × 100 bytes; ${what}. ${turns}`,
    head: [
      '',
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
  const times = (text: string): string => {
    const other = find(text)
    return other === undefined || other.missing !== null ? 'not measured' : `${brief(other.ms / ours.ms)} ×`
  }
  const scanned = results.find(({ contender }) => contender === theLimitInScanOrder)?.ms ?? Number.NaN
  const verdicts = [
    `--pace 100 against the limit: ${brief(limit.ms / ours.ms)} (goal 0.9), in the order of SCAN ${brief(scanned / ours.ms)}`,
    `against pages of ioredis ${times('ioredis')} (2.5), of redis-py ${times('redis-py')} (2.5), the awaited loop ${times('awaited')} (40), the shell loop ${times('shell loop')} (1,000)`,
    `CPU of Redis against the limit's: ${brief(ours.serverCpuMs / limit.serverCpuMs)} (goal 1.2)`,
  ]
  const [theirs, scrape] = [find('redis_exporter'), find('a scrape of xtrimd')]
  if (scrape !== undefined) {
    const exporter = theirs?.missing === null ? `the exporter's ${brief(theirs.ms)} ms` : 'an exporter not installed'
    verdicts.push(`a scrape: ${brief(scrape.ms)} ms (goal under 20) against ${exporter}`)
  }
  const hourly = ((ours.ownCpuMs ?? Number.NaN) / streams) * 1_000_000
  verdicts.push(`an hourly sweep of a million streams costs ${brief((hourly / 3_600_000) * 100)} % of one core of ours`)
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

/** How fast a sweep of many streams with nothing to remove is: the steady state, against the limit and against other ways. */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { awaitedLoop, blockingScript, type Contender, pages, theLimit, xtrimd } from './contenders.ts'
import { fillKeyspace } from './keyspace.ts'

const RESULTS = new URL('RESULTS.md', import.meta.url)
const ROUNDS = 5

const { values } = parseArgs({ options: { streams: { type: 'string', default: '200000' } } })
const streams = Number(values.streams)

const contenders: readonly (readonly [name: string, contender: Contender])[] = [
  ['the limit: SCAN, then XTRIM MINID, XTRIM MAXLEN, XLEN by redis-cli --pipe', theLimit],
  ['xtrimd --pace 100', xtrimd('--pace', '100')],
  ['xtrimd, default pace', xtrimd()],
  ['xtrimd --pace 100 --max-age off (no entry is read)', xtrimd('--pace', '100', '--max-age', 'off')],
  ['plain pages: XRANGE COUNT 1, XLEN', pages((key) => ['XRANGE', key, '-', '+', 'COUNT', '1'])],
  ['plain pages: XTRIM MINID without looking, XLEN', pages((key, minId) => ['XTRIM', key, 'MINID', '~', minId])],
  ['one blocking script', blockingScript],
  ['node-redis, each command awaited (sample of 5,000)', awaitedLoop],
]

const redis = await startPrivateRedis()
const lines = [
  '# Results',
  '',
  `Written by \`npm run bench -- --streams ${streams}\` on ${new Date().toISOString().slice(0, 10)}: Redis ${redis.version}, Node ${process.version},`,
  `${ROUNDS} rounds in turn, the median of each. Machines differ and are shared: read the ratios. Streams of 20 entries with nothing to remove.`,
  '',
  '| | bytes an entry | ms | speed against the limit |',
  '|---|---|---|---|',
]
for (const bytesEach of [100, 500]) {
  await fillKeyspace(redis, { streams, entriesEach: 20, bytesEach })
  const times = new Map<string, number[]>(contenders.map(([name]) => [name, []]))
  // In turn, so that a machine that gets slower does so for everybody.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, contender] of contenders) times.get(name)?.push(await contender(redis, streams))
  }
  const limit = median(times.get(contenders[0]?.[0] ?? '') ?? [])
  for (const [name, all] of times) {
    const line = `| ${name} | ${bytesEach} | ${Math.round(median(all))} | ${(limit / median(all)).toPrecision(2)} |`
    lines.push(line)
    process.stdout.write(`${line}\n`)
  }
}
await writeFile(RESULTS, `${lines.join('\n')}\n`)
await redis.stop()
process.exit(0)

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

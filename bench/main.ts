/** Runs all benchmarks on private servers: `npm run bench [-- --streams N]`. */
import { mkdir } from 'node:fs/promises'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { exitWhenAsked } from '../scripts/stage/undo.ts'
import { archiveBacklog } from './archive_backlog.ts'
import { archiveFlow } from './archive_flow.ts'
import { catchUp } from './backlog.ts'
import { barChart } from './chart.ts'
import { compare } from './comparison.ts'
import { countBacklogs } from './counting.ts'
import { measureFootprint } from './footprint.ts'
import { beGentle } from './gentle.ts'
import { readOptions, SECTIONS } from './options.ts'
import { keepPace } from './pace.ts'
import { reapNothing } from './reaping.ts'
import { header, type Section, say, sectionText, writeText } from './report.ts'
import { sweepTenMillion } from './ten_million.ts'
import { watchWriters } from './watching.ts'

exitWhenAsked()
const options = readOptions()
const start = performance.now()
const sections: Section[] = []
await mkdir(options.out, { recursive: true })

const runs: Readonly<Record<(typeof SECTIONS)[number], () => Promise<Section[]>>> = {
  comparison: async () => {
    const compared = await compare(options)
    await writeText(`${options.out}results.svg`, barChart(compared.chart))
    return compared.sections
  },
  gentle: async () => [await beGentle(options)],
  backlog: async () => [await catchUp(options)],
  counting: async () => [await countBacklogs(options)],
  reaping: async () => [await reapNothing(options)],
  watch: async () => [await watchWriters(options)],
  archive: async () => [await archiveBacklog(options), await archiveFlow(options)],
  pace: async () => [await keepPace(options)],
  memory: async () => [await measureFootprint(options)],
}
const chosen = SECTIONS.filter((name) => options.only.includes(name)).map((name) => runs[name])
// Sections mostly wait for ticks, so a quick run does them in parallel. Otherwise they would disturb each other's numbers.
if (options.quick) sections.push(...(await Promise.all(chosen.map((run) => run()))).flat())
else
  for (const run of chosen) {
    const begun = performance.now()
    sections.push(...(await run()))
    say(`  ${Math.round((performance.now() - begun) / 1000)} s`)
  }
if (options.tenMillion) sections.push(await sweepTenMillion())

const { version, stop } = await startPrivateRedis()
await stop()
const text = [header('Results', options.command, version), ...sections.map(sectionText)].join('\n')
await writeText(`${options.out}RESULTS.md`, text.trimEnd())
say(`${Math.round((performance.now() - start) / 1000)} s in total`)
process.exit(0)

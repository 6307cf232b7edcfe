/** Everything that is measured, in one run on private servers: `npm run bench [-- --streams N]`. */
import { mkdir } from 'node:fs/promises'
import { startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { catchUp } from './backlog.ts'
import { barChart } from './chart.ts'
import { compare } from './comparison.ts'
import { measureFootprint } from './footprint.ts'
import { beGentle } from './gentle.ts'
import { readOptions } from './options.ts'
import { keepPace } from './pace.ts'
import { header, type Section, say, sectionText, writeText } from './report.ts'
import { sweepTenMillion } from './ten_million.ts'
import { watchWriters } from './watching.ts'

const options = readOptions()
const start = performance.now()
const sections: Section[] = []
await mkdir(options.out, { recursive: true })

if (options.only.includes('comparison')) {
  const compared = await compare(options)
  sections.push(...compared.sections)
  await writeText(`${options.out}results.svg`, barChart(compared.chart))
}
if (options.only.includes('gentle')) sections.push(await beGentle(options))
if (options.only.includes('backlog')) sections.push(await catchUp(options))
if (options.only.includes('watch')) sections.push(await watchWriters(options))
if (options.only.includes('pace')) sections.push(await keepPace(options))
if (options.only.includes('memory')) sections.push(await measureFootprint(options))
if (options.tenMillion) sections.push(await sweepTenMillion())

const { version, stop } = await startPrivateRedis()
await stop()
const text = [header('Results', options.command, version), ...sections.map(sectionText)].join('\n')
await writeText(`${options.out}RESULTS.md`, text.trimEnd())
say(`${Math.round((performance.now() - start) / 1000)} s in all`)
process.exit(0)

/** Everything that is measured, in one run on private servers: `npm run bench [-- --streams N]`. */
import { mkdir } from 'node:fs/promises'
import { barChart } from './chart.ts'
import { compare } from './comparison.ts'
import { readOptions, SECTIONS } from './options.ts'
import { header, type Section, sectionText, writeText } from './report.ts'

const options = readOptions()
const sections: Section[] = []
let version = ''
await mkdir(options.out, { recursive: true })

for (const section of SECTIONS.filter((name) => options.only.includes(name))) {
  if (section === 'comparison') {
    const compared = await compare(options)
    version = compared.version
    sections.push(...compared.sections)
    await writeText(`${options.out}results.svg`, barChart(compared.chart))
  }
}
const text = [header('Results', options.command, version), ...sections.map(sectionText)].join('\n')
await writeText(`${options.out}RESULTS.md`, text.trimEnd())
process.exit(0)

/** Compares the memory that retention saves on a real Redis with what the design promised: `npm run bench:memory`. */
import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { exitWhenAsked } from '../scripts/stage/undo.ts'
import { barChart, type Row } from './chart.ts'
import { sweepOnce } from './contenders/ours.ts'
import { brief, count, header, say, sectionText, writeText } from './report.ts'

const PER_HOUR = 1000
const CONVERSATIONS = 100
const BYTES = 500
const HOUR_MS = 3_600_000
/** Saved share in per cent that the design promised, by days. */
const CLAIMED: Readonly<Record<string, number>> = { 30: 86, 60: 93, 90: 95 }

const LIMITS = [
  ['length alone', '--max-age', 'off', '--max-length', '1000'],
  ['age alone', '--max-age', '24h', '--max-length', 'off'],
  ['both', '--max-age', '24h', '--max-length', '1000'],
] as const

/** Messages per script call, so that no script runs for long. */
const AT_ONCE = 20_000
const FILL = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id = string.format('%.0f-0', ARGV[3] + i * ARGV[4])
  redis.call('XADD', 'stream:conversation:' .. (i % ARGV[5]), id, 'message', ARGV[6])
end`

exitWhenAsked()
const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '7,30,60,90' },
    out: { type: 'string', default: fileURLToPath(new URL('.', import.meta.url)) },
  },
})
const days = values.days.split(',').map(Number)
const out = `${values.out.replace(/\/$/, '')}/`
await mkdir(out, { recursive: true })

const rows: string[][] = []
const bars: Row[] = []
const verdicts: string[] = []
let version = ''
for (const day of days) {
  const cells: string[] = []
  let before = 0
  for (const [name, ...flags] of LIMITS) {
    const redis = await startPrivateRedis()
    version = redis.version
    await fill(redis, day)
    before = await redis.memory()
    await sweepOnce(redis.url, flags)
    const after = await redis.memory()
    const entries = (await redis.streamLengths()).reduce((sum, length) => sum + length, 0)
    await redis.stop()
    if (cells.length === 0) bars.push({ label: `${day} days, untrimmed`, values: [megabytes(before)] })
    bars.push({ label: name, values: [megabytes(after)], ours: true })
    const saved = (1 - after / before) * 100
    cells.push(`${brief(megabytes(after))} (${saved.toFixed(1)} %)`)
    say(
      `${day} days, ${name}: ${brief(megabytes(before))} MB, then ${brief(megabytes(after))} MB in ${count(entries)} entries, ${saved.toFixed(1)} % saved`,
    )
    const claimed = CLAIMED[day]
    if (claimed !== undefined) {
      // The promise is in whole per cent, so compare whole per cent.
      const met = Math.round(saved) >= claimed ? 'reached' : 'missed'
      verdicts.push(`${day} days, ${name}: ${saved.toFixed(1)} % saved, ${claimed} % promised: ${met}`)
    }
  }
  const claim = CLAIMED[day] === undefined ? '' : `${CLAIMED[day]} %`
  rows.push([String(day), count(day * 24 * PER_HOUR), brief(megabytes(before)), ...cells, claim])
}

const section = {
  title: 'Before and after one sweep',
  text: `${count(PER_HOUR)} messages of ${BYTES} bytes an hour, in ${CONVERSATIONS} conversations. Memory is \`used_memory\` minus that of the empty server, in MB of 1,000,000 bytes. The percentages show how much of it was saved with \`--max-length 1000\` alone, with \`--max-age 24h\` alone, and with both. The promise assumes that each conversation keeps 1,000 messages, rounded to whole per cent. xtrimd removes whole nodes, so each conversation keeps up to seven more.`,
  head: ['days', 'messages', 'untrimmed, MB', ...LIMITS.map(([name]) => `${name}, MB`), 'promised'],
  rows,
  verdicts,
}
const args = process.argv.slice(2)
const command = `npm run bench:memory${args.length > 0 ? ` -- ${args.join(' ')}` : ''}`
await writeText(`${out}MEMORY.md`, `${header('Memory', command, version)}\n${sectionText(section)}`.trimEnd())
const chart = {
  title: 'Memory of the same conversations',
  unit: "Redis's used_memory in MB",
  series: [''],
  rows: bars,
  format: brief,
}
await writeText(`${out}memory.svg`, barChart(chart))
process.exit(0)

/** Writes the messages of the last `day` days, to one conversation after the other. */
async function fill(redis: PrivateRedis, day: number): Promise<void> {
  const messages = day * 24 * PER_HOUR
  const everyMs = HOUR_MS / PER_HOUR
  const firstMs = (await redis.now()) - messages * everyMs
  const message = 'x'.repeat(BYTES)
  for (let from = 1; from <= messages; from += AT_ONCE) {
    const to = Math.min(messages, from + AT_ONCE - 1)
    const range = [from, to, firstMs, everyMs, CONVERSATIONS].map(String)
    await redis.client.eval(FILL, { arguments: [...range, message] })
  }
}

function megabytes(bytes: number): number {
  return bytes / 1_000_000
}

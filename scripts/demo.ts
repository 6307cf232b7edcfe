/**
 * The demo: xtrimd sweeps a month of chat messages in a private Redis, until Ctrl-C. With `--once` it sweeps once; with
 * `--burst` it shows what happens between two sweeps, with `--reap` what pods leave behind that restart, and with `--archive` how
 * entries are archived before they go. Every printed number comes from Redis or from the program.
 */

import { demonstrateBurst } from './stage/burst.ts'
import { CONVERSATIONS, DAYS, keepWriting, MESSAGES_PER_HOUR, makeChat, writeHistory } from './stage/chat.ts'
import { IDLE_CONFIG } from './stage/idle_consumers.ts'
import { demonstrateArchive } from './stage/month_archived.ts'
import { type PrivateRedis, startPrivateRedis } from './stage/private_redis.ts'
import { runDaemon, runSweep, type SweepTally } from './stage/program.ts'
import { demonstrateReaping } from './stage/restarts.ts'
import { type Columns, count, megabytes, quoted, say, sayCells, sayHead } from './stage/say.ts'

const POLICY = ['--match', 'stream:*', '--max-age', '24h', '--max-length', '1000']
const SCHEDULE = ['--cron', '*/5 * * * * *', '--http-bind', '127.0.0.1:0']
/** A test sets fewer. */
const HOURLY = Number(process.env.DEMO_MESSAGES_PER_HOUR || MESSAGES_PER_HOUR)

async function demonstrate(redis: PrivateRedis, once: boolean, interrupted: AbortSignal): Promise<void> {
  say(`A private redis-server ${redis.version} with a month of chat messages: ${DAYS} days,`)
  say(`${count(HOURLY)} messages an hour of about 500 bytes, in ${CONVERSATIONS} conversations and a fan-out.`)
  say()

  const chat = makeChat()
  const service = await redis.connect()
  const began = performance.now()
  const written = await writeHistory(service, chat, await redis.now(), interrupted, HOURLY)
  say(`  written  ${count(written)} entries in ${((performance.now() - began) / 1000).toFixed(1)} s`)
  const before = await measure(redis)
  say(`  before   ${describe(before)}`)
  say()

  const done = new AbortController()
  const over = AbortSignal.any([interrupted, done.signal])
  const publisher = keepWriting(service, chat, over).catch((error) => {
    done.abort()
    throw error
  })
  // Its failure is reported where it is awaited below. Until then it must not count as unhandled.
  publisher.catch(() => {})

  const args = ['--redis-url', redis.url, ...POLICY]
  if (once) {
    say(`$ xtrimd sweep ${quoted(POLICY)}`)
    say()
    sayHead(COLUMNS)
    const tally = await runSweep(args, over)
    sayRow(tally, before, await measure(redis))
    if (tally.result !== 'success') throw new Error(`the sweep did not succeed: ${tally.cause}`)
  } else {
    say(`$ xtrimd run ${quoted(POLICY)} \\`)
    say(`             ${quoted(SCHEDULE)}`)
    say()
    for await (const line of runDaemon([...args, ...SCHEDULE, '--log-format', 'json'], over)) {
      if (line.msg === 'listening') {
        say(`  /metrics is at http://${line.host}:${line.port}/metrics`)
        say('  messages keep arriving until you press Ctrl-C')
        say()
        sayHead(COLUMNS)
      } else if (line.msg === 'sweep') {
        const tally = line as unknown as SweepTally
        sayRow(tally, before, await measure(redis))
        if (tally.cause) say(`  cause: ${tally.cause}`)
      } else if (line.level !== 'info') {
        say(`  ${line.level}: ${line.msg}`)
      }
    }
  }

  done.abort()
  await publisher
  const after = await measure(redis)
  say()
  say(`  before   ${describe(before)}`)
  say(`  after    ${describe(after)}`)
  say(`  saved    ${saved(before, after)} of the entries' memory`)
}

interface Measure {
  readonly streams: number
  readonly entries: number
  readonly longest: number
  readonly bytes: number
}

async function measure(redis: PrivateRedis): Promise<Measure> {
  const lengths = await redis.streamLengths()
  return {
    streams: lengths.length,
    entries: lengths.reduce((sum, length) => sum + length, 0),
    longest: Math.max(0, ...lengths),
    bytes: await redis.memory(),
  }
}

function describe(now: Measure): string {
  const size = `${count(now.entries)} entries in ${now.streams} streams`
  return `${size}, the longest ${count(now.longest)}; ${megabytes(now.bytes)}`
}

const COLUMNS: Columns = [
  ['sweep', -9],
  ['took', 8],
  ['removed: age', 14],
  ['length', 9],
  ['left', 9],
  ['longest', 9],
  ['memory', 10],
  ['saved', 8],
]

function sayRow(tally: SweepTally, before: Measure, now: Measure): void {
  sayCells(COLUMNS, [
    tally.result,
    `${tally.durationSeconds.toFixed(2)} s`,
    count(tally.removed.age),
    count(tally.removed.length),
    count(now.entries),
    count(now.longest),
    megabytes(now.bytes),
    saved(before, now),
  ])
}

function saved(before: Measure, now: Measure): string {
  return `${((1 - now.bytes / before.bytes) * 100).toFixed(1)} %`
}

const [flag, ...more] = process.argv.slice(2)
if (more.length > 0 || (flag !== undefined && !['--once', '--burst', '--reap', '--archive'].includes(flag))) {
  process.stderr.write('usage: scripts/demo [--once | --burst | --reap | --archive]\n')
  process.exit(2)
}

// The reader of the output has gone, as in `scripts/demo | head`.
process.stdout.on('error', () => process.exit(1))

const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    // A second signal ends the demo at once; what it started is still cleaned up.
    if (stopping.signal.aborted) process.exit(130)
    stopping.abort()
  })
}

const endsByItself = flag !== undefined
let exitCode = 0
try {
  // Only RESTORE can make consumers look idle for a month, and it needs DEBUG.
  const settings = flag === '--reap' ? Object.entries(IDLE_CONFIG).flatMap(([name, value]) => [`--${name}`, value]) : []
  const redis = await startPrivateRedis(settings)
  try {
    if (flag === '--burst') await demonstrateBurst(redis, stopping.signal)
    else if (flag === '--reap') await demonstrateReaping(redis, stopping.signal)
    else if (flag === '--archive') await demonstrateArchive(redis, stopping.signal)
    else await demonstrate(redis, flag === '--once', stopping.signal)
  } finally {
    await redis.stop()
  }
} catch (error) {
  if (stopping.signal.aborted) {
    // Ctrl-C is the normal end of the demo, unless it would have ended by itself.
    exitCode = endsByItself ? 130 : 0
  } else {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`)
    exitCode = 1
  }
}
process.exit(exitCode)

/** What happens between two sweeps: a burst of writes, and a Redis that fills up, each without and with xtrimd's help. */

import { setTimeout as pause } from 'node:timers/promises'
import type { PrivateRedis } from './private_redis.ts'
import { type LogLine, runDaemon } from './program.ts'
import type { Client } from './redis_client.ts'
import { type Columns, count, megabytes, quoted, say, sayCells, sayHead } from './say.ts'

const WRITERS = 20
/** Few enough that each stream far exceeds its limit even on a slow machine. */
const STREAMS = 50
/** Entries that a writer sends at once. */
const LOT = 20
const MAX_MEMORY_MB = 64

/** So that the only sweep is the one at start, whatever the time of day. */
const HALF_AN_HOUR_LATER = (new Date().getUTCMinutes() + 30) % 60
const HOURLY = ['--cron', `${HALF_AN_HOUR_LATER} * * * *`, '--max-length', '1000']
const WATCH = ['--watch', '--watch-configure', '--watch-every', '100']
const PRESSURE = ['--pressure', '70%', '--pressure-max-length', '50', '--pressure-interval', '1s']

const COLUMNS: Columns = [
  ['second', -8],
  ['written', 12],
  ['refused', 10],
  ['longest', 10],
  ['memory', 11],
]

interface Burst {
  readonly message: string
  readonly seconds: number
  /** A writer starts a new lot at most this often. */
  readonly everyMs: number
}

const FULL_SPEED: Burst = { message: 'x'.repeat(100), seconds: 6, everyMs: 0 }
/** Large messages fill this Redis in about five seconds, although the writers pause. */
const FILLING: Burst = { message: 'x'.repeat(2_000), seconds: 8, everyMs: 60 }

/** @throws the signal's reason when it is aborted */
export async function demonstrateBurst(redis: PrivateRedis, interrupted: AbortSignal): Promise<void> {
  say(`A private redis-server ${redis.version}, ${WRITERS} writers at full speed into ${STREAMS} streams,`)
  say('and half an hour until the next sweep. First without --watch. Then with --watch,')
  say('which caps a stream after every hundred writes to it.')
  await scene(redis, [], FULL_SPEED, interrupted)
  await scene(redis, WATCH, FULL_SPEED, interrupted)
  say()
  say(`Now a Redis of ${MAX_MEMORY_MB} MB that evicts nothing, and larger messages: it fills up`)
  say('and refuses writes. With --pressure, xtrimd sweeps in time.')
  await redis.client.configSet({ maxmemory: `${MAX_MEMORY_MB}mb`, 'maxmemory-policy': 'noeviction' })
  await scene(redis, [], FILLING, interrupted)
  await scene(redis, PRESSURE, FILLING, interrupted)
}

/** Runs the daemon while the writers write. */
async function scene(
  redis: PrivateRedis,
  flags: readonly string[],
  writing: Burst,
  interrupted: AbortSignal,
): Promise<void> {
  await redis.client.flushAll()
  const args = [...HOURLY, ...flags]
  say()
  say(`$ xtrimd run ${quoted(HOURLY)}${flags.length > 0 ? ' \\' : ''}`)
  if (flags.length > 0) say(`             ${quoted(flags)}`)
  say()
  const done = new AbortController()
  const over = AbortSignal.any([interrupted, done.signal])
  const seen = Promise.withResolvers<void>()
  const isReady = flags.includes('--watch') ? 'watching' : 'sweep'
  const daemon = follow(['--redis-url', redis.url, '--http-bind', '127.0.0.1:0', ...args], over, ({ msg, ...line }) => {
    if (msg === isReady) seen.resolve()
    if (msg === 'sweep' && line.trigger === 'pressure') say(`  under pressure: ${removedBy(line)} entries removed`)
  })
  daemon.catch(seen.reject)
  try {
    await seen.promise
    await burst(redis, writing, over)
  } finally {
    done.abort()
    await daemon
  }
  interrupted.throwIfAborted()
}

async function follow(args: readonly string[], over: AbortSignal, tell: (line: LogLine) => void): Promise<void> {
  for await (const line of runDaemon([...args, '--log-format', 'json'], over)) tell(line)
}

function removedBy(line: Record<string, unknown>): string {
  const { age, length, bytes } = line.removed as { age: number; length: number; bytes: number }
  return count(age + length + bytes)
}

/** Writes for some seconds and prints a line for each second. */
async function burst(redis: PrivateRedis, writing: Burst, over: AbortSignal): Promise<void> {
  const told = { written: 0, refused: 0 }
  const end = new AbortController()
  const stop = AbortSignal.any([over, end.signal])
  const clients = await Promise.all(Array.from({ length: WRITERS }, () => redis.connect()))
  const writers = clients.map((client) => write(client, writing, told, stop))
  sayHead(COLUMNS)
  for (let second = 1; second <= writing.seconds && !over.aborted; second++) {
    await pause(1_000)
    const longest = Math.max(0, ...(await redis.streamLengths()))
    const figures = [count(told.written), count(told.refused), count(longest), megabytes(await redis.memory())]
    sayCells(COLUMNS, [String(second), ...figures])
  }
  end.abort()
  await Promise.all(writers)
  for (const client of clients) client.destroy()
}

async function write(
  client: Client,
  { message, everyMs }: Burst,
  told: { written: number; refused: number },
  stop: AbortSignal,
): Promise<void> {
  while (!stop.aborted) {
    const rest = pause(everyMs)
    const lot = Array.from({ length: LOT }, () => {
      const key = `stream:conversation:${Math.floor(Math.random() * STREAMS)}`
      return client.sendCommand(['XADD', key, '*', 'message', message]).then(
        () => told.written++,
        () => told.refused++,
      )
    })
    await Promise.all(lot)
    if (everyMs > 0) await rest
  }
}

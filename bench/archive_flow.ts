/** Measures the memory of a daemon that archives, by how much is written. */
import { randomBytes } from 'node:crypto'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { FASTEST, MAIN, startDaemon } from './daemon.ts'
import { bundle, temporaryFolder } from './image.ts'
import { keyOf } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'

const STREAMS = 100
const ENTRY_BYTES = 1000
const MAX_LENGTH = 100
/** Texts of random characters are compressed to about three quarters. Together they exceed what zstd remembers. */
const TEXTS = 2000
const TICKS_PER_SECOND = 20
const GOAL_PERCENT = 10

/** Adds entries to streams in turn, numbered from the first to the last. Each stream gets all texts in turn. */
const WRITE = `
local texts = redis.call('LRANGE', 'texts', 0, -1)
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local text = texts[1 + (n % #KEYS * 131 + math.floor(n / #KEYS) * 7) % #texts]
  redis.call('XADD', KEYS[1 + n % #KEYS], '*', 'text', text)
end`

export async function archiveFlow({ archivedPerSecond, archivedSeconds, quick }: Options): Promise<Section> {
  say(`\nArchiving while others write`)
  const image = quick ? { main: MAIN } : await bundle()
  const rows: string[][] = []
  const peaks: number[] = []
  for (const bytesPerSecond of archivedPerSecond) {
    const redis = await startPrivateRedis()
    const texts = Array.from({ length: TEXTS }, () => randomBytes((ENTRY_BYTES * 3) / 4).toString('base64'))
    await redis.client.rPush('texts', texts)
    const folder = temporaryFolder()
    // Seldom enough that at each rate segments get their full size.
    const cron = quick ? [] : ['--cron', '*/10 * * * * *']
    const flags = [...cron, '--max-length', String(MAX_LENGTH), '--archive', `file://${folder}`, ...FASTEST]
    const daemon = await startDaemon(redis.url, { ...image, flags })
    const written = await write(redis, bytesPerSecond, archivedSeconds)
    // The sweep that runs now may have begun before the last write.
    for (let sweep = 0; sweep < 2; sweep++) await daemon.nextSweep()
    const left = (await redis.streamLengths()).reduce((a, b) => a + b, 0)
    if (left > STREAMS * 2 * MAX_LENGTH) throw new Error(`the sweeps left ${left} entries`)
    const peakMb = daemon.status('VmHWM') / 1024
    const sizes = segmentSizes(folder)
    peaks.push(peakMb)
    rows.push([
      brief(bytesPerSecond / 1e6),
      brief((written * ENTRY_BYTES) / 1e6),
      count(sizes.length),
      brief(sizes.reduce((a, b) => a + b, 0) / 1e6),
      brief(daemon.status('VmRSS') / 1024),
      brief(peakMb),
    ])
    say(`  ${rows.at(-1)?.join('  ')}`)
    await daemon.stop()
    await redis.stop()
    rmSync(folder, { recursive: true })
  }
  // At the lowest rate hardly a segment gets its full size, so that row is left out.
  const [lower = Number.NaN, higher = Number.NaN] = peaks.slice(-2)
  const verdicts = [
    `peak ${brief(Math.max(...peaks))} MB (goal: less than the 256 MiB of the manifests); at ten times the rate it is ${brief((higher / lower - 1) * 100)} % higher (goal ${GOAL_PERCENT} %)`,
  ]
  for (const verdict of verdicts) say(`  ${verdict}`)
  return {
    title: 'Archiving: memory',
    text: `For ${archivedSeconds} s, entries of ${count(ENTRY_BYTES)} bytes are written to ${STREAMS} streams, of which a daemon keeps ${MAX_LENGTH} each and archives the others, with ${FASTEST.join(' ')} and a sweep every 10 seconds. It runs from the image's bundle with the image's Node options and environment. A new daemon for each row.`,
    head: ['written, MB a second', 'written, MB', 'segments', 'archived, MB', 'RSS, MB', 'peak RSS, MB'],
    rows,
    verdicts,
  }
}

/** Writes for so many seconds, or as long as it takes. @returns how many entries */
async function write({ client }: PrivateRedis, bytesPerSecond: number, seconds: number): Promise<number> {
  const keys = Array.from({ length: STREAMS }, (_, i) => keyOf(i + 1))
  const each = Math.max(1, Math.round(bytesPerSecond / ENTRY_BYTES / TICKS_PER_SECOND))
  const start = performance.now()
  const ticks = seconds * TICKS_PER_SECOND
  for (let tick = 0; tick < ticks; tick++) {
    await client.eval(WRITE, { keys, arguments: [String(tick * each), String((tick + 1) * each - 1)] })
    await pause(Math.max(0, start + ((tick + 1) * 1000) / TICKS_PER_SECOND - performance.now()))
  }
  return ticks * each
}

function segmentSizes(folder: string): number[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.zst')).map((name) => statSync(join(folder, name)).size)
}

/** Ways to hold every stream of a keyspace to a policy of a day and a thousand entries. Each answers seconds per million streams. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { PrivateRedis } from '../scripts/stage/private_redis.ts'
import { keyOf } from './keyspace.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const DAY_MS = 86_400_000
const MAX_LENGTH = 1000

/** One way, timed over `streams` streams. @returns milliseconds */
export type Contender = (redis: PrivateRedis, streams: number) => Promise<number>

/** The program itself, as it is typed; its own measure of the sweep, so that starting it does not count. */
export function xtrimd(...flags: readonly string[]): Contender {
  return async (redis) => {
    const args = [MAIN, 'sweep', '--output', 'json', '--redis-url', redis.url, ...flags]
    const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 26 })
    const report = JSON.parse(stdout) as { result: string; durationSeconds: number }
    if (report.result !== 'success') throw new Error(`the sweep was no success: ${stdout.slice(0, 300)}`)
    return report.durationSeconds * 1000
  }
}

/** The limit: a pass of SCAN, and Redis's own time for the three commands of every stream, sent from a file by redis-cli. */
export const theLimit: Contender = async (redis, streams) => {
  const path = join(tmpdir(), `xtrimd-bench-${process.pid}`)
  const file = createWriteStream(path)
  const minId = String((await redis.now()) - DAY_MS)
  for (let s = 1; s <= streams; s++) {
    const key = keyOf(s)
    const commands = [
      ['XTRIM', key, 'MINID', '~', minId],
      ['XTRIM', key, 'MAXLEN', '~', String(MAX_LENGTH)],
      ['XLEN', key],
    ]
    if (!file.write(commands.map(encoded).join(''))) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
  try {
    const start = performance.now()
    await scanAll(redis)
    const cli = spawn('redis-cli', ['-s', redis.url.replace('unix://', ''), '--pipe'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    createReadStream(path).pipe(cli.stdin)
    const [code] = (await once(cli, 'exit')) as [number]
    if (code !== 0) throw new Error('redis-cli --pipe failed')
    return performance.now() - start
  } finally {
    await rm(path, { force: true })
  }
}

/**
 * Pages of 500 keys, four in flight, plain: what of each stream is asked is the contender. Beside each other they tell what
 * it costs to read the oldest entry, which tells whether a stream's IDs are times, in place of a blind XTRIM.
 */
export function pages(commandOf: (key: string, minId: string) => readonly string[]): Contender {
  return async (redis) => {
    const minId = String((await redis.now()) - DAY_MS)
    const inFlight = new Set<Promise<unknown>>()
    const start = performance.now()
    let cursor = '0'
    do {
      const page = await redis.client.scan(cursor, { MATCH: 'stream:conversation:*', COUNT: 500, TYPE: 'stream' })
      cursor = page.cursor
      const commands = page.keys.flatMap((key) => [commandOf(key, minId), ['XLEN', key]])
      const asked: Promise<unknown> = Promise.all(commands.map((command) => redis.client.sendCommand(command)))
      void asked.then(() => inFlight.delete(asked))
      inFlight.add(asked)
      if (inFlight.size >= 4) await Promise.race(inFlight)
    } while (cursor !== '0')
    await Promise.all(inFlight)
    return performance.now() - start
  }
}

/** What most people write first: each command awaited. On a sample, told for all. */
export const awaitedLoop: Contender = async (redis, streams) => {
  const sample = Math.min(streams, 5_000)
  const minId = (await redis.now()) - DAY_MS
  const start = performance.now()
  for (let s = 1; s <= sample; s++) {
    await redis.client.xTrim(keyOf(s), 'MINID', minId, { strategyModifier: '~' })
    await redis.client.xTrim(keyOf(s), 'MAXLEN', MAX_LENGTH, { strategyModifier: '~' })
    await redis.client.xLen(keyOf(s))
  }
  return ((performance.now() - start) * streams) / sample
}

/** One script that does it all while Redis serves nobody else. */
export const blockingScript: Contender = async (redis) => {
  const script = `
    local cursor = '0'
    repeat
      local page = redis.call('SCAN', cursor, 'MATCH', 'stream:conversation:*', 'COUNT', 500, 'TYPE', 'stream')
      cursor = page[1]
      for _, key in ipairs(page[2]) do
        redis.call('XTRIM', key, 'MINID', '~', ARGV[1])
        redis.call('XTRIM', key, 'MAXLEN', '~', ARGV[2])
        redis.call('XLEN', key)
      end
    until cursor == '0'`
  const minId = (await redis.now()) - DAY_MS
  const start = performance.now()
  await redis.client.eval(script, { arguments: [String(minId), String(MAX_LENGTH)] })
  return performance.now() - start
}

async function scanAll({ client }: PrivateRedis): Promise<void> {
  let cursor = '0'
  do {
    const page = await client.scan(cursor, { MATCH: 'stream:conversation:*', COUNT: 500, TYPE: 'stream' })
    cursor = page.cursor
  } while (cursor !== '0')
}

function encoded(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
}

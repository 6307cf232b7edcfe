/** The limit: one SCAN, then three commands for every stream, sent from a file by redis-cli. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, createWriteStream, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PrivateRedis } from '../../scripts/stage/private_redis.ts'
import { keyOf, MATCH, MAX_LENGTH } from '../keyspace.ts'
import { type Contender, minId, socketOf, timed } from './contender.ts'

/** Keys in the order of creation, which is roughly their order in memory. */
export const theLimit = limit(
  'the limit: SCAN, then XTRIM MINID, XTRIM MAXLEN, XLEN by redis-cli --pipe',
  (_, streams) => Promise.resolve(Array.from({ length: streams }, (_, i) => keyOf(i + 1))),
)

/** SCAN returns keys in hash order, so Redis misses the CPU cache for each of them. */
export const theLimitInScanOrder = limit('the same, keys in the order of SCAN', scanAll)

function limit(name: string, keysOf: (redis: PrivateRedis, streams: number) => Promise<readonly string[]>): Contender {
  return {
    name,
    async run(redis, streams) {
      const path = join(tmpdir(), `xtrimd-bench-${process.pid}`)
      try {
        await prepare(path, await minId(redis), await keysOf(redis, streams))
        return await timed(async () => {
          await scanAll(redis)
          const file = openSync(path, 'r')
          const cli = spawn('redis-cli', ['-s', socketOf(redis), '--pipe'], { stdio: [file, 'ignore', 'inherit'] })
          const [code] = (await once(cli, 'exit')) as [number]
          closeSync(file)
          if (code !== 0) throw new Error('redis-cli --pipe failed')
        })
      } finally {
        await rm(path, { force: true })
      }
    },
  }
}

async function prepare(path: string, oldest: string, keys: readonly string[]): Promise<void> {
  const file = createWriteStream(path)
  for (const key of keys) {
    const commands = [
      ['XTRIM', key, 'MINID', '~', oldest],
      ['XTRIM', key, 'MAXLEN', '~', String(MAX_LENGTH)],
      ['XLEN', key],
    ]
    if (!file.write(commands.map(encoded).join(''))) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
}

async function scanAll({ client }: PrivateRedis): Promise<string[]> {
  const keys: string[] = []
  let cursor = '0'
  do {
    const page = await client.scan(cursor, { MATCH, COUNT: 500, TYPE: 'stream' })
    keys.push(...page.keys)
    cursor = page.cursor
  } while (cursor !== '0')
  return keys
}

function encoded(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
}

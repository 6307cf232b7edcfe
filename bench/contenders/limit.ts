/** The limit: a pass of SCAN, and Redis's own time for three commands for every stream, sent from a file by redis-cli. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PrivateRedis } from '../../scripts/stage/private_redis.ts'
import { keyOf, MATCH, MAX_LENGTH } from '../keyspace.ts'
import { type Contender, minId, socketOf, timed } from './contender.ts'

export const theLimit: Contender = {
  name: 'the limit: SCAN, then XTRIM MINID, XTRIM MAXLEN, XLEN by redis-cli --pipe',
  async run(redis, streams) {
    const path = join(tmpdir(), `xtrimd-bench-${process.pid}`)
    try {
      await prepare(path, await minId(redis), streams)
      return await timed(async () => {
        await scanAll(redis)
        const file = openSync(path, 'r')
        const cli = spawn('redis-cli', ['-s', socketOf(redis), '--pipe'], { stdio: [file, 'ignore', 'inherit'] })
        const [code] = (await once(cli, 'exit')) as [number]
        if (code !== 0) throw new Error('redis-cli --pipe failed')
      })
    } finally {
      await rm(path, { force: true })
    }
  },
}

async function prepare(path: string, oldest: string, streams: number): Promise<void> {
  const file = createWriteStream(path)
  for (let s = 1; s <= streams; s++) {
    const key = keyOf(s)
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

async function scanAll({ client }: PrivateRedis): Promise<void> {
  let cursor = '0'
  do {
    const page = await client.scan(cursor, { MATCH, COUNT: 500, TYPE: 'stream' })
    cursor = page.cursor
  } while (cursor !== '0')
}

function encoded(command: readonly string[]): string {
  return `*${command.length}\r\n${command.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`
}

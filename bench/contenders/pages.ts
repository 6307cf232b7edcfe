/** Sends pages of 500 keys as one pipeline each and awaits it, as careful scripts with the usual libraries do. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { MATCH, MAX_LENGTH } from '../keyspace.ts'
import { type Contender, minId, socketOf, timed } from './contender.ts'

const run = promisify(execFile)
const PYTHON = '/usr/bin/python3'
const PAGES_PY = fileURLToPath(new URL('pages.py', import.meta.url))

export const ioredisPages: Contender = {
  name: 'pages pipelined with ioredis',
  async run(redis) {
    const oldest = await minId(redis)
    const client = new Redis({ path: socketOf(redis) })
    // Do not measure loading and connecting.
    await client.ping()
    try {
      return await timed(async () => {
        let cursor = '0'
        do {
          const [next, keys] = await client.scan(cursor, 'MATCH', MATCH, 'COUNT', 500, 'TYPE', 'stream')
          cursor = next
          const pipeline = client.pipeline()
          for (const key of keys) {
            pipeline.xtrim(key, 'MINID', '~', oldest)
            pipeline.xtrim(key, 'MAXLEN', '~', MAX_LENGTH)
            pipeline.xlen(key)
          }
          await pipeline.exec()
        } while (cursor !== '0')
      })
    } finally {
      client.disconnect()
    }
  },
}

export const redisPyPages: Contender = {
  name: 'pages pipelined with redis-py',
  missing: () =>
    run(PYTHON, ['-c', 'import redis']).then(
      () => null,
      () => 'python3-redis',
    ),
  async run(redis) {
    const args = [PAGES_PY, socketOf(redis), MATCH, await minId(redis), String(MAX_LENGTH)]
    const { stdout } = await run(PYTHON, args)
    return { ms: Number(stdout) }
  },
}

/** What most people write first: one command after another. The loops run on samples, because they are slow. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { keyOf, MATCH, MAX_LENGTH } from '../keyspace.ts'
import { type Contender, minId, socketOf, timed } from './contender.ts'

export function shellLoop(sample: number): Contender {
  return {
    name: 'shell loop of redis-cli',
    sample,
    async run(redis, streams) {
      const loop = `for s in $(seq 1 ${streams}); do
        redis-cli -s "$1" XTRIM stream:conversation:$s MINID '~' "$2"
        redis-cli -s "$1" XTRIM stream:conversation:$s MAXLEN '~' ${MAX_LENGTH}
        redis-cli -s "$1" XLEN stream:conversation:$s
      done`
      const args = ['-c', loop, 'sh', socketOf(redis), await minId(redis)]
      return timed(() => promisify(execFile)('sh', args))
    },
  }
}

export function awaitedLoop(sample: number): Contender {
  return {
    name: 'node-redis, each command awaited',
    sample,
    async run(redis, streams) {
      const oldest = Number(await minId(redis))
      return timed(async () => {
        for (let s = 1; s <= streams; s++) {
          await redis.client.xTrim(keyOf(s), 'MINID', oldest, { strategyModifier: '~' })
          await redis.client.xTrim(keyOf(s), 'MAXLEN', MAX_LENGTH, { strategyModifier: '~' })
          await redis.client.xLen(keyOf(s))
        }
      })
    },
  }
}

export const SWEEPING_SCRIPT = `
  local cursor = '0'
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', '${MATCH}', 'COUNT', 500, 'TYPE', 'stream')
    cursor = page[1]
    for _, key in ipairs(page[2]) do
      redis.call('XTRIM', key, 'MINID', '~', ARGV[1])
      redis.call('XTRIM', key, 'MAXLEN', '~', ${MAX_LENGTH})
      redis.call('XLEN', key)
    end
  until cursor == '0'`

/** One script for everything. Redis serves nobody else until it ends. */
export const blockingScript: Contender = {
  name: 'one blocking Lua script',
  async run(redis) {
    const oldest = await minId(redis)
    return timed(() => redis.client.eval(SWEEPING_SCRIPT, { arguments: [oldest] }))
  },
}

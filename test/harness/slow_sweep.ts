/** A sweep that takes many seconds, so that a test can meet it in the middle. */

import type { TestContext } from 'node:test'
import type { RedisServer } from './redis_server.ts'
import { fillStream, redisNow } from './streams.ts'
import { startProxy, type TcpProxy } from './tcp_proxy.ts'

const STREAMS = 200
/** How far each stream is beyond the default length limit: two nodes. */
const SURPLUS = 200
const LENGTH_LIMIT = 1_000

const HOUR = 3_600_000

export interface SlowSweep {
  /** Where Redis answers late. */
  readonly proxy: TcpProxy
  /** What the program is to be told, so that it takes its time. */
  readonly args: readonly string[]
  /** How many entries a whole sweep removes. */
  readonly surplus: number
  /** How many entries have disappeared from Redis so far. */
  gone(): Promise<number>
}

/** Fills 200 streams. A page holds few keys and each of its replies is 40 ms late: a whole sweep takes over 8 s. */
export async function prepareSlowSweep(t: TestContext, redis: RedisServer): Promise<SlowSweep> {
  const keys = Array.from({ length: STREAMS }, (_, stream) => `stream:conversation:${stream}`)
  const from = (await redisNow(redis)) - HOUR
  for (const key of keys) await fillStream(redis, key, { count: LENGTH_LIMIT + SURPLUS, from, stepMs: 1, bytes: 10 })
  const proxy = await startProxy(t, redis.port)
  proxy.delay(40)
  return {
    proxy,
    args: ['--redis-url', proxy.url, '--page-size', '4'],
    surplus: STREAMS * SURPLUS,
    async gone() {
      const lengths = await Promise.all(keys.map((key) => redis.command('XLEN', key).then(Number)))
      return lengths.reduce((sum, length) => sum + LENGTH_LIMIT + SURPLUS - length, 0)
    },
  }
}

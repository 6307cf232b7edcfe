/** A sweep of many seconds, so that a test can act in the middle of it. */

import type { TestContext } from 'node:test'
import { fillOverlong, goneFrom, SURPLUS } from './overlong_streams.ts'
import type { RedisServer } from './redis_server.ts'
import { startProxy, type TcpProxy } from './tcp_proxy.ts'

const STREAMS = 200

export interface SlowSweep {
  /** Delays the replies of Redis. */
  readonly proxy: TcpProxy
  /** Arguments that make the sweep slow. */
  readonly args: readonly string[]
  /** How many entries a whole sweep removes. */
  readonly surplus: number
  /** How many entries have been removed so far. */
  gone(): Promise<number>
}

/** Fills 200 streams. With small pages and each reply 40 ms late, a whole sweep takes over 8 s. */
export async function prepareSlowSweep(t: TestContext, redis: RedisServer): Promise<SlowSweep> {
  const keys = Array.from({ length: STREAMS }, (_, stream) => `stream:conversation:${stream}`)
  await fillOverlong(redis, keys)
  const proxy = await startProxy(t, redis.port)
  proxy.delay(40)
  return {
    proxy,
    args: ['--redis-url', proxy.url, '--page-size', '4'],
    surplus: STREAMS * SURPLUS,
    gone: () => goneFrom(redis, keys),
  }
}

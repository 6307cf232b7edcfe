/** A walk that ends early finishes and counts the pages in flight before the sweep is reported. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fillOverlong, goneFrom, SURPLUS } from '../harness/overlong_streams.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { sweepHere } from '../harness/sweep_here.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const STREAMS = 100
/** Every tenth stream has a backlog of several bites, so that its page takes longer than the others. */
const EVERY = 10
const BACKLOG = 40_000

test('if SCAN is refused in the middle of a sweep, every removed entry is counted', async (t) => {
  const redis = await startRedis(t)
  const keys = Array.from({ length: STREAMS }, (_, stream) => `stream:conversation:${stream}`)
  await fillOverlong(redis, keys)
  const from = await redisNow(redis)
  const long = keys.filter((_, stream) => stream % EVERY === 0)
  for (const key of long) await fillStream(redis, key, { count: BACKLOG, from, stepMs: 0, bytes: 10 })
  // Streams with a group are trimmed alone, with a round trip for each look and bite.
  for (const key of keys) await redis.command('XGROUP', 'CREATE', key, 'readers', '$')
  const proxy = await startProxy(t, redis.port)
  proxy.hold('XTRIM', 2)
  const sweeping = sweepHere(proxy.url, ['--page-size', '20'])
  await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'the middle of a sweep' })
  await redis.command('ACL', 'SETUSER', 'default', '-scan')
  // Earlier commands are answered late, so that SCAN is refused while pages are in flight.
  proxy.delay(20)
  const { result, cause, total } = await sweeping
  const gone = (await goneFrom(redis, keys)) + long.length * BACKLOG
  assert.deepEqual([result, cause], ['failed', 'NOPERM'])
  assert.ok(gone > 0 && gone < STREAMS * SURPLUS + long.length * BACKLOG, `${gone} entries are gone`)
  assert.equal(total.removed.length, gone)
})

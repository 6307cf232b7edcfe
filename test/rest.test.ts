/** What a daemon takes of memory while it has nothing to do. */

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { HARDLY_EVER, startDaemon } from './harness/program.ts'
import { startRedis } from './harness/redis_server.ts'
import { fillStream } from './harness/streams.ts'
import { waitUntil } from './harness/waiting.ts'

suite('a daemon at rest', { concurrency: 2 }, () => {
  for (const [when, more] of [
    ['it has started', ['--run-on-start=false']],
    ['a sweep has ended', []],
  ] as const) {
    test(`where Node lets it, it gives back what it needs no more, when ${when}`, async (t) => {
      const redis = await startRedis(t)
      await fillStream(redis, 'stream:conversation:1', { count: 10, from: 1, stepMs: 1, bytes: 10 })
      const args = ['--redis-url', redis.url, ...HARDLY_EVER, '--lease=false', ...more]
      const [able, control] = await Promise.all(
        ['--expose-gc', ''].map((options) => startDaemon(t, args, { env: { NODE_OPTIONS: options } })),
      )
      assert.ok(able && control)
      await Promise.all([able, control].map((daemon) => daemon.waitForLog(more.length > 0 ? 'listening' : 'sweep')))
      // Some ten of a hundred MB and more; the control has them still.
      const less = async () => (await control.rssBytes()) - (await able.rssBytes())
      await waitUntil(async () => (await less()) > 6e6, { timeoutMs: 60_000, what: 'memory to be given back' })
      for (const daemon of [able, control]) assert.equal((await daemon.get('/healthz')).status, 200)
    })
  }
})

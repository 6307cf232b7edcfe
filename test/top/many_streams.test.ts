/** `top` on 100,000 streams. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../harness/redis_server.ts'
import { topWell } from '../harness/top_here.ts'

const STREAMS = 100_000
const MAKE = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  for _ = 1, i % 3 + 1 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'a', 'b') end
end`

test('100,000 streams: the first screen takes less than 5 seconds, and one that grows is first after one interval', async (t) => {
  const redis = await startRedis(t, { config: { 'stream-node-max-bytes': '256' } })
  for (let i = 0; i < STREAMS; i += 10_000) await redis.command('EVAL', MAKE, '0', String(i), String(i + 9_999))
  const start = performance.now()
  const shown = await topWell(redis.url, ['--interval', '100ms'])
  const seconds = (performance.now() - start) / 1000
  assert.equal(shown.streams.length, 20)
  assert.ok(seconds < 5, `${seconds} s`)

  const writer = setInterval(() => {
    redis.command('XADD', 'stream:conversation:77777', '*', 'a', 'b').catch(() => {})
  }, 20)
  t.after(() => clearInterval(writer))
  const growing = await topWell(redis.url, ['--sort', 'growth', '--interval', '500ms'])
  assert.equal(growing.streams[0]?.stream, 'stream:conversation:77777')
  assert.ok((growing.streams[0]?.entriesPerSecond ?? 0) > 5)
})

/** Streams that grow faster than they can be trimmed. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { sweepWhole } from '../harness/sweep_here.ts'
import { waitUntil } from '../harness/waiting.ts'

const KEY = 'stream:conversation:1'

test('a sweep ends successfully even if producers add to a stream faster than the sweep trims it', {
  timeout: 300_000,
}, async (t) => {
  const redis = await startRedis(t)
  await startStorm(t, redis)
  const length = async (): Promise<number> => Number(await redis.command('XLEN', KEY))
  for (const limits of [
    ['--max-length', '100'],
    ['--max-length', '100', '--trim', 'exact'],
    ['--max-length', 'off', '--max-bytes', '8kb'],
  ]) {
    await redis.command('UNLINK', KEY)
    await waitUntil(async () => (await length()) > 5_000, { timeoutMs: 60_000, what: 'a backlog' })
    const { removed } = await sweepWhole(redis.url, limits)
    assert.ok(removed.length + removed.bytes > 1_000)
    const left = await length()
    await waitUntil(async () => (await length()) > left, { timeoutMs: 60_000, what: 'the producers to continue' })
  }
})

/** Adds small entries until the test ends, the next thousand before the previous one is answered. */
async function startStorm(t: TestContext, redis: RedisServer): Promise<void> {
  const thousand = Buffer.from(`XADD ${KEY} * a b\r\n`.repeat(1_000))
  const sockets = Array.from({ length: 3 }, () => connect(redis.port, '127.0.0.1'))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) {
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(thousand)
    // Replies are only counted, by their size: each has at least 20 bytes.
    let answered = 0
    socket.on('data', (replies) => {
      answered += replies.length
      if (answered < 10_000) return
      answered = 0
      socket.write(thousand)
    })
  }
}

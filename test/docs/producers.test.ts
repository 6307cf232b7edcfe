/** The recipes of docs/producers.md, with the settings that the page names, tried with the real libraries. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createClient } from '@redis/client'
import { createAdapter } from '@socket.io/redis-streams-adapter'
import { Queue, QueueEvents, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'
import { io, type Socket } from 'socket.io-client'
import { readPage } from '../harness/documents.ts'
import { EVERY_SECOND, runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'

const PAGE = readPage('docs/producers.md')
const HOUR = 3_600_000

/** The arguments in the page's block below a heading. */
function settingsOf(heading: string): string[] {
  const [, behind = ''] = PAGE.split(`\n## ${heading}\n`)
  const [, block = ''] = /^```\n([\s\S]*?)^```$/m.exec(behind.split('\n## ')[0] ?? '') ?? []
  const words = Array.from(block.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, plain]) => quoted ?? plain ?? '')
  assert.ok(words.length > 0, `${heading} has a block with settings`)
  return words
}

async function sweep(redis: RedisServer, settings: readonly string[]): Promise<Record<string, number>> {
  const { code, stdout } = await runXtrimd(['sweep', '--output', 'json', '--redis-url', redis.url, ...settings])
  assert.equal(code, 0, stdout)
  return JSON.parse(stdout).removed
}

/** Adds entries that were written so long ago. */
async function addOld(redis: RedisServer, key: string, count: number, hours: number): Promise<void> {
  const from = Date.now() - hours * HOUR
  await Promise.all(Array.from({ length: count }, (_, i) => redis.command('XADD', key, `${from + i}-0`, 'n', `${i}`)))
}

/**
 * A server of socket.io and a client that has received one message and then lost its connection. `comeBack` connects it again
 * after 100 messages that it missed, and tells whether socket.io restored the session, and how many of them came.
 */
async function lostConnection(redis: RedisServer) {
  const client = new Redis(redis.port)
  const http = createServer()
  const server = new Server(http, {
    adapter: createAdapter(client, { maxLen: 1_000_000 }),
    connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  const { port } = http.address() as { port: number }
  const socket: Socket = io(`http://127.0.0.1:${port}`, { reconnection: false, transports: ['websocket'] })
  const event = (name: 'connect' | 'disconnect') => new Promise((resolve) => socket.once(name, resolve))
  await event('connect')
  const received = { first: 0, missed: 0 }
  socket.on('message', (kind: keyof typeof received) => received[kind]++)
  // The adapter reads only what comes after it has begun to read.
  await waitUntil(
    () => {
      server.emit('message', 'first')
      return received.first > 0
    },
    { timeoutMs: 30_000, what: 'the first message', everyMs: 100 },
  )
  const gone = event('disconnect')
  socket.io.engine.close()
  await gone
  await waitUntil(async () => ((await redis.command('KEYS', 'sio:session:*')) as string[]).length === 1, {
    timeoutMs: 30_000,
    what: 'the session to be stored',
  })
  const before = Number(await redis.command('XLEN', 'socket.io'))
  for (let i = 0; i < 100; i++) server.emit('message', 'missed')
  await waitUntil(async () => Number(await redis.command('XLEN', 'socket.io')) >= before + 100, {
    timeoutMs: 30_000,
    what: 'the messages in the stream',
  })
  return {
    async comeBack(): Promise<{ recovered: boolean; missed: number }> {
      socket.connect()
      await event('connect')
      const { recovered } = socket
      if (recovered) await waitUntil(() => received.missed >= 100, { timeoutMs: 30_000, what: 'the missed messages' })
      return { recovered, missed: received.missed }
    },
    async close(): Promise<void> {
      socket.disconnect()
      await server.close()
      client.disconnect()
      // Wakes the adapter's reader, which ends only then.
      await redis.command('XADD', 'socket.io', '*', 'last', '1')
      const isAlone = async (): Promise<boolean> =>
        String(await redis.command('CLIENT', 'LIST'))
          .trim()
          .split('\n').length === 1
      await waitUntil(isAlone, { timeoutMs: 30_000, what: 'the adapter to disconnect' })
    },
  }
}

test('socket.io restores a lost connection with the settings of the page, and old messages go', async (t) => {
  const redis = await startRedis(t)
  await addOld(redis, 'socket.io', 2_000, 48)
  const { comeBack, close } = await lostConnection(redis)
  try {
    assert.equal((await sweep(redis, settingsOf('socket.io'))).age, 2_000)
    assert.deepEqual(await comeBack(), { recovered: true, missed: 100 })
  } finally {
    await close()
  }
})

test('control: with a window shorter than the disconnect, socket.io cannot restore the connection', async (t) => {
  const redis = await startRedis(t)
  const { comeBack, close } = await lostConnection(redis)
  const short = settingsOf('socket.io').map((word) => word.replace(/max-age=\w+/, 'max-age=1ms'))
  try {
    await sweep(redis, [...short, '--trim', 'exact'])
    assert.deepEqual(await comeBack(), { recovered: false, missed: 0 })
  } finally {
    await close()
  }
})

test("BullMQ's listeners get every event while old ones are removed with the settings of the page", async (t) => {
  const redis = await startRedis(t)
  await addOld(redis, 'bull:mail:events', 2_000, 48)
  const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null }
  const queue = new Queue('mail', { connection })
  const events = new QueueEvents('mail', { connection })
  const worker = new Worker('mail', async ({ data }) => data.n, { connection, concurrency: 20 })
  try {
    const completed = new Set<string>()
    events.on('completed', ({ jobId }) => completed.add(jobId))
    await Promise.all([events.waitUntilReady(), worker.waitUntilReady()])

    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...settingsOf('BullMQ')])
    let added = 0
    await waitUntil(
      async () => {
        await queue.addBulk(Array.from({ length: 50 }, () => ({ name: 'send', data: { n: added++ } })))
        return (await daemon.metric('xtrimd_entries_trimmed_total', { reason: 'age' })) === 2_000
      },
      { timeoutMs: 60_000, what: 'the old events to go', everyMs: 200 },
    )
    await waitUntil(() => completed.size === added, { timeoutMs: 60_000, what: 'every job to be reported' })
  } finally {
    // Before the server goes, or they reconnect for ever.
    await Promise.all([worker.close(), events.close(), queue.close()])
  }
})

/** How the three clients read a group: each acknowledges `count` entries and resolves to their numbers. */
const READERS: Readonly<Record<string, (redis: RedisServer, count: number) => Promise<number[]>>> = {
  async 'node-redis'(redis, count) {
    const client = createClient({ url: redis.url })
    await client.connect()
    const done: number[] = []
    const from = { key: 'orders', id: '>' }
    while (done.length < count) {
      const streams = (await client.xReadGroup('work', 'node-redis', from, { COUNT: 50, BLOCK: 1000 })) ?? []
      for (const { messages } of streams) {
        for (const { id, message } of messages) {
          done.push(Number(message.n))
          await client.xAck('orders', 'work', id)
        }
      }
    }
    client.destroy()
    return done
  },
  async ioredis(redis, count) {
    const client = new Redis(redis.port)
    const done: number[] = []
    while (done.length < count) {
      const reply = await client.xreadgroup(
        'GROUP',
        'work',
        'ioredis',
        'COUNT',
        50,
        'BLOCK',
        1000,
        'STREAMS',
        'orders',
        '>',
      )
      for (const [, entries] of (reply ?? []) as [string, [string, string[]][]][]) {
        for (const [id, [, n]] of entries) {
          done.push(Number(n))
          await client.xack('orders', 'work', id)
        }
      }
    }
    client.disconnect()
    return done
  },
  async 'redis-py'(redis, count) {
    const script = fileURLToPath(new URL('../harness/read_group.py', import.meta.url))
    const reader = spawn('/usr/bin/python3', [script, `${redis.port}`, 'orders', 'work', `${count}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    reader.stdout.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
    })
    const [code] = await once(reader, 'close')
    assert.equal(code, 0)
    return text
      .trim()
      .split('\n')
      .map((line) => Number(line.split(' ')[1]))
  },
}

for (const [name, read] of Object.entries(READERS)) {
  test(`a group of ${name} gets every entry once under the settings of the page`, async (t) => {
    const redis = await startRedis(t)
    const count = 2_000
    await redis.command('XGROUP', 'CREATE', 'orders', 'work', '0', 'MKSTREAM')
    const settings = settingsOf('Consumer groups')
    // Sweeps come every second and keep a single entry, so that only the group keeps entries alive.
    const tight = settings.map((word) => word.replace(/max-length=\d+/, 'max-length=1'))
    assert.notDeepEqual(tight, settings)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, '--trim', 'exact', ...EVERY_SECOND, ...tight])
    const reading = read(redis, count)
    for (let n = 0; n < count; n++) {
      await redis.command('XADD', 'orders', '*', 'n', `${n}`)
      if (n % 500 === 0) {
        const sweeps = (): number => daemon.logs.filter(({ msg }) => msg === 'sweep').length
        const before = sweeps()
        await waitUntil(() => sweeps() > before, { timeoutMs: 30_000, what: 'the next sweep' })
      }
    }
    const done = await reading
    assert.deepEqual(
      done.toSorted((a, b) => a - b),
      Array.from({ length: count }, (_, n) => n),
    )
    await waitUntil(async () => (await redis.command('XLEN', 'orders')) === 1, {
      timeoutMs: 30_000,
      what: 'the rest to go',
    })
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_unread_total'), 0)
  })
}

test('control: without protection, as with XADD MAXLEN, a group loses what it has not read', async (t) => {
  for (const lose of [
    (redis: RedisServer) => sweep(redis, ['--policy', 'orders,max-length=1000,protect=none', '--trim', 'exact']),
    (redis: RedisServer) => redis.command('XADD', 'orders', 'MAXLEN', '1000', '*', 'n', '3000'),
  ]) {
    const redis = await startRedis(t)
    await redis.command('XGROUP', 'CREATE', 'orders', 'work', '0', 'MKSTREAM')
    await Promise.all(Array.from({ length: 3_000 }, (_, n) => redis.command('XADD', 'orders', '*', 'n', `${n}`)))
    await lose(redis)
    const reply = await redis.command('XREADGROUP', 'GROUP', 'work', 'a', 'COUNT', '1', 'STREAMS', 'orders', '>')
    const [[, [[, [, first = '0'] = []] = []] = []] = []] = reply as [string, [string, string[]][]][]
    assert.ok(Number(first) >= 2_000, first)
  }
})

test('conversations that nobody goes on with are deleted whole with the settings of the page, and the others are not touched', async (t) => {
  const redis = await startRedis(t)
  await addOld(redis, 'conversation:old', 50, 24 * 8)
  await addOld(redis, 'conversation:resumed', 50, 24 * 8)
  await redis.command('XADD', 'conversation:resumed', '*', 'n', 'and another thing')
  await sweep(redis, settingsOf('AI conversations'))
  assert.equal(await redis.command('EXISTS', 'conversation:old'), 0)
  assert.equal(await redis.command('XLEN', 'conversation:resumed'), 51)
})

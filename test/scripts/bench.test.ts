/** Runs the benchmarks at tiny sizes, whose figures mean nothing, and checks what they write. */

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startDaemon } from '../../bench/daemon.ts'
import { packetsOf, shareUnanswered, ValueCounter } from '../../bench/wire.ts'
import { startPrivateRedis } from '../../scripts/stage/private_redis.ts'
import { temporaryFolder } from '../harness/files.ts'
import { childrenOf } from '../harness/processes.ts'
import { waitUntil } from '../harness/waiting.ts'

const BENCH = fileURLToPath(new URL('../../bench/', import.meta.url))

const CHART = /<svg .*prefers-color-scheme: dark.*<\/svg>/s

test('the benchmark writes a table for every section, and a chart', { timeout: 500_000 }, async (t) => {
  const folder = temporaryFolder(t, 'bench-test')
  const committed = await readFile(join(BENCH, 'RESULTS.md'), 'utf8')

  const args = [join(BENCH, 'main.ts'), '--streams', '300', '--quick', '--out', folder]
  // The figures do not matter, so it runs at low priority beside other tests. If it hangs, end it and show what it said.
  const how = { timeout: 450_000 }
  const { stdout, stderr } = await promisify(execFile)('nice', [process.execPath, ...args], how)

  assert.equal(stderr, '')
  const results = await readFile(join(folder, 'RESULTS.md'), 'utf8')
  const titles = [...results.matchAll(/^## (.*)$/gm)].map(([, title]) => title)
  assert.deepEqual(titles, [
    'Steady state: nothing to remove',
    'Three of ten streams have gone stale',
    'Gentle: how long a foreground writer waits',
    'Backlog: never trimmed before',
    'Counting: what plan costs',
    'Reaping: what it costs where there is nothing to reap',
    'What --watch costs',
    'Archiving: what it costs',
    'Archiving: memory',
    'Pace: requested and measured',
    'Memory of the daemon',
  ])
  assert.match(results, /^Written by `npm run bench -- --streams 300 --quick/m)
  for (const row of ['the limit', 'xtrimd run --pace 100', 'xtrimd sweep', 'one blocking Lua script', 'ioredis']) {
    assert.match(results, new RegExp(`^\\| [^|]*${row}[^|]* \\| [\\d,.]+ \\| [\\d,.]+ \\|`, 'm'), row)
  }
  // Only root may capture packets.
  if (process.getuid?.() === 0) assert.match(results, /^\| 25 \| nothing to remove \| [\d,]+ \| [\d.]+ \| [\d,.]+ \|$/m)
  assert.doesNotMatch(results, /NaN|undefined|Infinity/)
  assert.match(stdout, /speed at --pace 100: [\d.]+ × the limit/)
  assert.match(await readFile(join(folder, 'results.svg'), 'utf8'), CHART)
  assert.equal(await readFile(join(BENCH, 'RESULTS.md'), 'utf8'), committed)
})

test('the first sweep of a daemon is seen even if it ended before the benchmark asked', async (t) => {
  const redis = await startPrivateRedis()
  t.after(() => redis.stop())
  const starting = startDaemon(redis.url, { flags: ['--cron', '0 0 1 1 *', '--lease', 'false'] })
  // So that the log already holds the sweep when this process reads that the daemon listens.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5_000)
  const daemon = await starting
  t.after(() => daemon.stop())

  assert.equal((await daemon.firstSweep()).result, 'success')

  // The control: the next one is a year away.
  const next = daemon.nextSweep().then(() => 'swept')
  next.catch(() => {})
  assert.equal(await Promise.race([next, pause(1_000, 'waits')]), 'waits')
})

test('Ctrl-C ends a benchmark and the servers and daemons it has started', async (t) => {
  const folder = temporaryFolder(t, 'bench-test')
  const args = [join(BENCH, 'main.ts'), '--streams', '300', '--quick', '--only', 'pace', '--out', folder]
  const bench = spawn(process.execPath, args, { stdio: 'ignore' })
  t.after(() => bench.kill('SIGKILL'))
  const ended = once(bench, 'exit')
  const started = () => childrenOf(bench.pid as number)
  const waiting = { timeoutMs: 60_000, what: 'a redis-server and a daemon' }
  await waitUntil(() => started().length >= 2, waiting)
  const pids = started()

  bench.kill('SIGINT')

  assert.deepEqual(await ended, [130, null])
  await waitUntil(() => !pids.some((pid) => existsSync(`/proc/${pid}`)), { timeoutMs: 10_000, what: 'all to end' })
})

test('the memory of a week is reported and drawn, for each limit and for all together', async (t) => {
  const folder = temporaryFolder(t, 'bench-test')

  const args = [join(BENCH, 'claim.ts'), '--days', '7', '--out', folder]
  await promisify(execFile)(process.execPath, args)

  const [row = ''] = /^\| 7 .*$/m.exec(await readFile(join(folder, 'MEMORY.md'), 'utf8')) ?? []
  const [, messages, , ...saved] = row
    .split('|')
    .map((cell) => cell.trim())
    .slice(1)
  assert.equal(messages, '168,000')
  const [length = 0, age = 0, both = 0] = saved.map((cell) => Number(/\(([\d.]+) %\)/.exec(cell)?.[1]))
  // 1,000 of 1,680 messages per conversation, and one day of seven, plus the rest of a node.
  assert.ok(length > 38 && length < 42, row)
  assert.ok(age > 83 && age < 87, row)
  assert.ok(both >= age - 1, row)
  assert.match(await readFile(join(folder, 'memory.svg'), 'utf8'), CHART)
})

test('values in a byte stream are counted correctly however it is cut into pieces', () => {
  const values = ['*2\r\n$4\r\nXLEN\r\n$1\r\nk\r\n', ':7\r\n', '+OK\r\n', '$-1\r\n', '*-1\r\n', '*0\r\n', '$0\r\n\r\n']
  const nested = '*2\r\n$1\r\n0\r\n*2\r\n$3\r\na\r\n\r\n*1\r\n:1\r\n'
  const bytes = Buffer.from([...values, nested].join(''))
  for (let size = 1; size <= bytes.length; size++) {
    const counter = new ValueCounter()
    for (let at = 0; at < bytes.length; at += size) counter.push(bytes.subarray(at, at + size))
    assert.equal(counter.whole, values.length + 1, `in pieces of ${size}`)
    // The control: without its last byte the last value is incomplete.
    const cut = new ValueCounter()
    cut.push(bytes.subarray(0, -1))
    assert.equal(cut.whole, values.length)
  }
})

test('requests of several clients are unanswered until the last of their replies, however they are cut into pieces', () => {
  const packet = (atMs: number, from: number, to: number, text: string) => {
    const payload = Buffer.from(text)
    return { atMs, from, to, payload }
  }
  const [redis, one, other] = [6000, 1, 2]
  const packets = [
    packet(0, one, redis, '*1\r\n$4\r\nTIME\r\n'),
    packet(1, redis, one, ''),
    packet(2, other, redis, '*1\r\n$4\r\nPI'),
    packet(3, redis, one, '*2\r\n$1\r\n1\r\n$1\r\n2\r\n'),
    packet(4, other, redis, 'NG\r\n'),
    packet(6, redis, other, '+PONG\r\n'),
    packet(9, one, redis, '*1\r\n$4\r\nPING\r\n'),
    packet(10, redis, one, '+PONG\r\n'),
  ]
  assert.equal(shareUnanswered(packets, redis), (3 + 2 + 1) / 10)
  assert.equal(shareUnanswered(packets.slice(0, -1), redis), (3 + 2) / 6)
  // The reply to a request that was not captured does not affect the time before the next request.
  const ping = '*1\r\n$4\r\nPING\r\n'
  const lossy = [
    packet(0, one, redis, ping),
    packet(1, redis, one, '+PONG\r\n'),
    packet(2, redis, one, '+PONG\r\n'),
    packet(9, other, redis, ping + ping),
    packet(10, redis, other, '+PONG\r\n'),
  ]
  assert.equal(shareUnanswered(lossy, redis), (1 + 1) / 10)
})

test('packets are read from a capture, and a truncated one is ignored', () => {
  const record = Buffer.alloc(16 + 14 + 20 + 32 + 3)
  record.writeUInt32LE(1, 0)
  record.writeUInt32LE(500, 4)
  record.writeUInt32LE(record.length - 16, 8)
  record.writeUInt8(0x45, 30)
  record.writeUInt16BE(7, 50)
  record.writeUInt16BE(6000, 52)
  record.writeUInt8(8 << 4, 62)
  record.write('abc', 82)
  const capture = Buffer.concat([Buffer.alloc(24), record, record.subarray(0, -1)])
  const read = [...packetsOf(capture)].map(({ payload, ...rest }) => ({ ...rest, payload: String(payload) }))
  assert.deepEqual(read, [{ atMs: 1000.5, from: 7, to: 6000, payload: 'abc' }])
})

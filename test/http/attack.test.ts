/** Clients that mean harm, or are broken: the daemon stays small, and Prometheus gets its answer meanwhile. */

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Attack, sendCrowd } from '../harness/crowd.ts'
import { type Daemon, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { waitUntil } from '../harness/waiting.ts'

const MB = 2 ** 20
const MOST_GROWTH_BYTES = 25 * MB
/** The daemon closes a connection after 5 s without a request, and after 10 s without having given its answer. */
const OVER_AFTER_MS = 30_000

const GET = 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'

const LONG = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`
const HALF: Attack = { sends: 'GET /metrics HTTP/1.1\r\nHost: a\r\nX-' }

const ATTACKS: readonly (readonly [what: string, count: number, attack: Attack])[] = [
  ['send half a request and stop', 3000, HALF],
  ['send half a request and stop', 10_000, HALF],
  ['send nothing', 3000, { sends: '' }],
  ['send a byte a second', 3000, { sends: 'GET /', goesOn: 'a' }],
  ['ask once and stay connected', 3000, { sends: 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n' }],
  ['send headers of 8 KB and stop', 3000, { sends: LONG.slice(0, 8000) }],
  ['send headers of 100 KB', 3000, { sends: LONG }],
  [
    'send a body that never ends',
    3000,
    { sends: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n', goesOn: 'a' },
  ],
  ['send 2,000 requests at once and read no answer', 300, { sends: GET.repeat(2000), isDeaf: true }],
]

/** The flags with which the image runs Node, so that what is measured is not how lazily it collects garbage. */
async function imageFlags(): Promise<string> {
  const dockerfile = await readFile(new URL('../../Dockerfile', import.meta.url), 'utf8')
  const [, flags = ''] = /^ENTRYPOINT \["\/bin\/node", (.*), "[^"]*main.js"\]$/m.exec(dockerfile) ?? []
  assert.match(flags, /--max-semi-space-size=\d/)
  // NODE_OPTIONS does not take the others.
  return flags.match(/--max-[^"]+|--expose-gc/g)?.join(' ') ?? ''
}

/** A daemon that has answered often enough for Node to have settled. */
async function startSettled(t: TestContext): Promise<Daemon> {
  const options = { env: { NODE_OPTIONS: await imageFlags() } }
  const args = ['--redis-url', 'redis://127.0.0.1:1', ...HARDLY_EVER]
  const daemon = await startDaemon(t, args, options)
  await daemon.waitForLog('sweep')
  for (let i = 0; i < 20; i++) await scrape(daemon)
  return daemon
}

/** Scrapes on a connection of its own, as a Prometheus that has just started; the time it took, in ms. */
async function scrape(daemon: Daemon): Promise<number> {
  const began = performance.now()
  const response = await daemon.get('/metrics', { headers: { connection: 'close' } })
  assert.equal(response.status, 200)
  assert.match(await response.text(), /^xtrimd_build_info/m)
  return performance.now() - began
}

/** Sockets of TCP that the daemon holds, its listening one included. */
async function socketsOf({ port }: Daemon): Promise<number> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((row) => row.trim().split(/\s+/))
  // Without an inode a socket belongs to no process any more.
  return rows.filter(([, at = '', , , , , , , , inode]) => at.endsWith(local) && inode !== '0').length
}

async function memoryOf({ pid }: Daemon, line: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${line}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
}

suite('a crowd of clients', () => {
  for (const [what, count, attack] of ATTACKS) {
    test(`${count} clients ${what}: memory stays, Prometheus is served, and they are closed`, async (t) => {
      const daemon = await startSettled(t)
      const before = await memoryOf(daemon, 'VmRSS')
      // The kernel's record of the most memory begins anew.
      await writeFile(`/proc/${daemon.pid}/clear_refs`, '5')

      const crowd = await sendCrowd(t, daemon.port, count, attack)
      const tookMs = [await scrape(daemon)]
      // The control: it was a crowd.
      assert.ok((await crowd.connected) > count / 2)
      tookMs.push(await scrape(daemon))
      await waitUntil(
        async () => {
          tookMs.push(await scrape(daemon))
          return (await socketsOf(daemon)) <= 10
        },
        { timeoutMs: OVER_AFTER_MS, what: 'all of them to be closed', everyMs: 500 },
      )

      const growth = (await memoryOf(daemon, 'VmHWM')) - before
      assert.ok(growth <= MOST_GROWTH_BYTES, `${(growth / MB).toFixed(1)} MB more`)
      const slowestMs = Math.max(...tookMs)
      assert.ok(slowestMs <= 10_000, `a scrape took ${slowestMs} ms`)
      assert.equal((await daemon.get('/healthz')).status, 200)
    })
  }
})

test('clients that come back as often as they are closed do not keep Prometheus out, and memory stays', async (t) => {
  const daemon = await startSettled(t)
  const before = await memoryOf(daemon, 'VmRSS')
  await writeFile(`/proc/${daemon.pid}/clear_refs`, '5')
  const crowds = [await sendCrowd(t, daemon.port, 1000, { ...HALF, comesBack: true })]
  crowds.push(await sendCrowd(t, daemon.port, 100, { sends: GET, comesBack: true }))
  const until = performance.now() + 6000
  while (performance.now() < until) assert.ok((await scrape(daemon)) <= 10_000)
  const growth = (await memoryOf(daemon, 'VmHWM')) - before
  assert.ok(growth <= MOST_GROWTH_BYTES, `${(growth / MB).toFixed(1)} MB more`)
})

/** What the daemon answers to these bytes, sent piece by piece, until it closes. */
async function answerTo(daemon: Daemon, pieces: readonly string[]): Promise<string> {
  const socket = connect({ port: daemon.port, host: '127.0.0.1', allowHalfOpen: true }).setEncoding('utf8')
  let answer = ''
  socket.on('data', (text: string) => {
    answer += text
  })
  const closed = new Promise<void>((resolve, reject) => socket.once('end', resolve).once('error', reject))
  for (const piece of pieces) {
    socket.write(piece)
    await pause(50)
  }
  await closed
  socket.end()
  return answer
}

test('a request is answered whole however it comes: in pieces, with a body, or with more requests behind it', async (t) => {
  const args = ['--redis-url', 'redis://127.0.0.1:1', ...HARDLY_EVER, '--run-on-start=false']
  const daemon = await startDaemon(t, args)
  const ask = 'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n'
  for (const pieces of [
    [ask],
    [...ask],
    [ask.slice(0, -1), ask.slice(-1)],
    [ask, ask],
    [ask.repeat(3)],
    [ask + 'a'.repeat(1_000_000)],
    ['GET /healthz HTTP/1.0\r\n\r\n'],
  ]) {
    const answer = await answerTo(daemon, pieces)
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n.*\r\nconnection: close\r\n.*\r\n\r\nok\n$/is)
  }
  const body = 'a'.repeat(1_000_000)
  const post = `POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`
  for (const pieces of [[post + body], [post, body], [post, body.slice(1)]]) {
    assert.match(await answerTo(daemon, pieces), /^HTTP\/1\.1 405 .*\r\n\r\nGET and HEAD only\n$/s)
  }
  assert.match(await answerTo(daemon, [`GET / HTTP/1.1\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`]), /^HTTP\/1\.1 431 /)
  assert.match(await answerTo(daemon, ['nonsense\r\n\r\n']), /^HTTP\/1\.1 400 /)
})

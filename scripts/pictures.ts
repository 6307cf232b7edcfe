/**
 * Takes the pictures of README and docs. Two copies of the daemon sweep the streams of a small chat service every second
 * while messages arrive. A browser takes pictures of the status page, light and dark, of the dashboard, and of `xtrimd plan`
 * and `xtrimd top` in a terminal.
 */

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Browser, chromium } from 'playwright-core'
import sharp from 'sharp'
import { dashboardPage } from './dashboard/page.ts'
import type { Dashboard } from './dashboard/panel.ts'
import { type PrivateRedis, startPrivateRedis } from './stage/private_redis.ts'
import { runDaemon, runSweep } from './stage/program.ts'
import { startPrometheus } from './stage/prometheus.ts'
import type { Client } from './stage/redis_client.ts'
import { takeTerminal } from './stage/terminal_picture.ts'
import { atExit, exitWhenAsked } from './stage/undo.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DASHBOARD = `${ROOT}k8s/monitoring/dashboard.json`

/** How long the copies sweep first (the status page shows a hundred sweeps), and the folder for the pictures. */
const { values: OPTIONS } = parseArgs({
  options: { seconds: { type: 'string', default: '105' }, out: { type: 'string', default: `${ROOT}docs` } },
})
const SECONDS = Number(OPTIONS.seconds)

const POLICIES = [
  ...['--max-age', '24h', '--max-length', '1000'],
  ...['--policy', 'stream:fanout:*,name=fanout,max-length=3000,max-age=1h,reap-consumers-after=20s,archive=false'],
  // Typing indicators expire within seconds, and then their stream is deleted too.
  ...['--policy', 'stream:typing:*,name=typing,max-length=off,max-age=10s,trim=exact,delete-empty=true,archive=false'],
  ...['--policy', 'stream:audit:*,name=audit,max-age=90d,max-length=2000,protect=unread,hard-max-length=20000'],
]
const FANOUT = 'stream:fanout:messages'
const AUDIT = 'stream:audit:messages'
const TEXT = 'so we said that the train at nine is late again and nobody told me about lunch on thursday '.repeat(4)

const HOUR_MS = 3_600_000

/** Keys of conversations, the busiest first. The version 4 UUIDs are the same in every run. */
const CONVERSATIONS = Array.from({ length: 60 }, (_, i) => {
  const digits = (i + 1) * 0x9e3779b1
  const hex = digits.toString(16).padStart(12, '0')
  return `stream:conversation:${hex.slice(-8)}-${hex.slice(-6, -2)}-4${hex.slice(-5, -2)}-9${hex.slice(-4, -1)}-${hex.slice(-12)}`
})

/** Writes a day and a half of messages, most of them in a few conversations. */
async function writeHistory(client: Client, nowMs: number): Promise<void> {
  for (const [rank, key] of CONVERSATIONS.entries()) {
    const messages = Math.round(3_000 / (rank + 1)) + 40
    const spacingMs = (36 * HOUR_MS) / messages
    const written = Array.from({ length: messages }, (_, i) => {
      const ms = Math.floor(nowMs - 36 * HOUR_MS + i * spacingMs)
      return add(client, key, `${ms}-0`)
    })
    await Promise.all(written)
  }
  await Promise.all(Array.from({ length: 2_600 }, (_, i) => add(client, AUDIT, `${nowMs - (2_600 - i) * 60_000}-0`)))
  // The group has read only the first hundred messages.
  await client.sendCommand(['XGROUP', 'CREATE', AUDIT, 'compliance-export', '0'])
  await read(client, AUDIT, 'compliance-export', 'exporter-0', 100)
  await client.sendCommand(['XGROUP', 'CREATE', FANOUT, 'search-index', '$', 'MKSTREAM'])
}

/**
 * Writes in waves until aborted. The reader of the fan-out stream is too slow for the peaks, and gets another
 * name whenever it restarts.
 */
async function keepWriting(client: Client, signal: AbortSignal): Promise<void> {
  for (let tick = 0; !signal.aborted; tick++) {
    const seconds = tick / 10
    const wave = 1 + Math.sin(seconds / 7) + 0.6 * Math.sin(seconds / 2.3)
    const messages = Math.max(1, Math.round(30 * wave + 10 * Math.random() + (seconds % 31 < 1.5 ? 150 : 0)))
    const writes = Array.from({ length: messages }, () => {
      const key = CONVERSATIONS[Math.floor(CONVERSATIONS.length * Math.random() ** 2.5)] as string
      return [add(client, key, '*'), add(client, FANOUT, '*')]
    })
    const typing = `stream:typing:room-${Math.floor(Math.random() * 12 + Math.floor(seconds / 12) * 4)}`
    await Promise.all([
      ...writes.flat(),
      add(client, typing, '*'),
      read(client, FANOUT, 'search-index', `indexer-${Math.floor(seconds / 9)}`, 45),
    ])
    if (tick % 10 === 0) await add(client, AUDIT, '*')
    await pause(100)
  }
}

/** Halfway through, takes the right to trim away until a sweep is partial, so that the pictures also show failures. */
async function mistakeRights(client: Client, partial: Promise<void>): Promise<void> {
  await pause(SECONDS * 500)
  await client.sendCommand(['ACL', 'SETUSER', 'default', '-xtrim'])
  await Promise.race([partial, pause(MOST_MISTAKEN_MS)])
  await client.sendCommand(['ACL', 'SETUSER', 'default', '+xtrim'])
}

const MOST_MISTAKEN_MS = 30_000

function add(client: Client, key: string, id: string): Promise<unknown> {
  const text = TEXT.slice(0, 100 + Math.floor(Math.random() * 250))
  return client.sendCommand(['XADD', key, id, 'sender', `user-${Math.floor(Math.random() * 1_000)}`, 'text', text])
}

async function read(client: Client, key: string, group: string, consumer: string, count: number): Promise<void> {
  const words = ['XREADGROUP', 'GROUP', group, consumer, 'COUNT', `${count}`, 'NOACK', 'STREAMS', key, '>']
  await client.sendCommand(words)
}

/** The program as in the image. Run from source, it would take half as much memory again. */
function bundle(): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-bundle-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  execFileSync(`${ROOT}scripts/bundle`, [folder])
  const entrypoint = /^ENTRYPOINT (.*)$/m.exec(readFileSync(`${ROOT}Dockerfile`, 'utf8'))?.[1] ?? '[]'
  const [, ...words] = JSON.parse(entrypoint) as string[]
  return [process.execPath, ...words.map((word) => word.replace(/^\/app/, `${folder}/app`))]
}

/** Starts a copy of the daemon. Resolves with its port once it listens. */
function startCopy(
  redis: PrivateRedis,
  program: readonly string[],
  archive: readonly string[],
  over: AbortController,
  onPartial: () => void = () => {},
): Promise<number> {
  const args = [
    '--redis-url',
    redis.url,
    ...POLICIES,
    '--cron',
    '* * * * * *',
    '--stream-metrics',
    '10',
    '--group-metrics',
    '10',
    ...archive,
    '--http-bind',
    '127.0.0.1:0',
  ]
  return new Promise((resolve, reject) => {
    const listen = async (): Promise<void> => {
      for await (const line of runDaemon([...args, '--log-format', 'json'], over.signal, program)) {
        if (line.msg === 'listening') resolve(Number(line.port))
        if (line.result === 'partial') onPartial()
        if (line.level !== 'info') process.stderr.write(`pictures: ${JSON.stringify(line)}\n`)
      }
    }
    listen().catch(reject)
  })
}

async function takePlan(browser: Browser, { url }: PrivateRedis, program: readonly string[]): Promise<void> {
  const words = [...program, 'plan', '--redis-url', url, ...POLICIES]
  await save('plan.png', await takeTerminal(browser, { typed: 'xtrimd plan', words, until: 'configuration' }))
}

/** The streams that grow fastest, after a few intervals. */
async function takeTop(browser: Browser, { url }: PrivateRedis, program: readonly string[]): Promise<void> {
  const words = [...program, 'top', '--redis-url', url, ...POLICIES, '--interval', '2s', '--sort', 'growth']
  const keys = [[9_000, 'q']] as const
  await save('top.png', await takeTerminal(browser, { typed: 'xtrimd top', words, keys }, 24))
}

async function takeStatusPage(browser: Browser, url: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1000, height: 700 } })
    await page.goto(url)
    await save(`status_page_${colorScheme}.png`, await page.screenshot({ fullPage: true }))
  }
}

async function takeDashboard(browser: Browser, html: string): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1218, height: 700 } })
  await page.setContent(html)
  await save('dashboard.png', await page.screenshot({ fullPage: true }))
}

/** A page has few colours, and a PNG with a palette takes a third of the bytes. */
async function save(name: string, png: Uint8Array): Promise<void> {
  await sharp(png).png({ palette: true, dither: 0, compressionLevel: 9 }).toFile(join(OPTIONS.out, name))
}

async function takePictures(): Promise<void> {
  const redis = await startPrivateRedis()
  await redis.client.sendCommand(['CONFIG', 'SET', 'maxmemory', '32mb'])
  const service = await redis.connect()
  await writeHistory(service, await redis.now())
  const program = bundle()
  const browser = await chromium.launch({
    executablePath: process.env.TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
  })
  mkdirSync(OPTIONS.out, { recursive: true })
  await takePlan(browser, redis, program)
  // Remove the backlog before taking the other pictures: next to it, every later sweep would be a flat line.
  await runSweep(['--redis-url', redis.url, ...POLICIES], new AbortController().signal)

  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-archive-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  const archive = ['--archive', `file://${folder}`]
  const over = new AbortController()
  const writing = keepWriting(service, over.signal)
  const partial = Promise.withResolvers<void>()
  const leader = await startCopy(redis, program, archive, over, partial.resolve)
  const other = await startCopy(redis, program, archive, over)
  const prometheus = await startPrometheus({ 'xtrimd-0': leader, 'xtrimd-1': other })
  while ((await prometheus.query('xtrimd_build_info', Date.now() / 1000)).length < 2) await pause(100)
  // After 5 s every rate has its four scrapes.
  const from = Math.ceil(Date.now() / 1000) + 5
  process.stderr.write(`pictures: sweeping for ${SECONDS} s\n`)
  const mistaken = mistakeRights(redis.client, partial.promise)
  await Promise.race([pause(SECONDS * 1000), writing])
  await mistaken
  const span = { from, to: Math.floor(Date.now() / 1000) - 1, step: 2 }

  try {
    await takeTop(browser, redis, program)
    await takeStatusPage(browser, `http://127.0.0.1:${leader}/`)
    const dashboard = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as Dashboard
    await takeDashboard(browser, await dashboardPage(dashboard, prometheus, span))
  } finally {
    await browser.close()
  }
  over.abort()
  await writing
  await redis.stop()
}

exitWhenAsked()

try {
  await takePictures()
  process.exit(0)
} catch (error) {
  process.stderr.write(`pictures: ${error instanceof Error ? error.stack : error}\n`)
  process.exit(1)
}

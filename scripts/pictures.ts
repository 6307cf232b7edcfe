/**
 * The pictures of the README: the status page and the dashboard of a daemon that sweeps a busy Redis for two minutes. Grafana is
 * not among Debian's packages: its dashboard is drawn here from its own queries, layout and units, asked of a real Prometheus.
 */

import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { chromium } from 'playwright-core'
import { startDaemon } from '../test/harness/program.ts'
import { startPrometheus } from '../test/harness/prometheus.ts'
import { startRedis } from '../test/harness/redis_server.ts'
import { fillStream, redisNow } from '../test/harness/streams.ts'
import { dashboardPage } from './stage/dashboard_page.ts'

const SECONDS = 120
const CONVERSATIONS = 200
const DAY = 86_400_000
const POLICIES = [
  ...['--max-age', '24h', '--max-length', '1000'],
  ...['--policy', 'stream:fanout:*,name=fanout,max-length=5000,max-age=1h'],
  ...['--policy', 'stream:audit:*,name=audit,max-age=off,max-length=500,protect=unread'],
]

const undoings: (() => unknown)[] = []
const t = { after: (undoing: () => unknown) => undoings.push(undoing) } as unknown as TestContext

try {
  await draw()
} finally {
  for (const undo of undoings.reverse()) await undo()
}
process.exit(0)

async function draw(): Promise<void> {
  const redis = await startRedis(t, { config: { maxmemory: '128mb' } })
  const now = await redisNow(redis)
  const filled = (key: string, count: number, from: number) =>
    fillStream(redis, key, { count, from, stepMs: Math.max(1, (now - from) / count), bytes: 200 })
  for (let i = 0; i < CONVERSATIONS; i++) await filled(conversation(i), Math.round(3_000 / (i / 10 + 1)), now - 3 * DAY)
  await filled('stream:fanout:messages', 20_000, now - DAY / 4)
  await filled('stream:audit:logins', 900, now - 5 * DAY)
  await redis.command('XGROUP', 'CREATE', 'stream:audit:logins', 'archive', String(now - 4 * DAY))
  const schedule = ['--cron', '* * * * * *', '--pressure', '80%']
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...POLICIES, ...schedule])
  const prometheus = await startPrometheus(t, daemon.port)
  const over = performance.now() + SECONDS * 1_000
  for (let tick = 0; performance.now() < over; tick++) {
    // More by day than by night, a day being half a minute.
    const perTick = Math.round(30 * (1.2 + Math.sin(tick / 50)))
    const writes = Array.from({ length: perTick }, () => {
      const lively = Math.floor(CONVERSATIONS * Math.random() ** 3)
      return redis.command('XADD', conversation(lively), '*', 'text', 'x'.repeat(200))
    })
    writes.push(redis.command('XADD', 'stream:fanout:messages', '*', 'text', 'x'.repeat(200)))
    await Promise.all(writes)
    await pause(100)
  }

  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu'],
  })
  t.after(() => browser.close())
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1_000, height: 1_000 } })
    await page.goto(daemon.url)
    await page.screenshot({
      path: `docs/status_page_${colorScheme}.png`,
      clip: { x: 0, y: 0, width: 1_000, height: 1_000 },
    })
  }
  const page = await browser.newPage({ viewport: { width: 1_200, height: 100 } })
  await page.setContent(await dashboardPage(prometheus))
  await page.screenshot({ path: 'docs/dashboard.png', fullPage: true })
}

function conversation(i: number): string {
  return `stream:conversation:${String(i * 7919 + 100_003).padStart(8, '0')}-${(i * 104_729).toString(16).padStart(6, '0')}`
}

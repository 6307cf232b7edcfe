/** The status page in a real browser. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { chromium, type Page } from 'playwright-core'
import { type Daemon, EVERY_SECOND, startDaemon } from './harness/program.ts'
import { type RedisServer, startRedis } from './harness/redis_server.ts'
import { fillStream, redisNow } from './harness/streams.ts'
import { waitUntil } from './harness/waiting.ts'

/** A page of a browser that keeps to this machine, and everything it complained of. */
async function openPage(
  t: TestContext,
  daemon: Daemon,
  colorScheme: 'light' | 'dark' = 'light',
): Promise<{ page: Page; complaints: string[] }> {
  const browser = await chromium.launch({
    executablePath: process.env.TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
  })
  t.after(() => browser.close())
  const page = await browser.newPage({ colorScheme, viewport: { width: 1000, height: 600 } })
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => complaints.push(message.text()))
  page.on('dialog', (dialog) => complaints.push(`a dialog: ${dialog.message()}`))
  await page.goto(daemon.url)
  return { page, complaints }
}

async function fill(redis: RedisServer, keys: readonly string[]): Promise<void> {
  const from = (await redisNow(redis)) - 3_600_000
  for (const key of keys) await fillStream(redis, key, { count: 1_500, from, stepMs: 1, bytes: 10 })
}

test('a key that is markup is text in the browser, and nothing of it runs', async (t) => {
  const redis = await startRedis(t)
  const key = 'stream:conversation:<img src=x onerror=alert(1)><script>alert(2)</script>'
  await fill(redis, [key])
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
  await daemon.waitForLog('sweep')
  const { page, complaints } = await openPage(t, daemon)

  assert.equal(await page.getByText(key, { exact: true }).count(), 1)
  assert.equal(await page.locator('img').count(), 0)
  assert.deepEqual(complaints, [])
  // The control: what the page may not do, the browser refuses, and the test would hear of it.
  await page.evaluate(`document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="alert(3)">')`)
  await waitUntil(() => complaints.length > 0, { timeoutMs: 60_000, what: "the browser's refusal" })
  assert.match(complaints.join('\n'), /Content Security Policy/)
})

test('the page brings itself up to date and stays where it was scrolled to', async (t) => {
  const redis = await startRedis(t)
  await fill(
    redis,
    Array.from({ length: 25 }, (_, i) => `stream:conversation:${i}`),
  )
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
  await daemon.waitForLog('sweep')
  const { page, complaints } = await openPage(t, daemon)
  await page.evaluate('scrollTo(0, 300)')
  await page.getByRole('link', { name: 'healthz' }).focus({ timeout: 5_000 })
  await page.evaluate('scrollTo(0, 300)')
  const caption = page.locator('figcaption')
  const before = await caption.textContent()
  await waitUntil(async () => (await caption.textContent()) !== before, {
    timeoutMs: 60_000,
    what: 'the page to be new',
  })

  assert.equal(await page.evaluate('scrollY'), 300)
  assert.equal(await page.evaluate('document.activeElement.textContent'), 'healthz', 'the keyboard stays where it was')
  assert.deepEqual(complaints, [])
})

test('the page follows light and dark, and names what it shows to a screen reader', async (t) => {
  const redis = await startRedis(t)
  await fill(redis, ['stream:conversation:a'])
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
  await daemon.waitForLog('sweep')
  const background = (page: Page) => page.evaluate('getComputedStyle(document.documentElement).colorScheme')
  const [light, dark] = [await openPage(t, daemon, 'light'), await openPage(t, daemon, 'dark')]

  assert.equal(await background(light.page), await background(dark.page))
  const colour = ({ page }: { page: Page }) => page.evaluate('getComputedStyle(document.body).color')
  assert.notEqual(await colour(light), await colour(dark))
  assert.match((await light.page.getByRole('img').getAttribute('aria-labelledby')) ?? '', /chart-told/)
  assert.equal(await light.page.getByRole('navigation', { name: 'Endpoints' }).getByRole('link').count(), 3)
  assert.equal(await light.page.getByRole('columnheader').count(), 10)
})

test('--stream-metrics 0 keeps keys off the page', async (t) => {
  const redis = await startRedis(t)
  await fill(redis, ['stream:conversation:who-talks-to-whom'])
  const shown = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
  const hidden = await startDaemon(t, [
    '--redis-url',
    redis.url,
    '--lease-key',
    'other',
    '--stream-metrics',
    '0',
    ...EVERY_SECOND,
  ])
  for (const daemon of [shown, hidden]) await daemon.waitForLog('sweep')

  assert.match(await (await shown.get('/')).text(), /who-talks-to-whom/)
  assert.doesNotMatch(await (await hidden.get('/')).text(), /who-talks-to-whom/)
  assert.doesNotMatch(await hidden.metrics(), /who-talks-to-whom/)
})

test('what is done between sweeps is on the page', async (t) => {
  const redis = await startRedis(t, { config: { maxmemory: '100mb' } })
  const flags = ['--watch', '--watch-configure', '--watch-every', '5', '--pressure', '80%', '--pressure-interval', '1s']
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...flags, '--max-length', '10'])
  await daemon.waitForLog('watching')
  for (let i = 0; i < 200; i++) await redis.command('XADD', 'stream:conversation:a', '*', 'body', 'x')
  await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === 200)
  const page = await waitUntil(
    async () => {
      const text = await (await daemon.get('/')).text()
      return /hears 1 of 1 primaries: 200 writes/.test(text) && /sweeps above 80mb/.test(text) ? text : ''
    },
    { timeoutMs: 60_000, what: 'the page to tell' },
  )
  assert.match(page, /<dt>sweeps under pressure<\/dt><dd>0<\/dd>/)
  const plain = await startDaemon(t, ['--redis-url', redis.url, '--lease=false'])
  assert.doesNotMatch(await (await plain.get('/')).text(), /primaries|pressure/)
})

/** The status page in a real browser. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, describe, type TestContext, test } from 'node:test'
import { type Browser, chromium, type Page } from 'playwright-core'
import { temporaryFolder } from '../harness/files.ts'
import { EVERY_SECOND, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

/** One browser for all tests, without access to other machines. */
let browser: Promise<Browser> | undefined
after(async () => (await browser)?.close())

/** A page in that browser, and everything the browser complained about. */
async function openPage(
  t: TestContext,
  { url }: { readonly url: string },
  colorScheme: 'light' | 'dark' = 'light',
): Promise<{ page: Page; complaints: string[] }> {
  browser ??= chromium.launch({
    executablePath: process.env.TEST_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking'],
  })
  const page = await (await browser).newPage({ colorScheme, viewport: { width: 1000, height: 600 } })
  t.after(() => page.close())
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => complaints.push(message.text()))
  page.on('dialog', (dialog) => complaints.push(`a dialog: ${dialog.message()}`))
  await page.goto(url)
  return { page, complaints }
}

async function fill(redis: RedisServer, keys: readonly string[]): Promise<void> {
  const from = (await redisNow(redis)) - 3_600_000
  for (const key of keys) await fillStream(redis, key, { count: 1_500, from, stepMs: 1, bytes: 10 })
}

// Concurrent, because each test mostly waits for the page to refresh.
describe('the status page', { concurrency: 4 }, () => {
  test('a key that contains markup is shown as text, and nothing in it runs', async (t) => {
    const redis = await startRedis(t)
    const key = 'stream:conversation:<img src=x onerror=alert(1)><script>alert(2)</script>'
    await fill(redis, [key])
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
    await daemon.waitForLog('sweep')
    const { page, complaints } = await openPage(t, daemon)

    assert.equal(await page.getByText(key, { exact: true }).count(), 1)
    assert.equal(await page.locator('img').count(), 0)
    assert.deepEqual(complaints, [])
    // The control: as markup, the browser would refuse to run it, and the test would notice.
    const isRefused = (what: RegExp) => () => complaints.some((complaint) => what.test(complaint))
    await page.evaluate(`document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="alert(3)">')`)
    const handler = /inline event handler.*Content Security Policy directive[\s\S]*script-src/
    await waitUntil(isRefused(handler), { timeoutMs: 60_000, what: 'the handler to be refused' })
    await page.evaluate(`document.body.append(Object.assign(document.createElement('script'), { text: 'alert(4)' }))`)
    await waitUntil(isRefused(/inline script[\s\S]*script-src 'sha256/), {
      timeoutMs: 60_000,
      what: 'the script to be refused',
    })
    await page.evaluate(`document.body.append(Object.assign(document.createElement('style'), { textContent: 'p {}' }))`)
    await waitUntil(isRefused(/inline style[\s\S]*style-src 'sha256/), {
      timeoutMs: 60_000,
      what: 'the style to be refused',
    })
    assert.doesNotMatch(complaints.join('\n'), /a dialog/)
  })

  test('the page refreshes itself and keeps its scroll position', async (t) => {
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
    const caption = page.locator('#chart-told')
    const before = await caption.textContent()
    await waitUntil(async () => (await caption.textContent()) !== before, {
      timeoutMs: 60_000,
      what: 'the page to refresh',
    })

    assert.equal(await page.evaluate('scrollY'), 300)
    assert.equal(
      await page.evaluate('document.activeElement.textContent'),
      'healthz',
      'the keyboard stays where it was',
    )
    assert.deepEqual(complaints, [])
  })

  test('the page follows light and dark themes, and has names for screen readers', async (t) => {
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
    // On a telephone nothing is cut off, and no column is too narrow for words.
    await dark.page.setViewportSize({ width: 390, height: 700 })
    assert.equal(await dark.page.evaluate('document.documentElement.scrollWidth'), 390)
    const cells = 'Array.from(document.querySelectorAll("main > table td"), (cell) => cell.clientWidth)'
    const widths = (await dark.page.evaluate(cells)) as number[]
    assert.ok(Math.min(...widths) >= 36, `${widths}`)
  })

  test('the page names the groups that hold streams back; --stream-metrics 0 hides the keys, not the groups', async (t) => {
    const redis = await startRedis(t, { config: { maxmemory: '100mb' } })
    const key = 'stream:conversation:who-talks-to-whom'
    await fill(redis, [key, `${key}-too`])
    const group = '<script>alert(5)</script>'
    for (const one of [key, `${key}-too`]) await redis.command('XGROUP', 'CREATE', one, group, '0')
    const protect = ['--protect', 'unread']
    const shown = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...protect])
    const hidden = await startDaemon(t, [
      '--redis-url',
      redis.url,
      '--lease-key',
      'other',
      '--stream-metrics',
      '0',
      ...EVERY_SECOND,
      ...protect,
    ])
    for (const daemon of [shown, hidden]) await daemon.waitForLog('sweep')
    const [{ page, complaints }, other] = [await openPage(t, shown), await openPage(t, hidden)]

    const held = (one: Page) => one.locator('h2:has-text("Held back") + table tr').allInnerTexts()
    const [head, first, second, ...more] = await held(page)
    assert.match(head ?? '', /^stream\s+policy\s+group\s+last alive$/)
    const alive = /<script>alert\(5\)<\/script>\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/
    assert.match(first ?? '', new RegExp(`^${key}(-too)?\\s+stream:conversation:\\*\\s+${alive.source}`))
    assert.match(second ?? '', alive)
    assert.deepEqual(more, [])
    // Two streams of one policy, held back by the same group: without the keys they share a row.
    const [, only, ...others] = await held(other.page)
    assert.match(only ?? '', new RegExp(`^stream:conversation:\\*\\s+${alive.source}`))
    assert.deepEqual(others, [])
    assert.deepEqual([complaints, other.complaints], [[], []])

    assert.match(await page.content(), /who-talks-to-whom/)
    assert.doesNotMatch(await other.page.content(), /who-talks-to-whom/)
    assert.doesNotMatch(await hidden.metrics(), /who-talks-to-whom/)
    const told = await page.locator('dl').innerText()
    assert.match(told, /lease\s+this copy sweeps/)
    assert.match(told, /Redis memory\s+[\d.]+mb of 100mb/)
  })

  test('the keyboard reaches everything in order, opened details stay open, and axe finds no accessibility problems', async (t) => {
    const redis = await startRedis(t)
    await fill(redis, ['stream:conversation:a'])
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
    await daemon.waitForSuccesses(2)
    const axe = await readFile(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
    const walk = async (colorScheme: 'light' | 'dark'): Promise<void> => {
      const { page, complaints } = await openPage(t, daemon, colorScheme)
      const focused: string[] = []
      for (let i = 0; i < 5; i++) {
        await page.keyboard.press('Tab')
        focused.push(await page.evaluate('document.activeElement.textContent'))
      }
      assert.deepEqual(focused, ['Pause updates', 'Figures for each sweep', 'metrics', 'healthz', 'readyz'])
      for (let i = 0; i < 3; i++) await page.keyboard.press('Shift+Tab')
      await page.keyboard.press('Enter')
      const rows = page.locator('#figures tbody tr')
      const before = await rows.count()
      await waitUntil(async () => (await rows.count()) > before, { timeoutMs: 60_000, what: 'the page to refresh' })
      assert.match((await rows.first().innerText()) ?? '', /UTC\s+success\s+0\s+\d+ ms$/)
      assert.equal(await page.evaluate('document.activeElement.textContent'), 'Figures for each sweep')

      await page.evaluate(axe)
      const broken = 'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes[0].html))'
      assert.deepEqual(await page.evaluate(broken), [])
      assert.deepEqual(complaints, [])
      // The control: it does find an element without a name, and unreadable colours.
      await page.evaluate(
        `document.body.insertAdjacentHTML('beforeend', '<button></button><p><font color="#777777">hard to read</font></p>')`,
      )
      const found = (await page.evaluate(broken)) as string[]
      const rules = ['button-name', 'color-contrast'].filter((rule) => found.some((one) => one.startsWith(rule)))
      assert.deepEqual(rules, ['button-name', 'color-contrast'], `${found}`)
    }
    await Promise.all([walk('light'), walk('dark')])
  })

  test('selecting text or pausing stops the refresh, which resumes afterwards', async (t) => {
    const redis = await startRedis(t)
    await fill(redis, ['stream:conversation:a'])
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
    await daemon.waitForLog('sweep')
    const { page } = await openPage(t, daemon)
    const isTold = (what: string) => async () => (await page.getByRole('status').textContent()) === what
    const caption = page.locator('#chart-told')

    await page.getByRole('rowheader', { name: 'stream:conversation:a' }).selectText()
    await waitUntil(isTold('Paused while text is selected.'), { timeoutMs: 60_000, what: 'the page to say so' })
    assert.equal(await page.evaluate('String(getSelection())'), 'stream:conversation:a')
    const before = await caption.textContent()
    const pause = page.getByRole('button', { name: 'Pause updates' })
    // By keyboard, because a click would end the selection.
    await pause.press('Enter', { timeout: 5_000 })
    await waitUntil(isTold('Paused.'), { timeoutMs: 60_000, what: 'the page to say so' })
    assert.equal(await pause.getAttribute('aria-pressed'), 'true')
    await page.evaluate('getSelection().empty()')
    assert.equal(await caption.textContent(), before)
    await pause.click({ timeout: 5_000 })
    await waitUntil(isTold(''), { timeoutMs: 60_000, what: 'the page to resume' })
    assert.notEqual(await caption.textContent(), before)
  })

  test('a page without answers says how old it is; a former leader that was frozen points to the new one', async (t) => {
    const redis = await startRedis(t)
    await fill(redis, ['stream:conversation:a'])
    const args = ['--redis-url', redis.url, '--lease-ttl', '2s', '--reply-timeout', '1s', ...EVERY_SECOND]
    const daemon = await startDaemon(t, args)
    await daemon.waitForLog('sweep')
    const { page } = await openPage(t, daemon)
    const verdict = page.locator('.verdict')
    const isTold = (what: RegExp) => async () => what.test((await page.getByRole('status').textContent()) ?? '')
    assert.equal(await verdict.textContent(), 'The one stream is inside its policy.')

    const standby = await startDaemon(t, args)
    process.kill(daemon.pid, 'SIGSTOP')
    await waitUntil(isTold(/^No answer since \d\d:\d\d:\d\d UTC\. This page shows the state at that time\.$/), {
      timeoutMs: 60_000,
      what: 'the page to say how old it is',
    })
    await standby.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    process.kill(daemon.pid, 'SIGCONT')
    await waitUntil(isTold(/^$/), { timeoutMs: 60_000, what: 'the page to refresh' })
    await waitUntil(async () => /^Another copy leads/.test((await verdict.textContent()) ?? ''), {
      timeoutMs: 60_000,
      what: 'the former leader to say so',
    })
    assert.match(
      (await verdict.textContent()) ?? '',
      /^Another copy leads; its page has the current numbers\. The numbers below are from this copy's last sweep, (?:.* ago|just now)\.$/,
    )
    assert.equal(await verdict.getAttribute('class'), 'verdict plain')
    assert.match(
      await (await standby.get('/')).text(),
      /<p class="verdict good">The one stream is inside its policy\.</,
    )
  })

  test('the page works behind a proxy under another path, and does not replace itself with a login page', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
    await daemon.waitForLog('sweep')
    let isLoggedIn = true
    const proxy = createServer(async ({ url = '' }, response) => {
      const got =
        isLoggedIn && url.startsWith('/ops/xtrimd/') ? await daemon.get(url.slice('/ops/xtrimd'.length)) : null
      const body = (await got?.text()) ?? '<!doctype html><title>Log in</title><main><form><input></form></main>'
      response.writeHead(got?.status ?? 200, Object.fromEntries(got?.headers ?? [])).end(body)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    t.after(() => proxy.close())
    t.after(() => proxy.closeAllConnections())
    const { page } = await openPage(t, { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/ops/xtrimd/` })
    assert.deepEqual(
      await page.evaluate('Array.from(document.links, (link) => link.pathname)'),
      ['metrics', 'healthz', 'readyz'].map((name) => `/ops/xtrimd/${name}`),
    )
    const verdict = page.locator('.verdict')
    const notice = page.getByRole('status')
    const before = await page.locator('dl').textContent()
    await waitUntil(async () => (await page.locator('dl').textContent()) !== before, {
      timeoutMs: 60_000,
      what: 'the page to refresh',
    })
    isLoggedIn = false
    await waitUntil(async () => /^No answer since/.test((await notice.textContent()) ?? ''), {
      timeoutMs: 60_000,
      what: 'the page to say how old it is',
    })
    assert.equal(await verdict.textContent(), 'No stream matches a policy.')
  })

  test('the page shows where the archive is, why and since when it fails, and no failure once it works', async (t) => {
    const redis = await startRedis(t)
    await fill(redis, ['stream:conversation:a', 'cache:a'])
    const folder = join(temporaryFolder(t, 'archive'), '<img src=x>')
    mkdirSync(folder)
    writeFileSync(join(folder, 'v1'), 'a file where the folder should be')
    const policy = ['--policy', 'cache:*,archive=false']
    const args = ['--redis-url', redis.url, ...EVERY_SECOND, ...policy, '--archive', `file://${folder}`]
    const daemon = await startDaemon(t, args)
    await daemon.waitForLog('sweep')
    const { page, complaints } = await openPage(t, daemon)
    const told = (name: string) => page.locator(`dt:text-is("${name}") + dd`).allTextContents()

    assert.deepEqual(await told('archive'), [`file://${folder}`])
    const [error = '', ...more] = await told('archive error')
    assert.match(
      error,
      /^since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: could not store .*\/v1\/policy=.* \((?:ENOTDIR|EEXIST)\)$/,
    )
    assert.deepEqual(more, [])
    assert.match((await page.locator('.verdict').textContent()) ?? '', /did not succeed: could not store/)
    assert.deepEqual(await told('archived'), ['nothing'])
    const row = page.locator('h2:text-is("Policies") + table tr', { hasText: 'cache:*' })
    assert.match(await row.innerText(), /archive false/)
    const failures = { cause: 'missing' }
    await daemon.waitForMetric('xtrimd_archive_failures_total', failures, (n) => n >= 3)
    const since = (text = ''): string => text.split(': could')[0] ?? ''
    assert.equal(since((await told('archive error'))[0]), since(error), 'the first failure counts')

    rmSync(join(folder, 'v1'))
    await waitUntil(async () => (await told('archive error')).length === 0, { timeoutMs: 60_000, what: 'a success' })
    assert.match((await page.locator('.verdict').textContent()) ?? '', /inside their policies/)
    assert.equal(await page.locator('img').count(), 0)
    assert.deepEqual(complaints, [])
    const plain = await startDaemon(t, ['--redis-url', redis.url, '--lease=false'])
    assert.doesNotMatch(await (await plain.get('/')).text(), /archive/)
  })

  test('the page shows what is done between sweeps', async (t) => {
    const redis = await startRedis(t, { config: { maxmemory: '100mb' } })
    const flags = [
      '--watch',
      '--watch-configure',
      '--watch-every',
      '5',
      '--pressure',
      '80%',
      '--pressure-interval',
      '1s',
    ]
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...flags, '--max-length', '10'])
    await daemon.waitForLog('watching')
    for (let i = 0; i < 200; i++) await redis.command('XADD', 'stream:conversation:a', '*', 'body', 'x')
    await daemon.waitForMetric('xtrimd_watch_writes_total', {}, (writes) => writes === 200)
    const page = await waitUntil(
      async () => {
        const text = await (await daemon.get('/')).text()
        return /listening to 1 of 1 primaries: 200 writes/.test(text) && /sweeps above 80mb/.test(text) ? text : ''
      },
      { timeoutMs: 60_000, what: 'the page to show it' },
    )
    assert.match(page, /<dt>sweeps under pressure<\/dt><dd>0<\/dd>/)
    const plain = await startDaemon(t, ['--redis-url', redis.url, '--lease=false'])
    assert.doesNotMatch(await (await plain.get('/')).text(), /primaries|pressure/)
  })
})

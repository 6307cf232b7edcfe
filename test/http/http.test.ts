/** The daemon's HTTP endpoints. */

import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { type Daemon, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

test('every endpoint has a content type, and HEAD answers like GET without the body', async (t) => {
  const redis = await startRedis(t)
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER])
  await daemon.waitForLog('sweep')
  for (const [path, type] of [
    ['/', 'text/html; charset=utf-8'],
    ['/metrics', 'text/plain; version=0.0.4; charset=utf-8'],
    ['/healthz', 'text/plain; charset=utf-8'],
    ['/readyz', 'text/plain; charset=utf-8'],
    ['/readyz?from=kubelet', 'text/plain; charset=utf-8'],
  ] as const) {
    const got = await daemon.get(path)
    assert.deepEqual([got.status, got.headers.get('content-type')], [200, type], path)
    assert.ok((await got.text()).length > 0)
    const head = await daemon.get(path, { method: 'HEAD' })
    assert.deepEqual([head.status, head.headers.get('content-type')], [200, type], path)
    assert.ok(Number(head.headers.get('content-length')) > 0)
    assert.equal(await head.text(), '')
  }
})

test('methods other than GET and HEAD get a 405 that names the allowed ones, and change nothing', async (t) => {
  const daemon = await startDaemon(t, ['--redis-url', 'redis://127.0.0.1:1', ...HARDLY_EVER, '--run-on-start=false'])
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    for (const path of ['/', '/metrics', '/healthz', '/nothing']) {
      const refused = await daemon.get(path, { method })
      assert.deepEqual([refused.status, refused.headers.get('allow')], [405, 'GET, HEAD'], `${method} ${path}`)
    }
  }
  assert.equal(await daemon.metric('xtrimd_sweeps_total'), 0)
})

test('every unknown path gets a 404, also the names of object properties', async (t) => {
  const daemon = await startDaemon(t, ['--redis-url', 'redis://127.0.0.1:1', ...HARDLY_EVER, '--run-on-start=false'])
  for (const path of ['/nothing', '/metrics/', '//', '/constructor', '/__proto__', '/%00', '*']) {
    assert.equal(await statusOf(daemon, path), 404, path)
  }
})

/** The status for a path sent unchanged: fetch would normalise it. */
function statusOf({ port }: Daemon, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, timeout: 20_000 }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })
}

test('without Redis both probes succeed and the other endpoints answer', async (t) => {
  const daemon = await startDaemon(t, ['--redis-url', 'redis://127.0.0.1:1', ...HARDLY_EVER])
  assert.equal((await daemon.waitForLog('sweep')).cause, 'connect')
  for (const path of ['/healthz', '/readyz']) {
    const probed = await daemon.get(path)
    assert.deepEqual([probed.status, await probed.text()], [200, 'ok\n'])
  }
  assert.match(await (await daemon.get('/')).text(), /did not succeed: 127\.0\.0\.1:1: connect ECONNREFUSED/)
})

test('a stream key that is a script is shown on the status page, never run', async (t) => {
  const redis = await startRedis(t)
  const key = 'stream:conversation:<script>alert("&\'")</script>'
  await fillStream(redis, key, { count: 1_500, from: (await redisNow(redis)) - 3_600_000, stepMs: 1, bytes: 10 })
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER])
  await daemon.waitForLog('sweep')

  const page = await (await daemon.get('/')).text()

  assert.equal(page.match(/<script/gi)?.length, 1, "the page's own script is the only one")
  assert.ok(page.includes('stream:conversation:&#60;script&#62;alert(&#34;&#38;&#39;&#34;)&#60;/script&#62;'))
  const response = await daemon.get('/')
  assert.match(response.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  // In the metrics the same key is an ordinary label.
  assert.equal(await daemon.metric('xtrimd_stream_length', { stream: key }), 1_000)
})

test('the status page shows the last sweep, the next one, each policy and the longest streams', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, 'stream:conversation:a', {
    count: 3_000,
    from: (await redisNow(redis)) - 3_600_000,
    stepMs: 1,
    bytes: 10,
  })
  const daemon = await startDaemon(t, [
    ...['--redis-url', redis.url, ...HARDLY_EVER, '--policy', 'stream:fanout:*,name=fanout,max-length=off'],
  ])
  await daemon.waitForLog('sweep')
  const page = (await (await daemon.get('/')).text()).replace(/<[^>]+>/g, ' ').replace(/\s+/g, ' ')
  assert.match(
    page,
    /The one stream is inside its policy\. .*now waiting, at \d{4}-.* next sweep \d{4}-01-01 00:00:00 UTC, in .* last sweep success, (?:just now|\d+s ago); it took [\d.]+ m?s for 1 stream /,
  )
  assert.match(page, /entries 3,000 before, 1,000 after removed 0 by age, 2,000 by length, 0 by bytes/)
  assert.match(page, /The last sweep: at most 2,000 entries removed, at most [\d.]+ m?s, all successful\./)
  assert.match(page, /fanout max-age 1d max-length off 0 0 0 0/)
  assert.match(page, /stream:conversation:\* max-age 1d max-length 1,000 1 1,000 1,000 0/)
  assert.match(page, /Longest streams .* stream:conversation:a stream:conversation:\* 1,000 \/ 1,000/)
})

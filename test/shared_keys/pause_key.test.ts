/** The pause key: what it holds, what it may replace, and where Redis is short of memory or a cluster. */

import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { describe, test } from 'node:test'
import { PauseKey } from '../../src/shared_keys/pause_key.ts'
import { configOf } from '../harness/configured.ts'
import { runXtrimd } from '../harness/program.ts'
import { migrate, openSlot, startCluster } from '../harness/redis_cluster.ts'
import { startRedis } from '../harness/redis_server.ts'

const KEY = 'xtrimd:pause'

function keyOf(...args: readonly string[]): PauseKey {
  const { topology, reach } = configOf(args).redis
  return new PauseKey(KEY, topology, reach)
}

const NOTHING = { sinceMs: null, untilMs: null, reason: null, by: null }

describe('the pause key', { concurrency: 3 }, () => {
  test('it holds since when, until when, why and on which machine, and nothing else', async (t) => {
    const redis = await startRedis(t)
    const secret = `redis://default:hunter2@127.0.0.1:${redis.port}`
    await redis.command('CONFIG', 'SET', 'requirepass', 'hunter2')
    await redis.command('AUTH', 'hunter2')
    const before = Date.now()
    assert.equal((await runXtrimd(['pause', '--redis-url', secret, '--for', '2h', '--reason', 'why'])).code, 0)
    const { since, until, ...rest } = JSON.parse(String(await redis.command('GET', KEY))) as Record<string, string>
    assert.deepEqual(rest, { reason: 'why', by: hostname() })
    const sinceMs = Date.parse(since ?? '')
    assert.ok(sinceMs >= before - 1 && sinceMs <= Date.now(), since)
    assert.equal(Date.parse(until ?? ''), sinceMs + 7_200_000)
    const left = Number(await redis.command('PTTL', KEY))
    assert.ok(left > 7_100_000 && left <= 7_200_000, `${left} ms`)
    // Another pause replaces it. Without --for it has no end.
    assert.equal((await runXtrimd(['pause', '--redis-url', secret])).code, 0)
    assert.equal(await redis.command('PTTL', KEY), -1)
    const resumed = await runXtrimd(['resume', '--redis-url', secret])
    assert.match(resumed.stdout, /^Resumed\. It was paused since/)
    assert.equal(await redis.command('EXISTS', KEY), 0)
    const again = await runXtrimd(['resume', '--redis-url', secret])
    assert.deepEqual([again.code, again.stdout], [0, 'Nobody had paused.\n'])
  })

  test('any string pauses, and what it says is read with care', async (t) => {
    const redis = await startRedis(t)
    const key = keyOf('--redis-url', redis.url)
    assert.equal(await key.read(), null)
    for (const [value, read] of [
      ['1', NOTHING],
      ['', NOTHING],
      ['null', NOTHING],
      ['[1]', NOTHING],
      ['{"since":7,"until":"never","reason":["x"],"by":{}}', NOTHING],
      [
        '{"since":"2026-01-02T03:04:05Z","reason":"a\\u001b[31mb"}',
        { ...NOTHING, sinceMs: Date.UTC(2026, 0, 2, 3, 4, 5), reason: 'a [31mb' },
      ],
      [JSON.stringify({ by: 'x'.repeat(10_000) }), { ...NOTHING, by: 'x'.repeat(500) }],
    ] as const) {
      await redis.command('SET', KEY, value)
      assert.deepEqual(await key.read(), read, value)
    }
  })

  test('pause and resume leave a key of another type alone', async (t) => {
    const redis = await startRedis(t)
    const key = keyOf('--redis-url', redis.url)
    await redis.command('XADD', KEY, '*', 'a', 'b')
    for (const act of [() => key.set(NOTHING), () => key.delete(), () => key.read()])
      await assert.rejects(act, { code: 'WRONGTYPE', message: /^--pause-key xtrimd:pause exists and is not a pause/ })
    assert.equal(await redis.command('XLEN', KEY), 1)
  })

  test('one can pause and resume while Redis is out of memory', async (t) => {
    const redis = await startRedis(t)
    if (((await redis.command('COMMAND', 'INFO', 'EVAL_RO')) as unknown[])[0] === null)
      return t.skip('Redis before 7.0')
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    await assert.rejects(redis.command('SET', 'other', '1'), /OOM/, 'the control: Redis refuses writes')
    const key = keyOf('--redis-url', redis.url)
    const sinceMs = Date.now()
    await key.set({ sinceMs, untilMs: sinceMs + 60_000, reason: 'full', by: null })
    assert.equal((await key.read())?.reason, 'full')
    assert.ok(Number(await redis.command('PTTL', KEY)) > 50_000)
    assert.equal((await key.delete())?.reason, 'full')
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await redis.command('RPUSH', KEY, 'x')
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    await assert.rejects(key.set(NOTHING), { code: 'WRONGTYPE' })
  })

  test('in a cluster the key is found on the primary of its slot, also while that slot moves', async (t) => {
    const cluster = await startCluster(t)
    const key = keyOf('--redis-mode', 'cluster', '--redis-url', cluster.urls)
    await key.set({ ...NOTHING, reason: 'cluster' })
    const home = await cluster.homeOf(KEY)
    const [source, target] = [cluster.primaries[home], cluster.primaries[(home + 1) % 3]]
    assert.ok(source && target)
    assert.equal(await source.command('EXISTS', KEY), 1)
    const { slotOf } = await import('../../src/redis/slots.ts')
    await openSlot(source, target, slotOf(KEY))
    await migrate(source, target, [KEY])
    assert.equal((await key.read())?.reason, 'cluster', 'the old primary redirects us')
    assert.equal((await key.delete())?.reason, 'cluster')
    assert.equal(await key.read(), null)
  })
})

/** `xtrimd pause`: every copy stops trimming within a renewal of the lease, and goes on after `xtrimd resume`. */

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { sweepLines } from '../harness/daemon_log.ts'
import { assertToldAs } from '../harness/faults.ts'
import { readOutput } from '../harness/output.ts'
import { type Daemon, EVERY_SECOND, HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import { MASTER, startWatchedRedis } from '../harness/redis_sentinel.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { fillBurst } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

const TTL_MS = 6_000
/** A copy reads the key this often. */
const RENEWAL_MS = TTL_MS / 3
/** Delay to allow for on a busy machine: a reading may be late, and a page must end. */
const SLACK_MS = 1_500

const SHORT_TERM = ['--lease-ttl', `${TTL_MS}ms`]
const PAUSED = 'paused: nothing is trimmed'

async function type(redis: { readonly url: string }, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runXtrimd([...args, '--redis-url', redis.url])
  assert.equal(code, 0, stderr)
  return stdout
}

/** Waits until every copy has had time to obey, then asserts that nothing is trimmed for some seconds, though ticks pass. */
async function assertRests(redis: RedisServer, watchedMs = 3_000): Promise<void> {
  await wait(RENEWAL_MS + SLACK_MS)
  const before = await redis.callsOf('xtrim')
  await wait(watchedMs)
  assert.equal(await redis.callsOf('xtrim'), before, 'nothing is trimmed')
}

async function lengthBecomes(redis: RedisServer, key: string, length: number): Promise<void> {
  await waitUntil(async () => Number(await redis.command('XLEN', key)) === length, {
    timeoutMs: 60_000,
    what: `${key} to have ${length} entries`,
  })
}

const isPaused = (daemon: Daemon, is: 0 | 1) => daemon.waitForMetric('xtrimd_paused', {}, (value) => value === is)

suite('the pause', { concurrency: 3 }, () => {
  test('of three copies none trims from one renewal later on, and after the end the sweep is made up for', async (t) => {
    const redis = await startRedis(t)
    const slow = await prepareSlowSweep(t, redis)
    const args = [...slow.args, ...EVERY_SECOND, ...SHORT_TERM]
    const copies = await Promise.all([1, 2, 3].map(() => startDaemon(t, args)))
    await waitUntil(async () => (await slow.gone()) > 0, { timeoutMs: 60_000, what: 'the sweep to be under way' })
    const said = await type(redis, 'pause', '--reason', 'a migration', '--for', '1h')
    assert.match(said, /^Paused since .* UTC by \S+, until .* UTC: a migration\.\nEvery copy stops within /)
    await Promise.all(copies.map((copy) => copy.waitForLog(PAUSED)))
    const swept = () => copies.flatMap((copy) => sweepLines(copy))
    await waitUntil(() => swept().length > 0, { timeoutMs: 60_000, what: 'the sweep in progress to end' })
    const [line] = swept()
    assert.ok(line)
    assertToldAs('somebody pauses trimming during a sweep', line)
    await wait(RENEWAL_MS + SLACK_MS)
    const before = await slow.gone()
    assert.ok(before > 0 && before < slow.surplus, `${before} entries are gone`)
    await wait(3_000)
    assert.equal(await slow.gone(), before)
    assert.equal(swept().length, 1, 'no sweep begins')
    for (const copy of copies) {
      assert.equal(await copy.metric('xtrimd_paused'), 1)
      assert.match(
        await (await copy.get('/')).text(),
        /Paused since .* by .*, until .*: a migration\. Nothing is trimmed\./,
      )
      assert.ok((await copy.metric('xtrimd_sweeps_total', { result: 'skipped' })) > 0)
    }
    // The control: without the pause the same copies go on.
    assert.match(await type(redis, 'resume'), /^Resumed\. It was paused since .*: a migration\.$/m)
    slow.proxy.delay(0)
    await waitUntil(async () => (await slow.gone()) === slow.surplus, {
      timeoutMs: 60_000,
      what: 'every stream to be swept',
    })
    await waitUntil(() => swept().some(({ result }) => result === 'success'), {
      timeoutMs: 60_000,
      what: 'the line of the sweep that made up for it',
    })
    await Promise.all(copies.map((copy) => isPaused(copy, 0)))
  })

  test('a pause survives a restart of all copies, also for the watch and under memory pressure, and ends by itself', async (t) => {
    const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Et', maxmemory: '100mb' } })
    const args = [
      ...['--redis-url', redis.url, ...EVERY_SECOND, ...SHORT_TERM, '--max-length', '100', '--trim', 'exact'],
      ...[
        '--watch',
        '--watch-every',
        '5',
        '--pressure',
        '1%',
        '--pressure-max-length',
        '50',
        '--pressure-interval',
        '200ms',
      ],
    ]
    const first = await startDaemon(t, args)
    await first.waitForLog('watching')
    await type(redis, 'pause')
    await isPaused(first, 1)
    await fillBurst(redis, 'stream:conversation:a', 1_000, 60_000)
    await assertRests(redis)
    await first.stop('SIGKILL')
    const copies = await Promise.all([1, 2].map(() => startDaemon(t, args)))
    await Promise.all(copies.map((copy) => isPaused(copy, 1)))
    await fillBurst(redis, 'stream:conversation:b', 1_000, 60_000)
    await assertRests(redis)
    assert.equal(await redis.command('XLEN', 'stream:conversation:b'), 1_000)
    assert.deepEqual(
      copies.map((copy) => copy.logs.some(({ msg }) => msg === 'watching')),
      [false, false],
    )
    // Another pause replaces the first. --for ends it, and then both the leader's sweep and its watch go on.
    await type(redis, 'pause', '--for', '2s')
    await waitUntil(async () => (await redis.command('EXISTS', 'xtrimd:pause')) === 0, {
      timeoutMs: 60_000,
      what: 'the pause to end',
    })
    await lengthBecomes(redis, 'stream:conversation:b', 50)
    await Promise.all(copies.map((copy) => isPaused(copy, 0)))
    await waitUntil(() => copies.some((copy) => copy.logs.some(({ msg }) => msg === 'watching')), {
      timeoutMs: 60_000,
      what: 'the watch to begin',
    })
  })

  test('a pause survives a failover', async (t) => {
    const watched = await startWatchedRedis(t)
    const sentinels = ['--redis-mode', 'sentinel', '--sentinel-master', MASTER, '--redis-url', watched.urls]
    assert.equal((await runXtrimd(['pause', ...sentinels])).code, 0)
    await watched.primary.command('WAIT', '1', '10000')
    await watched.failOver()
    await watched.untilPrimaryIs(watched.replica)
    await fillBurst(watched.replica, 'stream:conversation:a', 1_000, 60_000)
    const daemon = await startDaemon(t, [...sentinels, ...EVERY_SECOND, ...SHORT_TERM, '--max-length', '10'])
    await isPaused(daemon, 1)
    await assertRests(watched.replica)
    assert.equal((await runXtrimd(['resume', ...sentinels])).code, 0)
    await waitUntil(async () => Number(await watched.replica.command('XLEN', 'stream:conversation:a')) < 200, {
      timeoutMs: 60_000,
      what: 'the stream to be trimmed',
    })
  })

  test('with --lease=false each copy obeys too, and reads the key once a renewal and once a sweep', async (t) => {
    const redis = await startRedis(t)
    const args = ['--redis-url', redis.url, '--lease=false', ...SHORT_TERM, '--pause-key', 'hold']
    const copies = await Promise.all([1, 2].map(() => startDaemon(t, [...args, ...EVERY_SECOND, '--max-length', '10'])))
    await Promise.all(copies.map((copy) => copy.waitForSuccesses(1)))
    await type(redis, 'pause', '--pause-key', 'hold')
    await Promise.all(copies.map((copy) => isPaused(copy, 1)))
    await fillBurst(redis, 'stream:conversation:a', 1_000, 60_000)
    await assertRests(redis)
    for (const copy of copies) assert.equal((await copy.stop()).code, 0)

    const quiet = await startDaemon(t, [...args, ...HARDLY_EVER])
    await isPaused(quiet, 1)
    await quiet.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped === 1)
    const [from, began] = [await redis.callsOf('get'), performance.now()]
    await waitUntil(async () => (await redis.callsOf('get')) - from >= 4, { timeoutMs: 60_000, what: 'four readings' })
    assert.ok(performance.now() - began > 2 * RENEWAL_MS, `${performance.now() - began} ms`)
    // The sweep at start was skipped. The end of the pause makes up for it at once; the next tick is months away.
    await type(redis, 'resume', '--pause-key', 'hold')
    const line = await quiet.waitForLog('sweep')
    assert.deepEqual([line.trigger, line.result], ['resume', 'success'])
  })

  test('a key of another type or one that the ACL hides pauses nothing, which the log says', async (t) => {
    const redis = await startRedis(t)
    await redis.command('RPUSH', 'xtrimd:pause', 'x')
    await redis.command('ACL', 'SETUSER', 'blind', 'on', '>pass', '+@all', '~stream:*', '~xtrimd:lease')
    const blind = `redis://blind:pass@127.0.0.1:${redis.port}`
    for (const [url, cause, reason] of [
      [redis.url, 'WRONGTYPE', /^--pause-key xtrimd:pause exists and is not a pause \(WRONGTYPE/],
      [blind, 'NOPERM', /^the ACL forbids the pause on xtrimd:pause: grant ~xtrimd:pause \+get \(NOPERM/],
    ] as const) {
      const daemon = await startDaemon(t, ['--redis-url', url, ...EVERY_SECOND, '--lease=false', ...SHORT_TERM])
      const line = await daemon.waitForLog('could not read --pause-key')
      assert.deepEqual([line.level, line.cause, line.paused], ['warn', cause, false])
      assert.match(String(line.reason), reason)
      await daemon.waitForSuccesses(2)
      assert.equal(await daemon.metric('xtrimd_paused'), 0)
      assert.equal(daemon.logs.filter(({ msg }) => msg === line.msg).length, 1, 'the log says it once')
      await daemon.stop()
    }
    for (const command of ['pause', 'resume']) {
      const { code, stderr } = await runXtrimd([command, '--redis-url', redis.url])
      assert.equal(code, 1)
      assert.match(
        stderr,
        new RegExp(`^xtrimd: could not ${command}: --pause-key xtrimd:pause exists and is not a pause`),
      )
    }
    assert.equal(await redis.command('LLEN', 'xtrimd:pause'), 1, 'the foreign key is untouched')
  })

  test('a pause lasts while Redis does not answer', async (t) => {
    const redis = await startRedis(t)
    await type(redis, 'pause')
    const args = ['--redis-url', redis.url, ...EVERY_SECOND, '--lease=false', ...SHORT_TERM, '--reply-timeout', '1s']
    const daemon = await startDaemon(t, args)
    await isPaused(daemon, 1)
    await redis.freeze()
    const line = await daemon.waitForLog('could not read --pause-key')
    assert.deepEqual([line.cause, line.paused], ['timeout', true])
    assert.equal(await daemon.metric('xtrimd_paused'), 1)
    await redis.thaw()
    await type(redis, 'resume')
    await daemon.waitForLog('resumed')
    await daemon.waitForSuccesses(1)
  })

  test('explain, plan and sweep typed by hand tell of the pause, and sweep goes on', async (t) => {
    const redis = await startRedis(t)
    await fillBurst(redis, 'stream:conversation:a', 1_000, 60_000)
    const limits = ['--max-length', '10', '--trim', 'exact']
    assert.doesNotMatch(await type(redis, 'plan', ...limits), /paused/i, 'the control: nobody paused')
    assert.equal(readOutput('plan', await type(redis, 'plan', '--output', 'json')).paused, null)
    await type(redis, 'pause', '--reason', 'tests')
    const told = /Paused since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC by \S+: tests\.\s+/
    assert.match(await type(redis, 'plan', ...limits), new RegExp(`${told.source}The daemon does not\\s+sweep\\.`))
    assert.match(
      await type(redis, 'explain', 'stream:conversation:a'),
      new RegExp(`${told.source}The daemon does not\\s+sweep\\.`),
    )
    const explained = readOutput('explain', await type(redis, 'explain', '--output', 'json', 'stream:conversation:a'))
    assert.equal((explained.paused as { reason: string }).reason, 'tests')
    const { paused } = readOutput('plan', await type(redis, 'plan', '--output', 'json')) as Record<string, unknown>
    assert.deepEqual(Object.keys(paused as object), ['since', 'until', 'reason', 'by'])
    const swept = readOutput('sweep', await type(redis, 'sweep', '--output', 'json', ...limits))
    assert.equal((swept.paused as { reason: string }).reason, 'tests')
    assert.equal(await redis.command('XLEN', 'stream:conversation:a'), 10)
    assert.match(await type(redis, 'sweep', ...limits), new RegExp(`${told.source}This\\s+sweep ran all the same\\.`))
  })
})

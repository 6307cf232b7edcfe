/** A sweep under memory pressure goes first, and the sweeps it delays are made up for. */

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Trigger } from '../../src/daemon/sweep_line.ts'
import { Turns } from '../../src/daemon/turns.ts'
import type { SweepReport } from '../../src/sweep/sweep.ts'
import { sweepLines } from '../harness/daemon_log.ts'
import { assertToldAs } from '../harness/faults.ts'
import { HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

const MB = 1024 * 1024
const PRESSURE = ['--pressure', '40mb', '--pressure-max-length', '10', '--pressure-interval', '200ms']

/** Writes a key that is not a stream and takes enough memory to cause pressure. */
function press(redis: RedisServer, key = 'other'): Promise<unknown> {
  return redis.command('SETRANGE', key, String(48 * MB), 'x')
}

// Concurrent, because each test mostly waits for sweeps.
suite('a sweep under pressure', { concurrency: 2 }, () => {
  test('memory pressure cuts a running sweep short, and a successful sweep of everything makes up for it', async (t) => {
    const redis = await startRedis(t)
    const { args, proxy, gone } = await prepareSlowSweep(t, redis)
    // Inside its own policy but over the tighter length, and protected because a group has not read it.
    await fillStream(redis, 'stream:conversation:held', {
      count: 500,
      from: await redisNow(redis),
      stepMs: 1,
      bytes: 10,
    })
    await redis.command('XGROUP', 'CREATE', 'stream:conversation:held', 'slow', '0')
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER, ...PRESSURE, '--protect', 'unread'])
    await waitUntil(async () => (await gone()) > 0, { timeoutMs: 60_000, what: 'the sweep to make progress' })
    await press(redis)
    const cut = await daemon.waitForLog('sweep')
    assertToldAs('memory pressure calls for a sweep while another runs', cut)
    assert.equal(cut.trigger, 'start')
    proxy.delay(0)
    const { result, trigger } = await daemon.waitForLog('sweep', undefined, daemon.logs.indexOf(cut) + 1)
    assert.deepEqual([trigger, result], ['pressure', 'success'])
    const lengths = [0, 100, 199].map((n) => redis.command('XLEN', `stream:conversation:${n}`).then(Number))
    for (const length of await Promise.all(lengths)) assert.ok(length <= 10 + 100, `${length}`)
    assert.ok(
      sweepLines(daemon)
        .slice(1)
        .every((line) => line.trigger === 'pressure'),
      'no sweep is owed',
    )

    // Only the configured policy decides what is over its limits.
    assert.equal(Number(await redis.command('XLEN', 'stream:conversation:held')), 500)
    assert.equal(await daemon.metric('xtrimd_streams_over_limit', { limit: 'length' }), 0)
    assert.equal(await daemon.metric('xtrimd_streams_protected'), 0)
    assert.match(await (await daemon.get('/')).text(), /All 201 streams are inside their policies/)
  })

  test('in a cluster a sweep that was cut short runs again after the one under pressure, and sees every primary', async (t) => {
    const cluster = await startCluster(t)
    const [first] = cluster.primaries as [RedisServer]
    const keys = Array.from({ length: 150 }, (_, n) => `stream:conversation:${n}`)
    const homes = new Map<string, RedisServer>()
    for (const key of keys) {
      const home = cluster.primaries[await cluster.homeOf(key)] as RedisServer
      homes.set(key, home)
      await fillStream(home, key, { count: 1_200, from: await redisNow(home), stepMs: 0, bytes: 10 })
    }
    const own = keys.filter((key) => homes.get(key) === first)
    const slowly = ['--pace', '3', '--page-size', '4', '--lease=false']
    const args = ['--redis-url', cluster.urls, '--redis-mode', 'cluster', ...HARDLY_EVER, ...PRESSURE, ...slowly]
    const daemon = await startDaemon(t, args)
    const isTrimmed = async (key: string): Promise<boolean> =>
      Number(await homes.get(key)?.command('XLEN', key)) < 1_200
    await waitUntil(async () => (await Promise.all(own.map(isTrimmed))).includes(true), {
      timeoutMs: 60_000,
      what: 'the sweep to make progress',
    })
    await press(first, `{${own[0]}}`)
    const behind = await daemon.waitForLog(({ msg, result, trigger }) => {
      return msg === 'sweep' && trigger === 'start' && result === 'success'
    })
    const lines = sweepLines(daemon)
    assert.deepEqual(
      lines.slice(0, 3).map(({ trigger, result, cause }) => [trigger, result, cause]),
      [
        ['start', 'stopped', 'pressure'],
        ['pressure', 'success', undefined],
        ['start', 'success', undefined],
      ],
    )
    assert.equal(behind.streams, keys.length)
    assert.equal((await Promise.all(keys.map(isTrimmed))).includes(false), false)
  })
})

/** Turns whose sweeps end when the test says so. */
function makeTurns(): { turns: Turns; begun: Trigger[]; skipped: Trigger[]; end(report: Partial<SweepReport>): void } {
  const begun: Trigger[] = []
  const skipped: Trigger[] = []
  let ended = Promise.withResolvers<SweepReport>()
  const turns = new Turns(
    new AbortController().signal,
    (why, _changes, cut) => {
      begun.push(why)
      ended = Promise.withResolvers()
      cut.addEventListener('abort', () => ended.resolve({ result: 'stopped', cause: cut.reason } as SweepReport))
      return ended.promise
    },
    (why) => skipped.push(why),
    () => {},
  )
  return { turns, begun, skipped, end: (report) => ended.resolve(report as SweepReport) }
}

const WHOLE = { result: 'success', cause: null, whole: true } as const
const PART = { ...WHOLE, whole: false }

test('a tick during a sweep under pressure is made up for afterwards, unless that sweep saw everything', async () => {
  for (const [report, begins, isSkipped] of [
    [PART, ['pressure', 'schedule'], []],
    [{ result: 'failed', cause: 'connect', whole: false }, ['pressure', 'schedule'], []],
    [WHOLE, ['pressure'], ['schedule']],
  ] as const) {
    const { turns, begun, skipped, end } = makeTurns()
    const pressed = turns.takeUnderPressure({}, true)
    turns.take('schedule')
    turns.take('schedule')
    end(report)
    await pressed
    assert.deepEqual([begun, skipped], [begins, isSkipped], JSON.stringify(report))
  }
})

test('a sweep that had to wait is not cut short again, or pressure could keep it from ever finishing', async () => {
  const { turns, begun, skipped, end } = makeTurns()
  turns.take('schedule')
  const pressed = turns.takeUnderPressure({}, true)
  await waitUntil(() => begun.length === 2, { timeoutMs: 10_000, what: 'the sweep under pressure' })
  end(PART)
  assert.deepEqual(await pressed, PART)
  assert.deepEqual(begun, ['schedule', 'pressure', 'schedule'])
  const again = turns.takeUnderPressure({}, true)
  end(WHOLE)
  assert.equal(await again, null, 'that sweep may have freed enough')
  // A sweep under pressure without a tighter limit waits as well.
  turns.take('schedule')
  const same = turns.takeUnderPressure({}, false)
  end(WHOLE)
  assert.equal(await same, null)
  // The control: a sweep for a new tick can be cut, like the first.
  turns.take('schedule')
  const third = turns.takeUnderPressure({}, true)
  await waitUntil(() => begun.length === 6, { timeoutMs: 10_000, what: 'the sweep under pressure' })
  assert.deepEqual(begun.slice(4), ['schedule', 'pressure'])
  end(WHOLE)
  await third
  assert.deepEqual([begun.length, skipped], [6, []])
})

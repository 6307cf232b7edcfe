/** The lease: of several copies of the daemon only one sweeps; when it is gone, another takes over. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { hasLogged, sweepLines } from '../harness/daemon_log.ts'
import { assertToldAs } from '../harness/faults.ts'
import { startMonitor } from '../harness/monitor.ts'
import { type Daemon, EVERY_SECOND, HARDLY_EVER, type LogLine, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { prepareSlowSweep } from '../harness/slow_sweep.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { sweepWell } from '../harness/sweep_once.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:1'
const LEASE = 'xtrimd:lease'
const TTL_MS = 4_000
/** Delay to allow for on a busy machine. */
const SLACK_MS = 8_000

const SHORT_TERM = ['--lease-ttl', `${TTL_MS}ms`]

function startCopies(t: TestContext, redis: RedisServer, count: number, args: readonly string[]): Promise<Daemon[]> {
  return Promise.all(Array.from({ length: count }, () => startDaemon(t, ['--redis-url', redis.url, ...args])))
}

/** Waits until every copy knows whether it leads. @returns the leader and the others */
async function leaderAmong(copies: readonly Daemon[]): Promise<{ leader: Daemon; others: Daemon[] }> {
  const isSettled = (copy: Daemon) =>
    hasLogged(copy, 'acquired the lease') || hasLogged(copy, 'another copy holds the lease')
  await waitUntil(() => copies.every(isSettled), { timeoutMs: 60_000, what: 'every copy to have asked for the lease' })
  const leads = await Promise.all(copies.map((copy) => copy.metric('xtrimd_leader')))
  assert.deepEqual(leads.toSorted(), [...copies.slice(1).map(() => 0), 1], 'exactly one leads')
  const leader = copies[leads.indexOf(1)] as Daemon
  return { leader, others: copies.filter((copy) => copy !== leader) }
}

async function fill(redis: RedisServer, key: string, count: number): Promise<void> {
  await fillStream(redis, key, { count, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
}

/** These tests mostly wait for ticks and lease terms. */
describe('the lease', { concurrency: 3 }, () => {
  test('of three copies exactly one sweeps, and only that one reports that it leads', async (t) => {
    const redis = await startRedis(t)
    const copies = await startCopies(t, redis, 3, [...EVERY_SECOND, ...SHORT_TERM])
    const { leader, others } = await leaderAmong(copies)
    await leader.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 3)
    for (const other of others) {
      await other.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= 2)
      assert.deepEqual(sweepLines(other), [])
      assert.equal(await other.metric('xtrimd_leader'), 0)
      assert.equal(await other.metric('xtrimd_redis_up'), 1, 'it learned from Redis who leads')
    }
    assert.equal(await leader.metric('xtrimd_leader'), 1)
    // Without renewal the first term would be over by now.
    await leader.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 4)
    assert.equal(leader.logs.filter(({ msg }) => msg === 'acquired the lease').length, 1)
    const left = Number(await redis.command('PTTL', LEASE))
    assert.ok(left > 0 && left <= TTL_MS, `${left} ms`)
  })

  test('with --lease=false every copy sweeps and leads, and none touches the key', async (t) => {
    const redis = await startRedis(t)
    const monitor = await startMonitor(t, redis)
    const copies = await startCopies(t, redis, 2, [...EVERY_SECOND, '--lease', 'false'])
    for (const copy of copies) {
      await copy.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)
      assert.equal(await copy.metric('xtrimd_leader'), 1)
      assert.equal(hasLogged(copy, 'another copy holds the lease'), false)
    }
    const seen = await monitor.commands()
    assert.ok(seen.some(({ name }) => name === 'SCAN'))
    assert.deepEqual(
      seen.filter(({ words }) => words.includes(LEASE)),
      [],
    )
  })

  test('when the leader is killed, another leads once the term is over, not before, and sweeps at once', async (t) => {
    const redis = await startRedis(t)
    // This test has no tick, so a second sweep can only come from the takeover.
    const copies = await startCopies(t, redis, 3, [...HARDLY_EVER, ...SHORT_TERM])
    const { leader, others } = await leaderAmong(copies)
    await leader.waitForLog('sweep')
    await fill(redis, KEY, 3_000)

    await leader.stop('SIGKILL')
    const killedAt = performance.now()
    const left = Number(await redis.command('PTTL', LEASE))
    const successor = await waitUntil(() => others.find((copy) => sweepLines(copy).length > 0), {
      timeoutMs: left + SLACK_MS,
      what: 'another copy to sweep',
      everyMs: 5,
    })
    const tookMs = performance.now() - killedAt
    // Redis's clock and ours count in whole milliseconds.
    assert.ok(tookMs >= left - 5, `taken over after ${tookMs} ms with ${left} ms left`)
    assert.ok(successor)
    const [line] = sweepLines(successor)
    assert.deepEqual([line?.trigger, line?.result], ['takeover', 'success'])
    assert.equal(await redis.command('XLEN', KEY), 1_000)
    const leads = await Promise.all(others.map((copy) => copy.metric('xtrimd_leader')))
    assert.deepEqual(leads.toSorted(), [0, 1])
    assert.equal(others.filter((copy) => sweepLines(copy).length > 0).length, 1)
  })

  test("a waiting copy asks again when the holder's term ends, not only at its own interval", async (t) => {
    const redis = await startRedis(t)
    const [leftMs, turnMs] = [2_500, 30_000]
    await redis.command('SET', LEASE, 'another', 'PX', String(leftMs))
    const [daemon] = (await startCopies(t, redis, 1, [...HARDLY_EVER, '--lease-ttl', `${3 * turnMs}ms`])) as [Daemon]
    await daemon.waitForLog('another copy holds the lease')
    await daemon.waitForLog('acquired the lease', turnMs - 10_000)
    assert.equal((await daemon.waitForLog('sweep')).trigger, 'takeover')
  })

  for (const [title, frozenPastItsTerm] of [
    ['a leader frozen past its term in the middle of a sweep does not continue: another copy swept meanwhile', true],
    ['a leader frozen for less than its term continues its sweep', false],
  ] as const) {
    test(title, async (t) => {
      const redis = await startRedis(t)
      const { proxy, args, surplus, gone } = await prepareSlowSweep(t, redis)
      const term = frozenPastItsTerm ? SHORT_TERM : ['--lease-ttl', '60s']
      // The reply timeout is longer than the freeze: the lost lease must end the sweep, not the timeout.
      const leader = await startDaemon(t, [...args, ...HARDLY_EVER, ...term, '--reply-timeout', '60s'])
      await leader.waitForLog('acquired the lease')
      const [other] = (await startCopies(t, redis, 1, [...HARDLY_EVER, ...term])) as [Daemon]
      await other.waitForLog('another copy holds the lease')
      await waitUntil(async () => (await gone()) > surplus / 40, {
        timeoutMs: 60_000,
        what: 'the sweep to make progress',
      })

      process.kill(leader.pid, 'SIGSTOP')
      if (frozenPastItsTerm) {
        const taken = await other.waitForLog('sweep', TTL_MS + SLACK_MS)
        assert.deepEqual([taken.trigger, taken.result], ['takeover', 'success'])
        process.kill(leader.pid, 'SIGCONT')
        const line = await leader.waitForLog('sweep')
        assertToldAs('the lease is lost during a sweep', line)
        assert.equal(line.level, 'info')
        const removedBy = ({ removed }: LogLine) => (removed as { length: number }).length
        assert.ok(removedBy(line) > 0 && removedBy(taken) > 0)
        assert.equal(removedBy(line) + removedBy(taken), surplus, 'both reported what they did')
        await leader.waitForMetric('xtrimd_leader', {}, (leads) => leads === 0)
        assert.equal(await leader.metric('xtrimd_sweeps_total', { result: 'stopped' }), 1)
        assert.equal(await leader.metric('xtrimd_sweep_failures_total'), 0)
      } else {
        assert.equal(sweepLines(leader).length, 0, 'it was frozen in the middle')
        process.kill(leader.pid, 'SIGCONT')
        await proxy.heal()
        const line = await leader.waitForLog('sweep')
        assert.deepEqual([line.result, line.removed], ['success', { age: 0, length: surplus, bytes: 0, acked: 0 }])
        assert.deepEqual(sweepLines(other), [])
      }
    })
  }

  test('a single copy that was frozen past its term during a sweep sweeps again at once', async (t) => {
    const redis = await startRedis(t)
    const { proxy, args, surplus, gone } = await prepareSlowSweep(t, redis)
    const patience = ['--reply-timeout', '60s', '--pace', '100']
    const daemon = await startDaemon(t, [...args, ...HARDLY_EVER, ...SHORT_TERM, ...patience])
    await waitUntil(async () => (await gone()) > surplus / 40, {
      timeoutMs: 60_000,
      what: 'the sweep to make progress',
    })
    const freezePastItsTerm = async () => {
      process.kill(daemon.pid, 'SIGSTOP')
      await waitUntil(async () => (await redis.command('EXISTS', LEASE)) === 0, {
        timeoutMs: 60_000,
        what: 'its term to be over',
      })
      process.kill(daemon.pid, 'SIGCONT')
    }
    await freezePastItsTerm()
    await proxy.heal()
    await waitUntil(() => sweepLines(daemon).length >= 2, { timeoutMs: 60_000, what: 'two sweeps' })
    assert.deepEqual(
      sweepLines(daemon).map(({ trigger, result, cause }) => [trigger, result, cause]),
      [
        ['start', 'stopped', 'lease-lost'],
        ['takeover', 'success', undefined],
      ],
    )
    assert.equal(await gone(), surplus)

    // The control: without a sweep in progress, it does not sweep again.
    await freezePastItsTerm()
    await waitUntil(() => redis.command('EXISTS', LEASE), { timeoutMs: 60_000, what: 'it to acquire the lease again' })
    await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    assert.equal(sweepLines(daemon).length, 2)
  })

  test('a sweep that failed because Redis was unreachable is repeated as soon as the lease is acquired', async (t) => {
    const redis = await startRedis(t)
    const proxy = await startProxy(t, redis.port)
    await proxy.refuse()
    const start = (more: readonly string[]) =>
      startDaemon(t, ['--redis-url', proxy.url, ...HARDLY_EVER, ...SHORT_TERM, ...more])
    const [daemon, idle] = await Promise.all([start([]), start(['--run-on-start=false', '--lease-key', 'another'])])
    const failed = await daemon.waitForLog('sweep')
    assert.deepEqual([failed.trigger, failed.result, failed.cause], ['start', 'failed', 'connect'])
    await proxy.heal()
    const from = daemon.logs.length
    const line = await daemon.waitForLog('sweep', undefined, from)
    assert.deepEqual([line.trigger, line.result], ['takeover', 'success'])
    // The control: a copy whose sweep was not due does not sweep.
    await idle.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    assert.deepEqual(sweepLines(idle), [])
  })

  test('SIGTERM releases the lease, and another copy acquires it long before the term ends', async (t) => {
    const redis = await startRedis(t)
    const copies = await startCopies(t, redis, 2, [...EVERY_SECOND, '--lease-ttl', '10m'])
    const { leader, others } = await leaderAmong(copies)
    const [other] = others as [Daemon]
    await other.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= 2)
    const token = await redis.command('GET', LEASE)
    assert.equal(typeof token, 'string')

    assert.equal((await leader.stop()).code, 0)
    assert.ok(hasLogged(leader, 'released the lease'))
    assert.notEqual(await redis.command('GET', LEASE), token)
    const line = await other.waitForLog('sweep')
    assert.equal(line.result, 'success')
    assert.equal(await other.metric('xtrimd_leader'), 1)
  })

  test('a lease with another token is neither extended nor deleted, and this copy stops sweeping', async (t) => {
    const redis = await startRedis(t)
    const [daemon] = (await startCopies(t, redis, 1, [...EVERY_SECOND, ...SHORT_TERM])) as [Daemon]
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 1)
    await redis.command('SET', LEASE, 'another', 'PX', '600000')
    await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 0)
    // By the next tick, which is skipped, any sweep in progress has ended.
    const skips = async (more: number): Promise<void> => {
      const before = await daemon.metric('xtrimd_sweeps_total', { result: 'skipped' })
      await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= before + more)
    }
    await skips(1)
    const before = sweepLines(daemon).length
    await skips(2)
    assert.equal(sweepLines(daemon).length, before)

    assert.equal((await daemon.stop()).code, 0)
    assert.equal(await redis.command('GET', LEASE), 'another')
    const left = Number(await redis.command('PTTL', LEASE))
    assert.ok(left > TTL_MS && left < 600_000, `${left} ms: its own term, neither longer nor ours`)
  })

  test('a copy that exits without knowing that it lost the lease logs that it was not released', async (t) => {
    const redis = await startRedis(t)
    // The next renewal is long after this test: the daemon finds out only when it releases the lease.
    const [daemon] = (await startCopies(t, redis, 1, [...HARDLY_EVER, '--lease-ttl', '10m'])) as [Daemon]
    await daemon.waitForLog('sweep')
    await redis.command('SET', LEASE, 'another', 'PX', '600000')
    assert.equal((await daemon.stop()).code, 0)
    assert.equal(hasLogged(daemon, 'released the lease'), false)
    assert.ok(hasLogged(daemon, 'did not release the lease: it was no longer ours'))
    assert.equal(await redis.command('GET', LEASE), 'another')
  })

  test('a lease that was acquired although the reply was lost is released too', async (t) => {
    const redis = await startRedis(t)
    const proxy = await startProxy(t, redis.port)
    proxy.hold('EVAL')
    const args = ['--redis-url', proxy.url, ...HARDLY_EVER, '--lease-ttl', '10m', '--reply-timeout', '2s']
    const daemon = await startDaemon(t, [...args, '--run-on-start=false'])
    await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'it to ask for the lease' })
    proxy.swallowReplies()
    const isTaken = () => redis.command('EXISTS', LEASE)
    await waitUntil(isTaken, { timeoutMs: 60_000, what: 'the lease to be taken' })
    assert.equal((await daemon.waitForLog('could not acquire the lease')).cause, 'timeout')
    assert.equal(await isTaken(), 1)
    await proxy.heal()
    assert.equal((await daemon.stop()).code, 0)
    assert.ok(hasLogged(daemon, 'released the lease'))
    assert.equal(await isTaken(), 0)
  })

  test('while Redis is out of memory the lease cannot be held and every copy sweeps; afterwards only one does', async (t) => {
    const redis = await startRedis(t)
    await fill(redis, KEY, 3_000)
    await redis.command('CONFIG', 'SET', 'maxmemory', '100kb')
    await assert.rejects(redis.command('SET', 'control', 'x'), /OOM/)
    const copies = await startCopies(t, redis, 2, [...EVERY_SECOND, ...SHORT_TERM])
    for (const copy of copies) {
      const line = await copy.waitForLog('sweeping without the lease')
      assert.equal(line.level, 'warn')
      assert.match(String(line.reason), /out of memory/)
      await copy.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)
      assert.equal(await copy.metric('xtrimd_leader'), 1)
    }
    assert.equal(await redis.command('XLEN', KEY), 1_000)
    assert.equal(await redis.command('EXISTS', LEASE), 0)

    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    const { leader, others } = await leaderAmong(copies)
    const before = sweepLines(leader).length
    await waitUntil(() => sweepLines(leader).length > before, {
      timeoutMs: 60_000,
      what: 'the leader to keep sweeping',
    })
    for (const other of others) {
      await other.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= 1)
    }
  })

  test('if the ACL forbids the lease, the log says what to grant, and granting it is enough', async (t) => {
    const redis = await startRedis(t)
    await redis.command('ACL', 'SETUSER', 'ops', 'on', '>pass', '+@all', '~stream:*')
    const args = ['--redis-url', `redis://ops:pass@127.0.0.1:${redis.port}`, ...EVERY_SECOND, ...SHORT_TERM]
    const daemon = await startDaemon(t, args)
    const line = await daemon.waitForLog('sweep')
    assert.deepEqual([line.level, line.result, line.cause], ['error', 'failed', 'NOPERM'])
    assert.match(String(line.reason), /^the ACL forbids the lease on xtrimd:lease: grant ~xtrimd:lease \+/)
    assert.match(String(line.reason), /, or set --lease=false \(/)
    assert.equal(await daemon.metric('xtrimd_leader'), 0)

    await redis.command('ACL', 'SETUSER', 'ops', `~${LEASE}`)
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 1)
    assert.equal(await daemon.metric('xtrimd_leader'), 1)
  })

  test('if the lease key holds something else, the log names the key', async (t) => {
    const redis = await startRedis(t)
    await redis.command('RPUSH', LEASE, 'mine')
    const daemon = await startDaemon(t, ['--redis-url', redis.url])
    const line = await daemon.waitForLog('sweep')
    assert.deepEqual([line.result, line.cause], ['failed', 'WRONGTYPE'])
    assert.match(String(line.reason), /^--lease-key xtrimd:lease exists and is not a lease \(/)
    assert.equal(await redis.command('LLEN', LEASE), 1)
  })

  test('copies with different --lease-keys do not disturb each other', async (t) => {
    const redis = await startRedis(t)
    const start = (key: string) =>
      startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...SHORT_TERM, '--lease-key', key])
    const copies = await Promise.all(['lease:a', 'lease:b'].map(start))
    for (const copy of copies) {
      await copy.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)
      assert.equal(await copy.metric('xtrimd_leader'), 1)
      assert.equal(hasLogged(copy, 'another copy holds the lease'), false)
    }
    assert.deepEqual(((await redis.command('KEYS', '*lease*')) as string[]).toSorted(), ['lease:a', 'lease:b'])
  })

  test('the command sweep ignores the lease', async (t) => {
    const redis = await startRedis(t)
    await redis.command('SET', LEASE, 'another', 'PX', '600000')
    await fill(redis, KEY, 3_000)
    const monitor = await startMonitor(t, redis)
    const { removed } = await sweepWell(redis.url)
    assert.equal(removed.length, 2_000)
    const seen = await monitor.commands()
    assert.ok(seen.some(({ name }) => name === 'XTRIM'))
    assert.deepEqual(
      seen.filter(({ words }) => words.includes(LEASE)),
      [],
    )
  })
})

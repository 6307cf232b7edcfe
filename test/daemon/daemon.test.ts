/** The daemon over time: its schedule, its counters and its log. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { suite, test } from 'node:test'
import { sweepLines } from '../harness/daemon_log.ts'
import { parseExposition, sumOf } from '../harness/exposition.ts'
import { startMonitor, writesAmong } from '../harness/monitor.ts'
import { EVERY_SECOND, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const KEY = 'stream:conversation:1'

// Concurrent, because each test mostly waits for ticks.
suite('the daemon', { concurrency: 2 }, () => {
  test('the daemon sweeps at every tick of the schedule, and exports when the next one is due', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND])
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 4)
    assert.deepEqual(
      sweepLines(daemon)
        .map(({ trigger }) => trigger)
        .slice(0, 4),
      ['start', 'schedule', 'schedule', 'schedule'],
    )
    let series = parseExposition(await daemon.metrics())
    const value = (name: string) => series.find((one) => one.name === name)?.value ?? Number.NaN
    // A sweep that ends late may already have passed the next tick.
    await waitUntil(
      async () => {
        series = parseExposition(await daemon.metrics())
        return value('xtrimd_next_sweep_timestamp_seconds') > value('xtrimd_last_sweep_timestamp_seconds')
      },
      { timeoutMs: 60_000, what: 'the time of the next sweep' },
    )
    assert.equal(value('xtrimd_last_success_timestamp_seconds'), value('xtrimd_last_sweep_timestamp_seconds'))
    assert.equal(
      value('xtrimd_sweep_duration_seconds_count'),
      sumOf(series, 'xtrimd_sweeps_total', { result: 'success' }),
    )
    assert.equal(value('xtrimd_redis_up'), 1)
  })

  test('with --run-on-start=false the first sweep is the first tick of the schedule', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--run-on-start=false'])
    assert.equal((await daemon.waitForLog('sweep')).trigger, 'schedule')
  })

  test('every series whose labels are known in advance is 0 before the first sweep', async (t) => {
    const daemon = await startDaemon(t, [
      ...['--redis-url', 'redis://127.0.0.1:1', ...HARDLY_EVER, '--run-on-start', 'false'],
      ...['--policy', 'stream:fanout:*,name=fanout,max-age=1h'],
    ])
    const own = parseExposition(await daemon.metrics()).filter(({ name }) => name.startsWith('xtrimd_'))
    const labelled = (name: string) =>
      own.filter((series) => series.name === name).map(({ labels }) => Object.values(labels).join(' '))

    const policies = ['fanout', 'stream:conversation:*']
    const limits = ['age', 'length', 'bytes']
    const words = [
      ...['ERR', 'NOPERM', 'NOAUTH', 'WRONGPASS', 'WRONGTYPE', 'READONLY', 'LOADING', 'BUSY', 'OOM', 'MISCONF'],
      ...['MASTERDOWN', 'NOREPLICAS', 'CLUSTERDOWN', 'MOVED', 'ASK', 'TRYAGAIN', 'EXECABORT', 'other'],
    ]
    const each = (values: readonly string[]) =>
      policies.flatMap((policy) => values.map((value) => `${policy} ${value}`))
    const expected: Record<string, readonly string[]> = {
      xtrimd_sweeps_total: ['success', 'partial', 'failed', 'stopped', 'skipped'],
      xtrimd_sweep_failures_total: ['connect', 'timeout', ...words, 'archive'],
      xtrimd_stream_errors_total: words,
      xtrimd_streams: policies,
      xtrimd_streams_empty: policies,
      xtrimd_entries: policies,
      xtrimd_stream_length_max: policies,
      xtrimd_streams_protected: policies,
      xtrimd_streams_over_limit: each(limits),
      xtrimd_entries_trimmed_total: each([...limits, 'acked']),
      xtrimd_entries_trimmed_unread_total: policies,
      xtrimd_entries_added_total: policies,
      xtrimd_streams_deleted_total: each(['empty', 'idle']),
      xtrimd_consumers_reaped_total: policies,
      xtrimd_groups_reaped_total: policies,
      xtrimd_pending_reaped_total: policies,
      xtrimd_streams_skipped_total: each(['custom_ids', 'not_a_stream']),
      xtrimd_redis_up: [''],
      xtrimd_last_sweep_timestamp_seconds: [''],
      xtrimd_last_success_timestamp_seconds: [''],
      xtrimd_redis_memory_used_bytes: [''],
      xtrimd_redis_memory_max_bytes: [''],
      xtrimd_sweep_duration_seconds_count: [''],
      xtrimd_sweep_duration_seconds_sum: [''],
    }
    for (const [name, labels] of Object.entries(expected))
      assert.deepEqual(labelled(name).sort(), [...labels].sort(), name)
    const isNotZero = own.filter(({ value }) => value !== 0).map(({ name }) => name)
    assert.deepEqual(isNotZero.sort(), [
      'xtrimd_build_info',
      'xtrimd_config_last_reload_success_timestamp_seconds',
      'xtrimd_config_last_reload_successful',
      'xtrimd_next_sweep_timestamp_seconds',
    ])
  })

  test('entries written between two sweeps are counted by policy, whatever was removed', async (t) => {
    const redis = await startRedis(t)
    const [chat, bot] = ['stream:conversation:1', 'stream:bot:1']
    const write = async (key: string, count: number) =>
      fillStream(redis, key, { count, from: (await redisNow(redis)) - HOUR, stepMs: 0, bytes: 10 })
    await write(chat, 500)
    const args = ['--policy', 'stream:bot:*,name=bot,max-length=100000', '--max-length', '100', '--trim', 'exact']
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...args])
    const added = (policy: string) => daemon.metric('xtrimd_entries_added_total', { policy })
    await daemon.waitForSuccesses(2)
    assert.deepEqual([await added('bot'), await added('stream:conversation:*')], [0, 0], 'the first sweep counts none')
    for (let round = 1; round <= 3; round++) {
      await redis.command('EVAL', APPEND, '2', chat, bot, '70', '30')
      await daemon.waitForSuccesses(2)
      assert.deepEqual([await added('bot'), await added('stream:conversation:*')], [30 * round, 70 * round])
    }
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total'), 400 + 3 * 70)
    // Entries that somebody else removes are not counted as negative.
    await redis.command('XTRIM', bot, 'MAXLEN', '10')
    await daemon.waitForSuccesses(2)
    assert.equal(await added('bot'), 90)
  })

  test('the counters of removed entries match what disappeared from Redis while a producer keeps writing', async (t) => {
    const redis = await startRedis(t)
    const now = await redisNow(redis)
    const filled = { count: 4_000, stepMs: 1, bytes: 20 }
    await fillStream(redis, 'stream:conversation:old', { ...filled, from: now - 2 * DAY })
    await fillStream(redis, 'stream:conversation:long', { ...filled, from: now - HOUR })
    await fillStream(redis, 'stream:fanout:big', { ...filled, from: now - HOUR })
    const keys = ['stream:conversation:old', 'stream:conversation:long', 'stream:fanout:big']
    let written = 3 * filled.count
    const daemon = await startDaemon(t, [
      ...['--redis-url', redis.url, ...EVERY_SECOND, '--trim', 'exact'],
      ...['--policy', 'stream:fanout:*,name=fanout,max-length=off,max-bytes=100kb'],
    ])

    const sweptTimes = (n: number) => sweepLines(daemon).length >= n
    const deadline = performance.now() + 60_000
    while (!sweptTimes(4)) {
      assert.ok(performance.now() < deadline, daemon.stdout)
      await Promise.all(keys.map((key) => redis.command('XADD', key, '*', 'body', 'x'.repeat(20))))
      written += keys.length
    }
    // The second of these sweeps started after the last message.
    await daemon.waitForSuccesses(2)

    const lengths = await Promise.all(keys.map((key) => redis.command('XLEN', key).then(Number)))
    const left = lengths.reduce((sum, length) => sum + length, 0)
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total'), written - left)
    for (const [labels, least] of [
      [{ policy: 'stream:conversation:*', reason: 'age' }, 4_000],
      [{ policy: 'stream:conversation:*', reason: 'length' }, 3_000],
      [{ policy: 'fanout', reason: 'bytes' }, 1_000],
    ] as const) {
      assert.ok((await daemon.metric('xtrimd_entries_trimmed_total', labels)) >= least)
    }
    // The log lines of the sweeps add up to the same.
    const told = sweepLines(daemon).map(({ removed }) => Object.values(removed as Record<string, number>))
    assert.equal(
      told.flat().reduce((sum, n) => sum + n, 0),
      written - left,
    )
    assert.equal(await daemon.metric('xtrimd_entries'), left)
    assert.equal(await daemon.metric('xtrimd_stream_length_max', { policy: 'stream:conversation:*' }), 1_000)
    assert.equal(await daemon.metric('xtrimd_stream_length', { stream: 'stream:conversation:long' }), 1_000)
  })

  test('ticks during a sweep are skipped and counted, never queued', async (t) => {
    const redis = await startRedis(t)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--reply-timeout', '60s'])
    await daemon.waitForLog('sweep')
    await redis.freeze()
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= 3)
    const ended = sweepLines(daemon).length

    await redis.thaw()
    await waitUntil(() => sweepLines(daemon).length > ended, { timeoutMs: 60_000, what: 'the sweep to end' })
    assert.equal(sweepLines(daemon)[ended]?.result, 'success')
    const skipped = daemon.logs.filter(({ msg }) => msg.startsWith('sweep skipped'))
    assert.ok(skipped.length >= 3 && skipped.every(({ level, trigger }) => level === 'warn' && trigger === 'schedule'))
  })

  test('with --dry-run the daemon issues no write commands, and exports which streams are over their limits', async (t) => {
    const redis = await startRedis(t)
    await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - 2 * DAY, stepMs: 1, bytes: 10 })
    const monitor = await startMonitor(t, redis)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--dry-run'])
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)

    const seen = await monitor.commands()
    assert.ok(seen.filter(({ name }) => name === 'SCAN').length >= 2)
    assert.deepEqual(await writesAmong(redis, seen), [])
    assert.equal((await streamIds(redis, KEY)).length, 3_000)
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total'), 0)
    assert.equal(await daemon.metric('xtrimd_streams_over_limit', { limit: 'length' }), 1)
    assert.match(await (await daemon.get('/')).text(), /dry run: nothing is removed/)
  })

  test('stream keys are logged at debug level only', async (t) => {
    const redis = await startRedis(t)
    const from = (await redisNow(redis)) - HOUR
    for (const key of ['mine', 'theirs']) {
      await fillStream(redis, `stream:conversation:${key}`, { count: 3_000, from, stepMs: 1, bytes: 10 })
    }
    // One stream is trimmed and one refused: both are logged.
    await redis.command('ACL', 'SETUSER', 'ops', 'on', '>pass', '+@all', '~stream:conversation:mine', '~xtrimd:lease')
    const url = `redis://ops:pass@127.0.0.1:${redis.port}`
    const quiet = await startDaemon(t, ['--redis-url', url, ...HARDLY_EVER])
    assert.equal((await quiet.waitForLog('sweep')).result, 'partial')
    await quiet.stop()
    assert.doesNotMatch(quiet.stdout, /mine|theirs/)

    await fillStream(redis, 'stream:conversation:mine', { count: 3_000, from: from + 60_000, stepMs: 1, bytes: 10 })
    const chatty = await startDaemon(t, ['--redis-url', url, ...HARDLY_EVER, '--log-level', 'debug'])
    await chatty.waitForLog('sweep')
    await chatty.stop()
    for (const key of ['mine', 'theirs']) {
      const [line] = chatty.logs.filter(({ stream }) => stream === `stream:conversation:${key}`)
      assert.equal(line?.level, 'debug')
    }
    assert.doesNotMatch(
      chatty.logs
        .filter(({ level }) => level !== 'debug')
        .map((line) => JSON.stringify(line))
        .join('\n'),
      /mine|theirs/,
    )
  })

  test('a password in the URL is in no log line, no metric, not on the status page and not in the process list', async (t) => {
    const password = 'hunter2secret'
    const redis = await startRedis(t, { config: { requirepass: password } })
    const daemon = await startDaemon(t, [
      ...['--redis-url', `redis://:${password}@127.0.0.1:${redis.port}`, ...EVERY_SECOND, '--log-level', 'trace'],
    ])
    await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'success')
    await redis.command('CONFIG', 'SET', 'requirepass', 'another')
    const refused = await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'failed')
    assert.equal(refused.cause, 'WRONGPASS')
    assert.equal((await daemon.metric('xtrimd_sweep_failures_total', { cause: 'WRONGPASS' })) >= 1, true)
    const seen = [
      await daemon.metrics(),
      await (await daemon.get('/')).text(),
      await readFile(`/proc/${daemon.pid}/cmdline`, 'utf8'),
      daemon.stdout,
      daemon.stderr,
    ]
    for (const text of seen) assert.ok(!text.includes(password), text)
    assert.match(seen[2] ?? '', /^xtrimd/)
  })
})

/** Appends so many entries to each of two streams, in one step. */
const APPEND = `
for i, key in ipairs(KEYS) do
  for n = 1, ARGV[i] do redis.call('XADD', key, '*', 'a', n) end
end`

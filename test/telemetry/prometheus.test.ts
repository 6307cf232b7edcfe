/** The metrics as Prometheus itself reads them. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { startDaemon } from '../harness/program.ts'
import { startPrometheus } from '../harness/prometheus.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

test('the trimmed entries that Prometheus has scraped match what disappeared from Redis', async (t) => {
  const redis = await startRedis(t)
  const daemon = await startDaemon(t, ['--redis-url', redis.url, '--cron', '* * * * * *'])
  const prometheus = await startPrometheus(t, daemon.port)
  // Prometheus has now scraped the counters at 0, so no increase can be missed.
  await prometheus.waitForValue('sum(xtrimd_entries_trimmed_total)', (trimmed) => trimmed === 0)
  await prometheus.waitForValue('up{job="xtrimd"}', (up) => up === 1)

  const now = await redisNow(redis)
  const keys = ['stream:conversation:old', 'stream:conversation:long', 'stream:conversation:"quoted\\\n']
  const filling = { count: 4_321, stepMs: 1, bytes: 50 }
  await fillStream(redis, keys[0] ?? '', { ...filling, from: now - 2 * DAY })
  await fillStream(redis, keys[1] ?? '', { ...filling, from: now - HOUR })
  await fillStream(redis, keys[2] ?? '', { ...filling, from: now - HOUR })
  const written = 3 * filling.count

  const seen = 'sum(max_over_time(xtrimd_entries_trimmed_total[1h]) - min_over_time(xtrimd_entries_trimmed_total[1h]))'
  // The first and the last sweep that trimmed anything may be a scrape apart.
  await prometheus.waitForValue('sum(xtrimd_entries)', (entries) => entries > 0 && entries < 2_200)
  await prometheus.waitForValue('sum(xtrimd_entries_trimmed_total)', (trimmed) => trimmed >= written - 2_200)
  const left = (await Promise.all(keys.map((key) => redis.command('XLEN', key).then(Number)))).reduce(
    (a, b) => a + b,
    0,
  )
  await prometheus.waitForValue(seen, (trimmed) => trimmed === written - left)

  const byReason = await prometheus.query('sum by (reason) (xtrimd_entries_trimmed_total) > 0')
  assert.deepEqual(byReason.map(({ labels }) => labels.reason).sort(), ['age', 'length'])
  const lengths = await prometheus.query('xtrimd_stream_length')
  assert.deepEqual(lengths.map(({ labels }) => labels.stream).sort(), [
    'stream:conversation:"quoted\\\\\\x0a',
    'stream:conversation:long',
  ])
  const failed = await prometheus.query(
    'xtrimd_sweeps_total{result!~"success|skipped"} > 0 or xtrimd_sweep_failures_total > 0',
  )
  assert.deepEqual(failed, [])
})

test('promtool finds nothing wrong with our own metrics', async (t) => {
  const redis = await startRedis(t)
  const from = (await redisNow(redis)) - HOUR
  await fillStream(redis, 'stream:conversation:1', { count: 3_000, from, stepMs: 1, bytes: 10 })
  const daemon = await startDaemon(t, ['--redis-url', redis.url])
  await daemon.waitForLog('sweep')
  const own = (await daemon.metrics()).split('\n').filter((line) => /^(# (HELP|TYPE) )?xtrimd_/.test(line))
  assert.ok(own.some((line) => line.startsWith('xtrimd_stream_length{')))
  const check = (lines: readonly string[]) => {
    const ended = spawnSync('promtool', ['check', 'metrics'], { input: `${lines.join('\n')}\n`, encoding: 'utf8' })
    return { status: ended.status, said: ended.stdout + ended.stderr, error: ended.error }
  }

  assert.deepEqual(check(own), { status: 0, said: '', error: undefined })

  // The control: it does complain about metrics that break the conventions.
  const bad = own.map((line) => line.replaceAll('xtrimd_sweeps_total', 'xtrimd_sweeps'))
  const { status, said } = check(bad)
  assert.notEqual(status, 0)
  assert.match(said, /xtrimd_sweeps.*_total/)
})

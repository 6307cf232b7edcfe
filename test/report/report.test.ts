/** The reports of a sweep: JSON for scripts, a table for people, and an exit code for both. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { configure } from '../../src/config/config.ts'
import { settingLines } from '../../src/phrases/settings.ts'
import { planSummary } from '../../src/report/plan_summary.ts'
import { sweepSummary } from '../../src/report/summary.ts'
import { sumOf, Tally } from '../../src/tally/tally.ts'
import { startMonitor } from '../harness/monitor.ts'
import { runXtrimd } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { sweepOnce } from '../harness/sweep_once.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Two policies, and streams that are too old, too long, with custom IDs, empty, and with a reader. */
async function startedRedis(t: TestContext) {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  const filling = { count: 2_500, stepMs: 1, bytes: 10 }
  await fillStream(redis, 'stream:conversation:old', { ...filling, from: now - 2 * DAY })
  await fillStream(redis, 'stream:conversation:long', { ...filling, from: now - HOUR })
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:long', 'group', '0')
  await redis.command('XADD', 'stream:conversation:custom', '5-1', 'a', 'b')
  await redis.command('XGROUP', 'CREATE', 'stream:fanout:empty', 'group', '$', 'MKSTREAM')
  await fillStream(redis, 'stream:fanout:1', { ...filling, from: now - HOUR })
  return redis
}

const FANOUT = ['--policy', 'stream:fanout:*,name=fanout,max-length=2000']

test('--output json prints one object: the result, and by policy what there was, what was removed and why', async (t) => {
  const redis = await startedRedis(t)

  const { report, code, stderr } = await sweepOnce(redis.url, FANOUT)

  assert.deepEqual([code, stderr], [0, ''])
  const { durationSeconds, ...rest } = report as unknown as Record<string, unknown> & { durationSeconds: number }
  assert.ok(durationSeconds > 0 && durationSeconds < 60)
  const none = { age: 0, length: 0, bytes: 0 }
  const reaped = { consumers: 0, groups: 0, pending: 0 }
  const quiet = {
    ...{ archived: 0, archivedBytes: 0, unarchived: 0, deletedStreams: 0 },
    deletedFor: { empty: 0, idle: 0 },
    reaped,
    overLimit: none,
    protectedStreams: 0,
    errors: {},
  }
  assert.deepEqual(rest, {
    result: 'success',
    paused: null,
    streams: 5,
    emptyStreams: 2,
    entries: { before: 7_501, after: 3_001 },
    longestStream: 2_000,
    removed: { age: 2_500, length: 2_000, bytes: 0, acked: 0 },
    unread: 1_500,
    skipped: { custom_ids: 1, not_a_stream: 0 },
    ...quiet,
    policies: [
      {
        policy: 'fanout',
        streams: 2,
        emptyStreams: 1,
        entries: { before: 2_500, after: 2_000 },
        longestStream: 2_000,
        removed: { age: 0, length: 500, bytes: 0, acked: 0 },
        unread: 0,
        skipped: { custom_ids: 0, not_a_stream: 0 },
        ...quiet,
      },
      {
        policy: 'stream:conversation:*',
        streams: 3,
        emptyStreams: 1,
        entries: { before: 5_001, after: 1_001 },
        longestStream: 1_000,
        removed: { age: 2_500, length: 1_500, bytes: 0, acked: 0 },
        unread: 1_500,
        skipped: { custom_ids: 1, not_a_stream: 0 },
        ...quiet,
      },
    ],
    missing: {},
    held: [],
    longest: [
      { stream: 'stream:fanout:1', policy: 'fanout', length: 2_000 },
      { stream: 'stream:conversation:long', policy: 'stream:conversation:*', length: 1_000 },
      { stream: 'stream:conversation:custom', policy: 'stream:conversation:*', length: 1 },
    ],
  })
})

test('the summary says the same in a table of at most 80 columns, followed by notes', async (t) => {
  const redis = await startedRedis(t)

  const ended = await runXtrimd(['sweep', '--redis-url', redis.url, ...FANOUT])

  assert.deepEqual([ended.code, ended.stderr], [0, ''])
  const [first, ...lines] = ended.stdout.split('\n')
  assert.match(first ?? '', /^success in \d+(?: ms|\.\d s)$/)
  assert.deepEqual(lines, [
    '',
    'policy                 streams  before  after   age  length  bytes  longest',
    'fanout                       2    2500   2000     0     500      0     2000',
    'stream:conversation:*        3    5001   1001  2500    1500      0     1000',
    'all                          5    7501   3001  2500    2000      0     2000',
    '',
    'The age, length and bytes columns show which limit removed the entries.',
    '1500 entries removed before a consumer group had read them',
    '1 stream with custom IDs was not trimmed by age',
    '',
    'longest streams',
    '        2000  stream:fanout:1',
    '        1000  stream:conversation:long',
    '           1  stream:conversation:custom',
    '',
  ])
})

test('a sweep that cannot reach Redis fails with exit code 1, and names the cause in both formats', async () => {
  const url = 'redis://127.0.0.1:1'
  const { report, code, stderr } = await sweepOnce(url)
  assert.deepEqual([code, stderr, report.result], [1, '', 'failed'])
  const { cause, reason } = report as { cause?: string; reason?: string }
  assert.deepEqual([cause, reason], ['connect', '127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1'])
  assert.deepEqual([report.streams, report.removed], [0, { age: 0, length: 0, bytes: 0, acked: 0 }])

  const text = await runXtrimd(['sweep', '--redis-url', url])
  assert.equal(text.code, 1)
  // Without a table, because an empty one would look as if Redis held nothing.
  assert.match(
    text.stdout,
    /^failed \(connect: 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1\) in \d+(?: ms|\.\d s)\n$/,
  )
})

test('a sweep fails at the reply deadline if Redis does not answer', async (t) => {
  const redis = await startRedis(t)
  await redis.freeze()
  const { report, code } = await sweepOnce(redis.url, ['--reply-timeout', '200ms'])
  assert.deepEqual([code, report.result, (report as { cause?: string }).cause], [1, 'failed', 'timeout'])
  // The control: with answers, the same sweep succeeds.
  await redis.thaw()
  assert.equal((await sweepOnce(redis.url, ['--reply-timeout', '5s'])).code, 0)
})

test('no summary has a line longer than 80 columns, whatever the names, figures and messages', () => {
  const url = `redis://${'h'.repeat(90)}.example:6379`
  const configured = configure(
    [
      ...['--policy', `${'a-very-long-pattern-'.repeat(5)}:*,max-age=1h`],
      ...['--policy', `b,name=${'n'.repeat(64)}`],
      ...['--policy', 'c,name=short', '--redis-url', url],
    ],
    {},
    '0.0.0',
  )
  assert.equal(configured.kind, 'config')
  const { policies, settings } = (configured as Extract<typeof configured, { kind: 'config' }>).config
  const million = 10_000_000
  const message = 'WRONGPASS invalid username-password pair or user is disabled, said the server at 10.1.2.3:6379'
  const failure = { result: 'failed', cause: 'WRONGPASS', message, failure: 'WRONGPASS' } as const
  const key = (policy: number) => Buffer.from(`${'k'.repeat(200)}${policy}\xff\n`, 'latin1')
  const missing = new Map([
    ['XINFO GROUPS', { neededFor: 'xtrimd_entries_trimmed_unread_total', why: 'forbidden' as const }],
  ])
  const hold = { floor: { ms: 1n, seq: 0n }, group: 'g'.repeat(100) }
  const held = [null, Date.now()].map((lastAliveMs) => ({
    key: key(0),
    policy: 'short',
    hold: { ...hold, lastAliveMs },
  }))
  const assertFits = (text: string): void => {
    for (const line of text.split('\n')) assert.ok(line.length <= 80, `${line.length}: ${line}`)
  }
  for (const figure of [0, 12, 9_999_999]) {
    const tally = new Tally(policies, 10)
    policies.forEach((_, policy) => {
      tally.addOutcome(policy, {
        key: key(policy),
        before: figure * 2,
        after: figure,
        removed: { age: figure, length: figure, bytes: figure, acked: figure },
        unread: figure,
        unarchived: figure,
        deleted: null,
        reaped: { consumers: figure, groups: figure, pending: figure },
        skipped: 'custom_ids',
        over: { age: true, length: true, bytes: true },
        held: null,
        refused: { word: 'NOREPLICAS', command: 'XTRIM', message: 'NOREPLICAS Not enough good replicas to write.' },
      })
    })
    const longest = tally.longest.list()
    const whole = { durationMs: million, memory: null, missing, longest, held, groups: null, archiveFault: null }
    const swept = sweepSummary({
      ...{ ...failure, ...whole, whole: false, policies: tally.policies, total: sumOf(tally.policies) },
    })
    assertFits(swept)
    assert.match(swept, /^failed \(WRONGPASS invalid/)
    assert.match(swept, /^short {2,}/m)

    const plans = policies.map(({ name: policy }) => ({
      ...{ policy, streams: figure || 1, emptyStreams: figure, oneEntryStreams: figure, entries: figure },
      ...{ oneEntryBytes: figure * million, oneEntryOverhead: figure * million },
      ...{ bytes: figure * million, removeBytes: figure * million, isExact: false, customIdStreams: figure },
      reap: { consumers: figure, groups: figure, pending: figure, streams: figure },
      ...{ remove: { age: figure, length: figure, bytes: figure, acked: figure } },
      ...{ protectedStreams: figure, staleGroupStreams: figure, unread: figure, archive: figure },
      overLimit: { age: figure, length: figure, bytes: figure },
    }))
    const [total] = plans
    assert.ok(total)
    const customIds = longest.map(({ key, policy }) => ({ key, policy }))
    const unread = customIds.map((stream) => ({ ...stream, group: 'g'.repeat(100), entries: million }))
    const planned = planSummary(
      { ...failure, ...whole, policies: plans, total, errors: {}, unread, customIds },
      policies,
    )
    assertFits(planned)
    assert.match(planned, /^short {2,}/m)
  }
  assertFits(settingLines(settings).join('\n'))
  assert.ok(
    settingLines(settings).join('').replaceAll(' ', '').includes(url),
    'nothing is missing from a value that was wrapped',
  )
})

test('`xtrimd sweep` takes no lease', async (t) => {
  const redis = await startedRedis(t)
  const monitor = await startMonitor(t, redis)
  await sweepOnce(redis.url)
  assert.ok((await monitor.commands()).every(({ words }) => !words.includes('xtrimd:lease')))
})

/** A sweep without the right to one command: it says what is missing, and removes nothing that the policy keeps. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { sweep } from '../../src/sweep/sweep.ts'
import { readNext } from '../harness/conversation.ts'
import { startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { findingsOn, type Told } from '../harness/retention_model/comparison.ts'
import type { PlannedPolicy } from '../harness/retention_model/generated.ts'
import { memoryLadder } from '../harness/retention_model/memory_ladder.ts'
import { PLANTING_CONFIG } from '../harness/retention_model/planting.ts'
import { takeSnapshot } from '../harness/retention_model/snapshot.ts'
import { specOf } from '../harness/retention_model/trial.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

const READ = 'stream:conversation:read'
const LONG = 'stream:conversation:long'
const LARGE = 'stream:conversation:large'
const EMPTY = 'stream:conversation:empty'
const KEYS = [READ, LONG, LARGE, EMPTY]

/** Uses every trimming feature at once. */
const POLICY: PlannedPolicy = {
  ...{ name: 'all', match: 'stream:conversation:*', maxAgeMs: DAY, maxLength: 120, maxBytes: 30_000, trim: 'exact' },
  ...{ protect: 'unacked', hardMaxAgeMs: 30 * DAY, hardMaxLength: 400, staleGroupAfterMs: 7 * DAY, deleteEmpty: true },
  ...{ ackedAfterMs: Number.POSITIVE_INFINITY, deleteIdleMs: Number.POSITIVE_INFINITY },
  ...{ reapConsumersAfterMs: Number.POSITIVE_INFINITY, reapGroups: 'off', reapPending: false },
}

/** Without these a sweep is complete, and reports what is missing. */
const DISPENSABLE = ['info', 'multi', 'exec']
/** Without these a sweep cannot apply this policy. */
const NEEDED = [
  ...['scan', 'time', 'xlen', 'xrange', 'xtrim', 'eval', 'xinfo|groups', 'xinfo|consumers', 'xpending'],
  ...['memory|usage', 'xinfo|stream', 'type', 'unlink'],
]

test('with all rights a sweep trims every stream to its policy and misses nothing', async (t) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  const { report, findings } = await sweepWithout(redis, [])
  assert.deepEqual([report.result, report.message, [...report.missing]], ['success', null, []])
  assert.deepEqual(findings, [])
  const { age, length, bytes } = report.total.removed
  assert.ok(age > 0 && length > 0 && bytes > 0 && report.total.deletedStreams === 1)
})

test('without a dispensable command the streams are trimmed to their policy, and the report says what is missing', async (t) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  for (const command of DISPENSABLE) {
    const { report, findings } = await sweepWithout(redis, [command])
    assert.deepEqual([report.result, report.message], ['success', null], command)
    assert.deepEqual(findings, [], command)
    assert.deepEqual([...report.missing.keys()], [command.toUpperCase()])
  }
})

test('without a necessary command the sweep fails or is partial, names the command, and removes nothing that must stay', async (t) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  for (const command of NEEDED) {
    const { report, findings } = await sweepWithout(redis, [command])
    assert.deepEqual(findings, [], command)
    assert.match(report.result, /^(partial|failed)$/, command)
    assert.equal(report.cause, 'NOPERM', command)
    const told = [...report.missing.keys(), report.message ?? ''].join('\n')
    // Redis before 7.2 does not name the command that a script may not run.
    assert.match(told, new RegExp(`${command.replace('|', '[| ]')}|command inside EVAL`, 'i'), command)
    for (const { neededFor } of report.missing.values()) assert.match(neededFor, /^(--|every sweep|xtrimd_)/)
  }
})

test('without the right to one key the other streams are trimmed to their policy', async (t) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  const { report, findings } = await sweepWithout(redis, [], [READ, LONG, EMPTY])
  assert.deepEqual(findings, [])
  assert.deepEqual([report.result, report.cause], ['partial', 'NOPERM'])
  assert.deepEqual([...report.missing], [])
  assert.equal((await streamIds(redis, LONG)).length, 120)
  assert.equal((await streamIds(redis, LARGE)).length, 350)
})

test('the daemon warns of each missing command and what needs it, and its sweep is partial', async (t: TestContext) => {
  const redis = await startRedis(t, { config: PLANTING_CONFIG })
  await prepare(redis, ['xpending', 'info'], KEYS)
  const daemon = await startDaemon(t, [
    ...['--redis-url', urlOf(redis), '--lease=false', '--cron', '0 0 1 1 *'],
    ...['--policy', specOf(POLICY), '--match', 'nothing:*'],
  ])
  const line = await daemon.waitForLog('sweep')
  assert.deepEqual([line.level, line.result, line.cause], ['warn', 'partial', 'NOPERM'])
  const warned = daemon.logs.filter(({ msg }) => msg === 'the ACL does not allow a command')
  assert.deepEqual(warned.map(({ command, neededFor }) => [command, neededFor]).sort(), [
    ['INFO', 'xtrimd_redis_memory_used_bytes'],
    ['XPENDING', '--protect and --acked-after'],
  ])
  await daemon.waitForMetric('xtrimd_stream_errors_total', { code: 'NOPERM' }, (errors) => errors === 1)
})

/** Sweeps as a user without these commands, and compares the result with what the policy keeps. */
async function sweepWithout(redis: RedisServer, commands: readonly string[], keys: readonly string[] = KEYS) {
  await prepare(redis, commands, keys)
  const before = await Promise.all(KEYS.map((key) => takeSnapshot(redis, key)))
  const ladders: (ReadonlyMap<number, number> | null)[] = []
  for (const [i, key] of KEYS.entries()) {
    const snapshot = before[i]
    ladders.push(snapshot?.exists ? await memoryLadder(redis, key, snapshot) : null)
  }
  const fromMs = await redisNow(redis)
  const told = new Map<string, Told>()
  const task = taskOf(urlOf(redis), ['--policy', specOf(POLICY), '--match', 'nothing:*'])
  const onOutcome = (_: unknown, outcome: Told & { key: Buffer }): void => {
    // Refusals are checked in the report; this compares what happened.
    told.set(outcome.key.toString(), { ...outcome, refused: null })
  }
  const report = await sweep({ ...task, onOutcome }, new AbortController().signal)
  const toMs = await redisNow(redis)
  const findings = await Promise.all(
    KEYS.map(async (key, i) => {
      const after = await takeSnapshot(redis, key)
      const completed = report.result === 'success'
      const compared = { policy: POLICY, before: before[i] ?? after, after, fromMs, toMs, completed }
      return findingsOn({ ...compared, told: told.get(key) ?? null, ladder: ladders[i] ?? null }).map(
        (finding) => `${key}: ${finding}`,
      )
    }),
  )
  return { report, findings: findings.flat() }
}

async function prepare(redis: RedisServer, denied: readonly string[], keys: readonly string[]): Promise<void> {
  const now = await redisNow(redis)
  await redis.command('FLUSHALL')
  for (const [key, bytes] of [
    [READ, 10],
    [LONG, 10],
    [LARGE, 1_000],
  ] as const) {
    await fillStream(redis, key, { count: 150, from: now - 2 * DAY, stepMs: 1, bytes })
    await fillStream(redis, key, { count: 200, from: now - HOUR, stepMs: 1, bytes })
  }
  await redis.command('XGROUP', 'CREATE', READ, 'group', '0')
  const delivered = await readNext(redis, READ, 'group', 250)
  // One old entry stays pending, so only the entries before it may be removed.
  await redis.command('XACK', READ, 'group', ...delivered.filter((_, i) => i !== 100).map(({ id }) => id))
  await redis.command('XADD', EMPTY, `${now - 2 * DAY}-0`, 'a', 'b')
  await redis.command('XTRIM', EMPTY, 'MAXLEN', '0')
  const rules = denied.map((command) => `-${command}`)
  const patterns = keys.map((key) => `~${key}`)
  await redis.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', ...patterns, '+@all', ...rules)
}

function urlOf(redis: RedisServer): string {
  return `redis://ops:pass@127.0.0.1:${redis.port}`
}

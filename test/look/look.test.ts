/** Looking at many streams in one command finds the same as one by one, without blocking Redis for longer. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Found } from '../../src/look/found.ts'
import { lookAtPage } from '../../src/look/look.ts'
import { connect } from '../../src/redis/connection.ts'
import { FutureIds } from '../../src/remembered/future_ids.ts'
import { GroupedStreams } from '../../src/remembered/grouped_streams.ts'
import { sweep } from '../../src/sweep/sweep.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'

const HOUR = 3_600_000
const KINDS = ['old', 'young', 'both', 'custom', 'zero first', 'microseconds', 'empty', 'no stream'] as const
const isTrimmedByAge = (kind: (typeof KINDS)[number]): boolean =>
  kind === 'old' || kind === 'both' || kind === 'zero first'

async function fill(redis: RedisServer, kind: (typeof KINDS)[number], key: string | Buffer): Promise<void> {
  const now = await redisNow(redis)
  const write = (from: number, count: number) => fillStream(redis, key, { count, from, stepMs: 1, bytes: 10 })
  if (kind === 'no stream') await redis.command('SET', key, 'value')
  if (kind === 'custom') await redis.command('XADD', key, '5-1', 'a', 'b')
  if (kind === 'zero first') await redis.command('XADD', key, '0-1', 'a', 'b')
  if (kind === 'old' || kind === 'both' || kind === 'zero first') await write(now - 48 * HOUR, 300)
  if (kind === 'young' || kind === 'both') await write(now - HOUR, 200)
  if (kind === 'microseconds') await write(now * 1_000, 5)
  if (kind === 'empty') {
    await redis.command('XADD', key, '*', 'a', 'b')
    await redis.command('XTRIM', key, 'MAXLEN', '0')
  }
}

/** A key for each kind. Some keys are not text. */
async function filled(t: TestContext, copies = 1): Promise<{ redis: RedisServer; keys: Buffer[] }> {
  const redis = await startRedis(t)
  const keys: Buffer[] = []
  for (let i = 0; i < copies; i++) {
    for (const kind of KINDS) {
      const key = Buffer.concat([Buffer.from(`stream:conversation:${kind}:${i}`), Buffer.from(i % 2 ? [0xff] : [])])
      await fill(redis, kind, key)
      keys.push(key)
    }
  }
  return { redis, keys }
}

/** What matters about the streams found: the oldest entry only if it is too old. */
function outline(found: readonly Found[], cutOffMs: number): string[] {
  return found
    .map(({ key, state, hasTimeIds }) => {
      const oldest =
        state.oldest && state.oldest.ms < cutOffMs ? `${state.oldest.id} of ${state.oldest.bytes}` : 'young'
      return `${key.toString('latin1')}: ${state.length}, ${hasTimeIds ? oldest : 'custom'}`
    })
    .sort()
}

test('a look at many streams together finds the same as one by one', async (t) => {
  const { redis, keys } = await filled(t, 20)
  const task = taskOf(redis.url, [])
  const { policies } = task
  const nowMs = await redisNow(redis)
  const connection = await connect({ path: redis.socketPath }, task.reach)
  t.after(() => connection.close())
  const { ask } = connection
  let batches = 0
  const counting: typeof ask = (commands) => {
    batches += commands.filter(([name]) => name === 'EVAL_RO').length
    return ask(commands)
  }
  const plainly = await lookAtPage(ask, keys, policies, nowMs)
  const futureIds = new FutureIds()
  // The first sweep asks all streams for future IDs; the next ones remember the answers.
  for (let i = 0; i < 3; i++) {
    futureIds.begin()
    const batching = { isAllowed: true, mostAtOnce: 1, futureIds, groupedStreams: new GroupedStreams() }
    const together = await lookAtPage(counting, keys, policies, nowMs, batching)
    assert.deepEqual(outline(together.found, nowMs - 24 * HOUR), outline(plainly.found, nowMs - 24 * HOUR))
    const names = ({ unseen }: typeof plainly) => unseen.map(({ key, refusal }) => `${key} ${refusal.word}`).sort()
    assert.deepEqual(names(together), names(plainly))
  }
  assert.ok(batches >= 3 * 5, `${batches}`)
})

test('streams with IDs later than any time are counted in every sweep, and old entries are removed', async (t) => {
  const { redis, keys } = await filled(t, 5)
  const task = taskOf(redis.url, [])
  for (let i = 0; i < 3; i++) {
    const report = await sweep(task, new AbortController().signal)
    assert.equal(report.result, 'success')
    assert.equal(report.total.skipped.custom_ids, 10, 'the custom IDs and those in microseconds')
    const trimmed = KINDS.filter(isTrimmedByAge).length * 5 * 300 + 5
    assert.equal(report.total.removed.age, i === 0 ? trimmed : 0)
  }
  // After a stream is recreated with times as IDs, the old answer is forgotten.
  const [key] = keys.filter((one) => one.includes('microseconds'))
  await redis.command('DEL', key as Buffer)
  await fill(redis, 'old', key as Buffer)
  const report = await sweep(task, new AbortController().signal)
  assert.deepEqual([report.total.skipped.custom_ids, report.total.removed.age], [9, 300])
})

test('one command does not read dozens of entries of a megabyte', async (t) => {
  const redis = await startRedis(t)
  const old = (await redisNow(redis)) - 48 * HOUR
  for (let i = 0; i < 32; i++) {
    await fillStream(redis, `stream:conversation:${i}`, { count: 2, from: old, stepMs: 1, bytes: 1_000_000 })
  }
  await redis.recordCommands()
  const report = await sweep(taskOf(redis.url, []), new AbortController().signal)
  assert.equal(report.total.removed.age, 64)
  const looks = (await redis.slowlog()).filter(({ command: [name] }) => name === 'EVAL_RO')
  assert.ok(looks.length >= 32, `${looks.length}`)
})

test('with many streams, each sweep asks some of them again, and streams with future IDs are remembered', () => {
  const futureIds = new FutureIds()
  const asked = (streams: number): number => {
    futureIds.begin()
    let sum = 0
    for (let n = 0; n < streams; n += 32) if (futureIds.shouldAsk(32)) sum += 32
    return sum
  }
  assert.equal(asked(100_000), 100_000, 'the first sweep asks all')
  assert.equal(asked(20_000), 20_000, 'few streams are all asked')
  const some = asked(100_000)
  assert.ok(some > 20_000 && some < 30_000, `${some}`)
  const key = Buffer.from('stream')
  futureIds.set(key, true)
  assert.ok(futureIds.has(key))
  futureIds.set(key, false)
  assert.ok(!futureIds.has(key))
  for (let i = 0; i < 10_000; i++) futureIds.set(Buffer.from(`stream${i}`), true)
  assert.ok(futureIds.isFull)
})

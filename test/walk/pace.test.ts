/** The share of time in which Redis has any work of ours. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Command, type Connection, connect } from '../../src/redis/connection.ts'
import { Fault } from '../../src/redis/refusal.ts'
import { makePace, paced } from '../../src/walk/pace.ts'
import { startRedis } from '../harness/redis_server.ts'
import { taskOf } from '../harness/sweep_here.ts'

const A_TENTH = 0.1
/** Nobody here computes for long. */
const ownMs = (): number => 0

/** Runs works of a few ms, as several that come together do, and measures the share of time with one under way. */
async function shareAt(percent: number, ofWork: number): Promise<{ share: number; most: number }> {
  const pace = makePace(percent, ownMs)
  const { signal } = new AbortController()
  let underWay = 0
  let most = 0
  let busyMs = 0
  let since = 0
  const work = async (): Promise<void> => {
    if (underWay++ === 0) since = performance.now()
    most = Math.max(most, underWay)
    await pause(3)
    if (--underWay === 0) busyMs += performance.now() - since
  }
  const start = performance.now()
  const worker = async (): Promise<void> => {
    for (let i = 0; i < 25; i++) await pace.run(work, ofWork, signal)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
  // What comes next waits for the pause behind the last of them, which is part of its share.
  await pace.run(async () => {}, ofWork, signal)
  return { share: busyMs / (performance.now() - start), most }
}

test('work fills no more than its share of the time: one at a time, and what is small together', async () => {
  for (const [percent, ofWork, together] of [
    [50, 0.01, 4],
    [25, 0.01, 4],
    [25, A_TENTH, 1],
    [50, A_TENTH, 3],
    [25, 1, 1],
  ] as const) {
    const { share, most } = await shareAt(percent, ofWork)
    // Timers are as exact as the machine is idle: hence the slack.
    assert.ok(share > 0 && share <= percent / 100 + 0.15, `${share} at ${percent} %`)
    assert.equal(most, together, `${ofWork} at ${percent} %`)
  }
})

/** Computes for so long, and tells a clock of it. */
function compute(ms: number, clock: { ms: number }): void {
  const start = performance.now()
  while (performance.now() - start < ms);
  clock.ms += performance.now() - start
}

test('what we compute when the replies have come is rest: no pause is made beside it', async () => {
  const clock = { ms: 0 }
  const pace = makePace(25, () => clock.ms)
  const { signal } = new AbortController()
  let waitedMs = 0
  const start = performance.now()
  for (let i = 0; i < 25; i++) {
    const work = async (): Promise<void> => {
      const from = performance.now()
      await pause(3)
      waitedMs += performance.now() - from
      compute(9, clock)
    }
    await pace.run(work, A_TENTH, signal)
  }
  const allMs = performance.now() - start
  // Four times as long in all, or as long as it takes; with pauses beside what was computed it would be seven times.
  assert.ok(allMs < 1.3 * Math.max(4 * waitedMs, waitedMs + clock.ms), `${allMs} ms, ${waitedMs} of them waited`)
})

test('what we compute while something else is outstanding is none: Redis is at work beside it', async () => {
  const clock = { ms: 0 }
  const pace = makePace(25, () => clock.ms)
  const { signal } = new AbortController()
  const start = performance.now()
  let [busySince, busyMs] = [0, 0]
  const short = async (): Promise<void> => {
    busySince = performance.now()
    await pause(3)
    compute(30, clock)
  }
  const long = async (): Promise<void> => {
    await pause(60)
    busyMs += performance.now() - busySince
  }
  for (let i = 0; i < 3; i++) await Promise.all([pace.run(short, 0.01, signal), pace.run(long, 0.01, signal)])
  await pace.run(async () => {}, 0.01, signal)
  const allMs = performance.now() - start
  // Four times as long in all; twice if what was computed were no work of Redis, and a rest besides.
  assert.ok(allMs > 3 * busyMs, `${allMs} ms, ${busyMs} of them busy`)
})

test('at 100 % nothing ever waits', async () => {
  const { share, most } = await shareAt(100, 1)
  assert.ok(share > 0.9, `${share}`)
  assert.equal(most, 4)
  const pace = makePace(100, ownMs)
  let started = 0
  const works = Array.from({ length: 3 }, () =>
    pace.run(
      async () => {
        started++
      },
      1,
      new AbortController().signal,
    ),
  )
  assert.equal(started, 3)
  await Promise.all(works)
})

test('a pause ends when the sweep is to stop', async () => {
  const stop = new AbortController()
  const pace = makePace(1, ownMs)
  await pace.run(() => pause(60), A_TENTH, stop.signal)
  let begun = false
  const start = performance.now()
  const second = pace.run(
    async () => {
      begun = true
    },
    A_TENTH,
    stop.signal,
  )
  await pause(50)
  // The control: at 1 % a pause of some 6 s is due.
  assert.equal(begun, false)
  stop.abort()
  await second
  assert.ok(performance.now() - start < 5_000)
})

test('work that fails is told so, and the pace is kept all the same', async () => {
  const pace = makePace(50, ownMs)
  const { signal } = new AbortController()
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      pace.run(
        async () => {
          await pause(6)
          throw new Error('refused')
        },
        A_TENTH,
        signal,
      ),
      /refused/,
    )
  }
  assert.equal(await pace.run(async () => 'done', A_TENTH, signal), 'done')
})

test('a server that does not answer is rested from for nothing: who waits for a turn is told so, and the next one has it', async (t) => {
  const redis = await startRedis(t)
  const reach = { ...taskOf(redis.url, []).reach, replyTimeoutMs: 500 }
  const { signal } = new AbortController()
  const pace = makePace(1, ownMs)
  const connection = await connect({ path: redis.socketPath }, reach)
  const ask = paced(connection, pace, signal)
  await redis.freeze()
  const start = performance.now()
  for (const refused of await Promise.allSettled([ask([['PING']], 1), ask([['PING']], 1)])) {
    assert.equal(refused.status, 'rejected')
    assert.equal((refused.reason as Fault).code, 'timeout')
  }
  await redis.thaw()
  const next = await connect({ path: redis.socketPath }, reach)
  t.after(() => next.close())
  assert.deepEqual((await paced(next, pace, signal)([['PING']])).map(String), ['PONG'])
  // At 1 % half a second owes 50 of rest.
  assert.ok(performance.now() - start < 30_000)
})

test('commands that may go apart go as many at once as the pace allows, and the others together', async (t) => {
  const redis = await startRedis(t)
  const connection = await connect({ path: redis.socketPath }, taskOf(redis.url, []).reach)
  t.after(() => connection.close())
  const asked: number[] = []
  const counting: Connection = {
    ...connection,
    ask(commands) {
      asked.push(commands.length)
      return connection.ask(commands)
    },
  }
  const { signal } = new AbortController()
  const commands: Command[] = Array.from({ length: 10 }, (_, i) => ['ECHO', String(i)])
  const sent = async (percent: number, shares?: number | readonly number[], times?: number): Promise<number[]> => {
    asked.length = 0
    const replies = await paced(counting, makePace(percent, ownMs), signal, times)(commands, shares)
    assert.deepEqual(
      replies.map(String),
      commands.map(([, text]) => text),
    )
    return [...asked]
  }
  const tenths = commands.map(() => A_TENTH)
  assert.deepEqual(await sent(25, tenths), Array(10).fill(1))
  assert.deepEqual(await sent(50, tenths), [3, 3, 3, 1])
  assert.deepEqual(await sent(100, tenths), [10])
  // Below half of what a pace of 25 % has, a batch gets no smaller.
  for (const percent of [10, 1]) assert.deepEqual(await sent(percent, Array(10).fill(0.02)), [4, 4, 2])
  assert.deepEqual(await sent(25, Array(10).fill(0.02)), [8, 2])
  // The watch hurries.
  assert.deepEqual(await sent(25, tenths, 3), [4, 4, 2])
  // What takes nothing goes with what is before it, and more than is allowed at once goes alone.
  assert.deepEqual(await sent(25, [0.01, 0.01, 0.2, 0, 0, 0.01, 1, 0, 0.01, 0.01]), [2, 3, 1, 2, 2])
  // A transaction is one.
  assert.deepEqual(await sent(25, 1), [10])
  assert.deepEqual(await sent(25), [10])
})

test('of commands that went apart, a connection that ends tells all replies that came', async (t) => {
  const redis = await startRedis(t)
  const connection = await connect({ path: redis.socketPath }, taskOf(redis.url, []).reach)
  const ask = paced(connection, makePace(25, ownMs), new AbortController().signal)
  const commands: Command[] = [['ECHO', 'a'], ['ECHO', 'b'], ['QUIT'], ['ECHO', 'c']]
  await assert.rejects(ask(commands, Array(4).fill(1)), (error) => {
    assert.ok(error instanceof Fault)
    assert.deepEqual([error.code, error.answered.map(String)], ['connect', ['a', 'b', 'OK']])
    return true
  })
})

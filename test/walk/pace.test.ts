/** The share of time in which Redis works for us. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Command, type Connection, connect } from '../../src/redis/connection.ts'
import { Fault } from '../../src/redis/refusal.ts'
import { makePace, paced } from '../../src/walk/pace.ts'
import { startRedis } from '../harness/redis_server.ts'
import { taskOf } from '../harness/sweep_here.ts'

const A_TENTH = 0.1
/** These tests use almost no CPU time of their own. */
const ownMs = (): number => 0

/** Measures until the result is as expected, five times at most: a busy machine wakes timers late. */
async function once(measure: () => Promise<readonly [isRight: boolean, found: string]>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const [isRight, found] = await measure()
    if (isRight) return
    assert.ok(attempt < 5, found)
  }
}

/** Runs pieces of work of a few ms from several callers, and measures the share of time in which one is running. */
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
  // The next piece waits for the pause after the last one, which belongs to the measured time.
  await pace.run(async () => {}, ofWork, signal)
  return { share: busyMs / (performance.now() - start), most }
}

test('work takes at most its share of the time; large pieces run one at a time, small ones together', async () => {
  for (const [percent, ofWork, together] of [
    [50, 0.01, 4],
    [25, 0.01, 4],
    [25, A_TENTH, 1],
    [50, A_TENTH, 3],
    [25, 1, 1],
  ] as const) {
    await once(async () => {
      const { share, most } = await shareAt(percent, ofWork)
      assert.equal(most, together, `${ofWork} at ${percent} %`)
      return [share > 0 && share <= percent / 100 + 0.15, `${share} at ${percent} %`]
    })
  }
})

/** Computes for this long and adds the time to a clock. */
function compute(ms: number, clock: { ms: number }): void {
  const start = performance.now()
  while (performance.now() - start < ms);
  clock.ms += performance.now() - start
}

test('our own computing after the replies counts as rest and needs no further pause', async () => {
  const took = async (isCounted: boolean): Promise<number> => {
    const clock = { ms: 0 }
    const pace = makePace(25, () => (isCounted ? clock.ms : 0))
    const { signal } = new AbortController()
    const start = performance.now()
    for (let i = 0; i < 25; i++) {
      const work = async (): Promise<void> => {
        await pause(3)
        compute(9, clock)
      }
      await pace.run(work, A_TENTH, signal)
    }
    return performance.now() - start
  }
  await once(async () => {
    // 12 ms a piece, or 48 if the computing were Redis's work.
    const [counted, control] = [await took(true), await took(false)]
    return [counted < 0.6 * control, `${counted} ms, and ${control} if computing counts as work`]
  })
})

test('our own computing does not count as rest while Redis works on another request', () =>
  once(async () => {
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
    // Four times as long in total; only twice if computing counted as rest.
    return [allMs > 3 * busyMs, `${allMs} ms, ${busyMs} of them busy`]
  }))

test('at 100 % nothing waits', async () => {
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

test('a pause ends when the sweep is told to stop', async () => {
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
  // The control: at 1 % a pause of about 6 s is due.
  assert.equal(begun, false)
  stop.abort()
  await second
  assert.ok(performance.now() - start < 5_000)
})

test('work that fails passes on its error, and the pace is kept', async () => {
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

test('after a reply timeout waiting callers fail too, and a new connection need not rest first', async (t) => {
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
  // At 1 %, half a second of work would need 50 s of rest.
  assert.ok(performance.now() - start < 30_000)
})

test('commands that may be split are sent in batches as large as the pace allows, the others all at once', async (t) => {
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
  // No batch is smaller than half of one at a pace of 25 %.
  for (const percent of [10, 1]) assert.deepEqual(await sent(percent, Array(10).fill(0.02)), [4, 4, 2])
  assert.deepEqual(await sent(25, Array(10).fill(0.02)), [8, 2])
  // The watch may send larger batches.
  assert.deepEqual(await sent(25, tenths, 3), [4, 4, 2])
  // A command without cost joins the one before it, and a command above the limit is sent alone.
  assert.deepEqual(await sent(25, [0.01, 0.01, 0.2, 0, 0, 0.01, 1, 0, 0.01, 0.01]), [2, 3, 1, 2, 2])
  // A transaction is never split.
  assert.deepEqual(await sent(25, 1), [10])
  assert.deepEqual(await sent(25), [10])
})

test('when the connection ends between batches, the error carries all replies that arrived', async (t) => {
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

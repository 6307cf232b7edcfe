/** The clock of the daemon's machine is wrong. This changes nothing, because age is judged by Redis's clock. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { suite, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { assertMeets, type Scene, startScene } from '../harness/fault_scene.ts'
import { CLOCK_FAULTS } from '../harness/faults.ts'
import { replaceFile, temporaryFolder } from '../harness/files.ts'
import { meetingsOf } from '../harness/meetings.ts'
import { type Daemon, EVERY_SECOND, type LogLine, startDaemon } from '../harness/program.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:old'
/** Entries on either side of the 24 h limit, closer to it than the clock is wrong. */
const KEPT_MS = 23.5 * HOUR
const REMOVED_MS = 24.5 * HOUR
const COUNT = 300
const TERM_S = 3
const TERM = ['--lease-ttl', `${TERM_S}s`] as const

const { meeting, allMet } = meetingsOf(CLOCK_FAULTS, () => "what Redis's clock calls old is removed, and nothing else")

suite("the daemon's clock is wrong", { concurrency: 2 }, () => {
  for (const [name, aheadMs] of [
    ["the daemon's clock is an hour ahead", HOUR],
    ["the daemon's clock is an hour behind", -HOUR],
  ] as const) {
    meeting(name, async (t, row) => {
      const { scene, clock, kept } = await startWithClock(t, aheadMs)
      const { daemon, redis } = scene
      const first = await daemon.waitForLog('sweep')
      clock.assertSeen(first)
      assert.ok(clock.isSeenIn(1_000 * (await daemon.metric('xtrimd_last_success_timestamp_seconds'))))
      assert.deepEqual(first.removed, { age: COUNT, length: 0, bytes: 0, acked: 0 })
      assert.deepEqual(await streamIds(redis, KEY), kept)
      await scene.appear()
      clock.assertSeen(await assertMeets(scene, row))
      await scene.assertOver()
      assert.deepEqual(await streamIds(redis, KEY), kept, 'later sweeps removed nothing more')
    })
  }

  for (const [name, aheadMs] of [
    ["the daemon's clock is set an hour ahead while it runs", HOUR],
    ["the daemon's clock is set an hour back while it runs", -HOUR],
  ] as const) {
    meeting(name, async (t, row) => {
      const { scene, clock, kept } = await startWithClock(t, 0)
      const { daemon, redis } = scene
      // This copy's clock is right. If the lease depended on the system clock, it would get the lease.
      const other = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...TERM])
      await other.waitForLog('another copy holds the lease')
      clock.assertSeen(await daemon.waitForLog('sweep'))
      assert.deepEqual(await streamIds(redis, KEY), kept)
      await clock.set(aheadMs)
      // By the system clock the next tick is now an hour late, but the daemon is not wedged.
      assert.equal((await scene.daemon.get('/healthz')).status, 200)
      await scene.appear()
      clock.assertSeen(await assertMeets(scene, row))
      assert.deepEqual(await streamIds(redis, KEY), kept)
      await assertStillHeld(daemon, other)
      await clock.set(0)
      clock.assertSeen(await assertMeets(scene, row))
      await scene.assertOver()
      assert.deepEqual(await streamIds(redis, KEY), kept)
    })
  }
})

allMet()

/** Waits for a whole term, in which the other copy keeps claiming the lease. */
async function assertStillHeld(holder: Daemon, other: Daemon): Promise<void> {
  const skipped = await other.metric('xtrimd_sweeps_total', { result: 'skipped' })
  // There is a tick every second.
  await other.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (now) => now > skipped + TERM_S)
  const changes = ({ logs }: Daemon) =>
    logs.filter(({ msg }) => /\blease\b/.test(msg) && !msg.startsWith('sweep')).map(({ msg }) => msg)
  assert.deepEqual([changes(holder), changes(other)], [['acquired the lease'], ['another copy holds the lease']])
  assert.equal(await holder.metric('xtrimd_leader'), 1)
}

interface DaemonClock {
  readonly aheadMs: number
  set(aheadMs: number): Promise<void>
  /** Whether this time is from the daemon's clock and not from Redis's. */
  isSeenIn(ms: number): boolean
  /** The control: the daemon's clock is as wrong as the test wants. */
  assertSeen(line: LogLine): void
}

/** A scene with a stream that has entries on either side of the limit, and a daemon whose clock is set by the test. */
async function startWithClock(
  t: TestContext,
  aheadMs: number,
): Promise<{ scene: Scene; clock: DaemonClock; kept: readonly string[] }> {
  const kept: string[] = []
  const { clock, env } = await makeClock(t, aheadMs)
  const scene = await startScene(t, {
    aheadMs: () => clock.aheadMs,
    env,
    args: ['--trim', 'exact', '--lease=true', ...TERM],
    prepare: async (redis) => {
      const now = await redisNow(redis)
      const of = { count: COUNT, stepMs: 1, bytes: 10 }
      await fillStream(redis, KEY, { ...of, from: now - REMOVED_MS })
      await fillStream(redis, KEY, { ...of, from: now - KEPT_MS })
      kept.push(...(await streamIds(redis, KEY, COUNT)))
    },
  })
  assert.ok(Math.abs((await redisNow(scene.redis)) - Date.now()) < HOUR / 2, 'Redis is right')
  return { scene, clock, kept }
}

/** A settable system clock for a program that runs in this environment. The monotonic clock stays right. */
async function makeClock(
  t: TestContext,
  aheadMs: number,
): Promise<{ clock: DaemonClock; env: Record<string, string> }> {
  const folder = temporaryFolder(t, 'clock')
  const file = join(folder, 'clock')
  let now = aheadMs
  const clock: DaemonClock = {
    get aheadMs() {
      return now
    },
    async set(next) {
      // The file is read whenever the program reads the clock.
      replaceFile(file, `${next < 0 ? '' : '+'}${next / 1_000}s\n`)
      now = next
    },
    isSeenIn: (ms) => Math.abs(ms - Date.now() - now) < HOUR / 2,
    assertSeen: ({ time }) => assert.ok(clock.isSeenIn(Date.parse(String(time))), `${time}`),
  }
  await clock.set(aheadMs)
  // Debian's wrapper knows where the library is.
  const { stdout } = await promisify(execFile)('faketime', ['-f', '+0s', 'printenv', 'LD_PRELOAD'])
  return {
    clock,
    env: {
      LD_PRELOAD: stdout.trim(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    },
  }
}

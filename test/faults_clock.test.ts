/** The clock of the daemon's machine is wrong: age is judged by Redis's clock, so nothing comes of it. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { suite, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { CLOCK_FAULTS, type FaultRow } from './faults.ts'
import { assertMeets, startScene } from './harness/fault_scene.ts'
import { fillStream, redisNow, streamIds } from './harness/streams.ts'

type Name = (typeof CLOCK_FAULTS)[number]['name']

const HOUR = 3_600_000
const KEY = 'stream:conversation:old'
/** Entries on either side of the limit of 24 h, nearer to it than the clock is wrong. */
const KEPT_MS = 23.5 * HOUR
const REMOVED_MS = 24.5 * HOUR
const COUNT = 300

const tried: Name[] = []

function meeting(name: Name, aheadMs: number): void {
  const row = CLOCK_FAULTS.find((one) => one.name === name) as FaultRow
  tried.push(name)
  test(`${name}: what Redis's clock calls old is removed, and nothing else`, (t) => meet(t, row, aheadMs))
}

suite("the daemon's clock is wrong", { concurrency: 2 }, () => {
  meeting("the daemon's clock is an hour ahead", HOUR)
  meeting("the daemon's clock is an hour behind", -HOUR)
})

test('every fault of this list was met', () => {
  assert.deepEqual(tried.toSorted(), CLOCK_FAULTS.map(({ name }) => name).toSorted())
})

async function meet(t: TestContext, row: FaultRow, aheadMs: number): Promise<void> {
  const kept: string[] = []
  const scene = await startScene(t, {
    aheadMs,
    env: await clockAhead(aheadMs),
    args: ['--trim', 'exact'],
    prepare: async (redis) => {
      const now = await redisNow(redis)
      const of = { count: COUNT, stepMs: 1, bytes: 10 }
      await fillStream(redis, KEY, { ...of, from: now - REMOVED_MS })
      await fillStream(redis, KEY, { ...of, from: now - KEPT_MS })
      kept.push(...(await streamIds(redis, KEY, COUNT)))
    },
  })
  const { daemon, redis } = scene
  // The control: the daemon itself is an hour wrong, in its log as in its metrics.
  const first = await daemon.waitForLog('sweep')
  const isWrong = (ms: number) => Math.abs(ms - Date.now() - aheadMs) < HOUR / 2
  assert.ok(isWrong(Date.parse(String(first.time))), `${first.time}`)
  assert.ok(isWrong(1_000 * (await daemon.metric('xtrimd_last_success_timestamp_seconds'))))
  assert.ok(Math.abs((await redisNow(redis)) - Date.now()) < HOUR / 2, 'Redis is right')

  assert.deepEqual(first.removed, { age: COUNT, length: 0, bytes: 0 })
  assert.deepEqual(await streamIds(redis, KEY), kept)
  await scene.appear()
  const line = await assertMeets(scene, row)
  assert.deepEqual(line.skipped, { custom_ids: 0, not_a_stream: 0 })
  await scene.assertOver()
  assert.deepEqual(await streamIds(redis, KEY), kept, 'later sweeps removed nothing more')
}

/** What lets a program read a clock that is this much ahead. How long things take is measured as it is. */
async function clockAhead(ms: number): Promise<Record<string, string>> {
  const FAKETIME = `${ms < 0 ? '' : '+'}${ms / 1_000}s`
  // Debian's own wrapper tells where the library is on this machine.
  const { stdout } = await promisify(execFile)('faketime', ['-f', FAKETIME, 'printenv', 'LD_PRELOAD'])
  return { LD_PRELOAD: stdout.trim(), FAKETIME, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' }
}

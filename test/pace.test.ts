/** The share of time in which Redis has any work of ours. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { makePace } from '../src/sweep/pace.ts'

/** Runs works of a few ms, several at a time as a sweep does, and measures the share of time with one under way. */
async function shareAt(percent: number): Promise<{ share: number; most: number }> {
  const pace = makePace(percent)
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
    for (let i = 0; i < 25; i++) await pace.run(work, signal)
  }
  await Promise.all([worker(), worker(), worker(), worker()])
  // What comes next waits for the pause behind the last of them, which is part of its share.
  await pace.run(async () => {}, signal)
  return { share: busyMs / (performance.now() - start), most }
}

test('work fills no more than its share of the time, several works at once included', async () => {
  for (const percent of [50, 25]) {
    const { share, most } = await shareAt(percent)
    // Timers are as exact as the machine is idle: hence the slack.
    assert.ok(share <= percent / 100 + 0.15, `${share} at ${percent} %`)
    assert.ok(share > 0 && most > 1)
  }
})

test('at 100 % nothing ever waits', async () => {
  const { share } = await shareAt(100)
  assert.ok(share > 0.9, `${share}`)
  const pace = makePace(100)
  let started = 0
  const works = Array.from({ length: 3 }, () =>
    pace.run(async () => {
      started++
    }, new AbortController().signal),
  )
  assert.equal(started, 3)
  await Promise.all(works)
})

test('a pause ends when the sweep is to stop', async () => {
  const stop = new AbortController()
  const pace = makePace(1)
  await pace.run(() => pause(60), stop.signal)
  let begun = false
  const start = performance.now()
  const second = pace.run(async () => {
    begun = true
  }, stop.signal)
  await pause(50)
  // The control: at 1 % a pause of some 6 s is due.
  assert.equal(begun, false)
  stop.abort()
  await second
  assert.ok(performance.now() - start < 5_000)
})

test('work that fails is told so, and the pace is kept all the same', async () => {
  const pace = makePace(50)
  const { signal } = new AbortController()
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      pace.run(async () => {
        await pause(6)
        throw new Error('refused')
      }, signal),
      /refused/,
    )
  }
  assert.equal(await pace.run(async () => 'done', signal), 'done')
})

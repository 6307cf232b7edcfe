/** When a daemon counts as wedged. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whyWedged } from '../../src/daemon/liveness.ts'

const SECOND = 1_000

const idle = (tickLateMs: number | null) => ({ tickLateMs, sinceStepMs: null })
const sweeping = (sinceStepMs: number, tickLateMs = 0) => ({ tickLateMs, sinceStepMs })

test('an idle daemon is alive until a tick is a minute late', () => {
  assert.equal(whyWedged(idle(-SECOND), 5 * SECOND, 50), null)
  assert.equal(whyWedged(idle(60 * SECOND), 5 * SECOND, 50), null)
  assert.equal(whyWedged(idle(61 * SECOND), 5 * SECOND, 50), 'the next sweep is 61 s late')
})

test('a daemon without a next tick is alive', () => {
  assert.equal(whyWedged(idle(null), 5 * SECOND, 50), null)
})

test('a sweeping daemon is alive while its sweep makes progress, however late the next tick is', () => {
  const dayLate = 86_400 * SECOND
  assert.equal(whyWedged(sweeping(0, dayLate), 5 * SECOND, 50), null)
  assert.equal(whyWedged(sweeping(50 * SECOND, dayLate), 5 * SECOND, 50), null)
  assert.equal(whyWedged(sweeping(51 * SECOND), 5 * SECOND, 50), 'the running sweep has made no progress for 51 s')
})

test('a step may take longer with a longer reply deadline or a slower pace', () => {
  for (const [replyTimeoutMs, pacePercent, longestMs] of [
    [5 * SECOND, 100, 40 * SECOND],
    [5 * SECOND, 10, 130 * SECOND],
    [60 * SECOND, 50, 270 * SECOND],
  ] as const) {
    assert.equal(whyWedged(sweeping(longestMs), replyTimeoutMs, pacePercent), null)
    assert.notEqual(whyWedged(sweeping(longestMs + 1), replyTimeoutMs, pacePercent), null)
  }
})

/** When a daemon counts as wedged. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { whyWedged } from '../src/daemon/liveness.ts'

const SECOND = 1_000
const NOW = Date.UTC(2026, 5, 1)

const idle = (nextTickMs: number | null) => ({ nextTickMs, sinceStepMs: null })
const sweeping = (sinceStepMs: number, nextTickMs = NOW) => ({ nextTickMs, sinceStepMs })

test('an idle daemon is alive until a tick is a minute late', () => {
  assert.equal(whyWedged(idle(NOW + SECOND), NOW, 5 * SECOND, 50), null)
  assert.equal(whyWedged(idle(NOW - 60 * SECOND), NOW, 5 * SECOND, 50), null)
  assert.equal(whyWedged(idle(NOW - 61 * SECOND), NOW, 5 * SECOND, 50), 'a sweep has been due for 61 s')
})

test('a daemon without a next tick is alive', () => {
  assert.equal(whyWedged(idle(null), NOW, 5 * SECOND, 50), null)
})

test('a daemon that sweeps is alive as long as its sweep gets on, however late the next tick is', () => {
  const dayLate = NOW - 86_400 * SECOND
  assert.equal(whyWedged(sweeping(0, dayLate), NOW, 5 * SECOND, 50), null)
  assert.equal(whyWedged(sweeping(50 * SECOND, dayLate), NOW, 5 * SECOND, 50), null)
  assert.equal(whyWedged(sweeping(51 * SECOND), NOW, 5 * SECOND, 50), 'a sweep has not got on for 51 s')
})

test('a step may take longer where replies may, and where the pace is slow', () => {
  for (const [replyTimeoutMs, pacePercent, longestMs] of [
    [5 * SECOND, 100, 40 * SECOND],
    [5 * SECOND, 10, 130 * SECOND],
    [60 * SECOND, 50, 270 * SECOND],
  ] as const) {
    assert.equal(whyWedged(sweeping(longestMs), NOW, replyTimeoutMs, pacePercent), null)
    assert.notEqual(whyWedged(sweeping(longestMs + 1), NOW, replyTimeoutMs, pacePercent), null)
  }
})

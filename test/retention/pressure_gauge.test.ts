/** When memory readings cause a sweep, and how soon memory is read again. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Judgement, PressureGauge, thresholdBytes } from '../../src/retention/pressure.ts'

const INTERVAL_MS = 10_000
/** In megabytes. */
const [MAX, THRESHOLD] = [100, 80]

/** A gauge with fixed limits. */
class TestGauge {
  readonly inner = new PressureGauge(INTERVAL_MS)

  judge(used: number, atMs: number, max = MAX): { judgement: Judgement; nextMs: number } {
    return this.inner.judge({ usedBytes: used, maxBytes: max }, THRESHOLD, atMs)
  }

  at(used: number, atMs: number, max = MAX): Judgement {
    return this.judge(used, atMs, max).judgement
  }
}

test('memory above the threshold causes a sweep, and another once it has grown since one that helped', () => {
  const gauge = new TestGauge()
  assert.equal(gauge.at(50, 0), 'calm')
  assert.equal(gauge.at(83, 1_000), 'sweep')
  gauge.inner.swept(81, true, 1_100)
  assert.equal(gauge.inner.isHelpless, false)
  assert.equal(gauge.at(82, 1_200), 'wait')
  assert.equal(gauge.at(82.7, 1_300), 'sweep', 'two percent more')
  gauge.inner.swept(81, true, 1_400)
  assert.equal(gauge.at(81, 1_400 + INTERVAL_MS - 1), 'wait')
  assert.equal(gauge.at(81, 1_400 + INTERVAL_MS), 'sweep')
})

test('after sweeps that freed almost nothing, the next one waits longer or for more growth', () => {
  const gauge = new TestGauge()
  gauge.at(81, 0)
  // Freeing a few entries does not help.
  gauge.inner.swept(80.5, true, 0)
  assert.ok(gauge.inner.isHelpless)
  assert.equal(gauge.at(81, 19_999), 'wait')
  assert.equal(gauge.at(81, 20_000), 'sweep')
  gauge.inner.swept(81, true, 20_000)
  assert.equal(gauge.at(81, 59_999), 'wait')
  assert.equal(gauge.at(87, 59_999), 'wait')
  assert.equal(gauge.at(88, 59_999), 'sweep', 'eight percent more')
  // With little room left, it waits for half of the room to fill.
  gauge.inner.swept(88, true, 60_000)
  assert.equal(gauge.at(93.9, 60_100), 'wait')
  assert.equal(gauge.at(94.1, 60_100), 'sweep')
  // Without a maximum, room does not count.
  gauge.inner.swept(94, true, 60_200)
  assert.equal(gauge.at(100, 60_300, 0), 'wait')
  gauge.inner.swept(80, true, 70_000)
  assert.equal(gauge.inner.isHelpless, false, 'memory fell below the threshold, so the sweep helped')
})

test('a failed sweep does not show that trimming is useless, and does not lengthen the wait', () => {
  const gauge = new TestGauge()
  gauge.at(90, 0)
  gauge.inner.swept(90, false, 0)
  assert.equal(gauge.inner.isHelpless, false)
  assert.equal(gauge.at(90, INTERVAL_MS - 1), 'wait')
  assert.equal(gauge.at(90, INTERVAL_MS), 'sweep')
})

test('growth is measured from the lowest memory since the sweep', () => {
  const gauge = new TestGauge()
  gauge.at(95, 0)
  gauge.inner.swept(95, true, 0)
  assert.equal(gauge.at(82, 1_000), 'wait')
  assert.equal(gauge.at(84, 2_000), 'wait')
  assert.equal(gauge.at(86, 3_000), 'sweep')
})

test('pressure does not end just below the threshold, only well below it', () => {
  const gauge = new TestGauge()
  gauge.at(85, 0)
  gauge.inner.swept(85, true, 0)
  gauge.at(79, 100)
  assert.ok(gauge.inner.isHelpless)
  assert.equal(gauge.at(81, 200), 'wait')
  gauge.at(75, 300)
  assert.equal(gauge.inner.isHelpless, false)
  assert.equal(gauge.at(81, 400), 'sweep')
})

test('memory is read at least every interval, sooner with little room left or fast growth', () => {
  const gauge = new TestGauge()
  let atMs = 0
  for (let i = 0; i < 10; i++) atMs += gauge.judge(0, atMs).nextMs
  assert.equal(gauge.judge(0, atMs).nextMs, INTERVAL_MS)
  assert.equal(gauge.judge(40, atMs + 100).nextMs, 100, 'it grew by 40 in a tenth of a second')
  // Growth of 20 in 10 s: the remaining 20 take 10 s, and it waits half of that; but with 40 of 100 left at most 4 s.
  assert.equal(gauge.judge(60, atMs + 10_100).nextMs, 4_000)
  // Growth of 10 in 2 s: the remaining 10 take 2 s, and it waits half of that.
  assert.equal(gauge.judge(70, atMs + 12_100).nextMs, 1_000)
  gauge.at(99, atMs + 20_000)
  for (let i = 0; i < 10; i++) gauge.judge(99, atMs + 30_000 + i)
  assert.equal(gauge.judge(99, atMs + 40_000).nextMs, 500)
})

test('a burst that would fill Redis in 20 s is swept in time, whenever it starts and whatever earlier sweeps freed', () => {
  for (const quietAt of [30, 60, 79, 81, 85]) {
    for (let quietS = 0; quietS < 300; quietS += 7.3) {
      const gauge = new TestGauge()
      let [atMs, sweptAt] = [0, 0]
      const used = (): number => quietAt + Math.max(0, atMs - quietS * 1_000) * (MAX / 20_000)
      while (used() < MAX && sweptAt <= quietAt) {
        const { judgement, nextMs } = gauge.judge(used(), atMs)
        if (judgement === 'sweep') {
          sweptAt = used()
          gauge.inner.swept(used(), true, atMs)
        }
        atMs += nextMs
      }
      assert.ok(sweptAt > quietAt && sweptAt < 96, `quiet at ${quietAt} for ${quietS} s, swept at ${sweptAt}`)
    }
  }
})

test('the threshold is a share of maxmemory, or a size', () => {
  assert.equal(thresholdBytes({ share: 0.8 }, { usedBytes: 1, maxBytes: 100 }), 80)
  assert.equal(thresholdBytes({ share: 0.8 }, { usedBytes: 1, maxBytes: 0 }), null)
  assert.equal(thresholdBytes({ bytes: 70 }, { usedBytes: 1, maxBytes: 0 }), 70)
})

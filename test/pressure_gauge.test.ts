/** Memory, reading by reading: when it calls for a sweep, and how soon to look again. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Judgement, PressureGauge, thresholdBytes } from '../src/retention/pressure.ts'

const INTERVAL_MS = 10_000
/** In megabytes, where the maximum is 100 and the threshold 80. */
const [MAX, THRESHOLD] = [100, 80]

class Judged {
  readonly gauge = new PressureGauge(INTERVAL_MS)

  judge(used: number, atMs: number, max = MAX): { judgement: Judgement; nextMs: number } {
    return this.gauge.judge({ usedBytes: used, maxBytes: max }, THRESHOLD, atMs)
  }

  at(used: number, atMs: number, max = MAX): Judgement {
    return this.judge(used, atMs, max).judgement
  }
}

test('below is calm, above sweeps, and again when memory has grown behind a sweep that helped', () => {
  const judged = new Judged()
  assert.equal(judged.at(50, 0), 'calm')
  assert.equal(judged.at(83, 1_000), 'sweep')
  judged.gauge.swept(81, true, 1_100)
  assert.equal(judged.gauge.isHelpless, false)
  assert.equal(judged.at(82, 1_200), 'wait')
  assert.equal(judged.at(82.7, 1_300), 'sweep', 'two percent more')
  judged.gauge.swept(81, true, 1_400)
  assert.equal(judged.at(81, 1_400 + INTERVAL_MS - 1), 'wait')
  assert.equal(judged.at(81, 1_400 + INTERVAL_MS), 'sweep')
})

test('behind sweeps that gave next to nothing back it takes ever longer, or ever more growth', () => {
  const judged = new Judged()
  judged.at(81, 0)
  // That some entries went is no help.
  judged.gauge.swept(80.5, true, 0)
  assert.ok(judged.gauge.isHelpless)
  assert.equal(judged.at(81, 19_999), 'wait')
  assert.equal(judged.at(81, 20_000), 'sweep')
  judged.gauge.swept(81, true, 20_000)
  assert.equal(judged.at(81, 59_999), 'wait')
  assert.equal(judged.at(87, 59_999), 'wait')
  assert.equal(judged.at(88, 59_999), 'sweep', 'eight percent more')
  // Where little is left, half of that is waited for.
  judged.gauge.swept(88, true, 60_000)
  assert.equal(judged.at(93.9, 60_100), 'wait')
  assert.equal(judged.at(94.1, 60_100), 'sweep')
  // And none of it where memory has no maximum.
  judged.gauge.swept(94, true, 60_200)
  assert.equal(judged.at(100, 60_300, 0), 'wait')
  judged.gauge.swept(80, true, 70_000)
  assert.equal(judged.gauge.isHelpless, false, 'below is what it is for')
})

test('a sweep that failed tells nothing of what trimming would give back, and puts nothing off', () => {
  const judged = new Judged()
  judged.at(90, 0)
  judged.gauge.swept(90, false, 0)
  assert.equal(judged.gauge.isHelpless, false)
  assert.equal(judged.at(90, INTERVAL_MS - 1), 'wait')
  assert.equal(judged.at(90, INTERVAL_MS), 'sweep')
})

test('what memory grows from is the least that it was since the sweep', () => {
  const judged = new Judged()
  judged.at(95, 0)
  judged.gauge.swept(95, true, 0)
  assert.equal(judged.at(82, 1_000), 'wait')
  assert.equal(judged.at(84, 2_000), 'wait')
  assert.equal(judged.at(86, 3_000), 'sweep')
})

test('at the threshold the trouble is not over; well below it is', () => {
  const judged = new Judged()
  judged.at(85, 0)
  judged.gauge.swept(85, true, 0)
  judged.at(79, 100)
  assert.ok(judged.gauge.isHelpless)
  assert.equal(judged.at(81, 200), 'wait')
  judged.at(75, 300)
  assert.equal(judged.gauge.isHelpless, false)
  assert.equal(judged.at(81, 400), 'sweep')
})

test('it looks again at the interval at the latest, sooner where little room is left, and where memory grows fast', () => {
  const judged = new Judged()
  let atMs = 0
  for (let i = 0; i < 10; i++) atMs += judged.judge(0, atMs).nextMs
  assert.equal(judged.judge(0, atMs).nextMs, INTERVAL_MS)
  assert.equal(judged.judge(40, atMs + 100).nextMs, 100, 'it grew by 40 in a tenth of a second')
  // 20 in 10 s: the 20 to go take 10 s, half of which is waited; but with 40 of 100 left it is no more than 4 s.
  assert.equal(judged.judge(60, atMs + 10_100).nextMs, 4_000)
  // 10 in 2 s: the 10 to go take as long.
  assert.equal(judged.judge(70, atMs + 12_100).nextMs, 1_000)
  judged.at(99, atMs + 20_000)
  for (let i = 0; i < 10; i++) judged.judge(99, atMs + 30_000 + i)
  assert.equal(judged.judge(99, atMs + 40_000).nextMs, 500)
})

test('whatever the sweeps before were good for, and whenever it begins, what fills Redis in 20 s is swept in time', () => {
  for (const quietAt of [30, 60, 79, 81, 85]) {
    for (let quietS = 0; quietS < 300; quietS += 7.3) {
      const judged = new Judged()
      let [atMs, sweptAt] = [0, 0]
      const used = (): number => quietAt + Math.max(0, atMs - quietS * 1_000) * (MAX / 20_000)
      while (used() < MAX && sweptAt <= quietAt) {
        const { judgement, nextMs } = judged.judge(used(), atMs)
        if (judgement === 'sweep') {
          sweptAt = used()
          judged.gauge.swept(used(), true, atMs)
        }
        atMs += nextMs
      }
      assert.ok(sweptAt > quietAt && sweptAt < 96, `quiet at ${quietAt} for ${quietS} s, swept at ${sweptAt}`)
    }
  }
})

test('the threshold is a share of the maximum, or a size', () => {
  assert.equal(thresholdBytes({ share: 0.8 }, { usedBytes: 1, maxBytes: 100 }), 80)
  assert.equal(thresholdBytes({ share: 0.8 }, { usedBytes: 1, maxBytes: 0 }), null)
  assert.equal(thresholdBytes({ bytes: 70 }, { usedBytes: 1, maxBytes: 0 }), 70)
})

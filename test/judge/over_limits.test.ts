/** Which limits a stream still exceeds after a sweep has worked on it. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NODE_BYTES, NODE_ENTRIES } from '../../src/entries/bites.ts'
import { timeId } from '../../src/entries/stream_id.ts'
import { type Left, overLimits } from '../../src/judge/over_limits.ts'
import { DAY, foundStream, LIMITS, NOW, OFF } from '../harness/judged.ts'

const TRIMMED = { memoryBytes: 0, hold: null, wasTrimmed: true, attempted: true }
const UNTOUCHED = { wasTrimmed: false, attempted: false }

/** What is left of a stream whose oldest entry was written this long ago. */
function left(length: number, ageMs: number, more: Partial<Left> = {}): Left {
  const ms = NOW - ageMs
  return { ...TRIMMED, state: { length, oldest: { id: `${ms}-0`, ms, bytes: 10 } }, ...more }
}

const stream = foundStream({ length: 5_000 })

test('after an exact trim every entry above a limit counts', () => {
  const limits = { ...LIMITS, trim: 'exact', maxAgeMs: DAY, maxLength: 100 } as const
  assert.deepEqual(overLimits(stream, left(100, DAY), limits, NOW), { age: false, length: false, bytes: false })
  assert.deepEqual(overLimits(stream, left(101, DAY + 1), limits, NOW), { age: true, length: true, bytes: false })
})

test('after an approximate trim one node above the length limit is allowed, and an old entry', () => {
  const limits = { ...LIMITS, maxAgeMs: DAY, maxLength: 100 }
  const most = 100 + NODE_ENTRIES
  assert.deepEqual(overLimits(stream, left(most, 9 * DAY), limits, NOW), { age: false, length: false, bytes: false })
  assert.equal(overLimits(stream, left(most + 1, 0), limits, NOW).length, true)
})

test('a stream that Redis refused to trim gets no allowance', () => {
  const limits = { ...LIMITS, maxAgeMs: DAY, maxLength: 100 }
  assert.deepEqual(overLimits(stream, left(101, DAY + 1, { wasTrimmed: false }), limits, NOW), {
    age: true,
    length: true,
    bytes: false,
  })
})

test('old entries that a group held back are over the age limit, also with approximate trimming', () => {
  const limits = { ...LIMITS, maxAgeMs: DAY }
  const holdAt = (ageMs: number) => ({ hold: { floor: timeId(NOW - ageMs), group: 'slow', lastAliveMs: NOW } })
  assert.equal(overLimits(stream, left(10, 2 * DAY, holdAt(2 * DAY)), limits, NOW).age, true)
  // The group needs only what the policy keeps anyway.
  assert.equal(overLimits(stream, left(10, 2 * DAY, holdAt(DAY)), limits, NOW).age, false)
  // Without an old entry nothing was held back.
  assert.equal(overLimits(stream, left(10, DAY, holdAt(2 * DAY)), limits, NOW).age, false)
})

test('a stream with custom IDs is never over an age limit', () => {
  const custom = foundStream({ length: 10 }, { hasTimeIds: false })
  const limits = { ...LIMITS, trim: 'exact', maxAgeMs: DAY } as const
  assert.equal(overLimits(custom, left(10, 9 * DAY), limits, NOW).age, false)
})

test('the stricter of a limit and its hard limit decides', () => {
  const limits = { ...LIMITS, trim: 'exact', hardMaxAgeMs: DAY, hardMaxLength: 100 } as const
  assert.deepEqual(overLimits(stream, left(101, DAY + 1), limits, NOW), { age: true, length: true, bytes: false })
  const off = { ...limits, hardMaxAgeMs: OFF, hardMaxLength: OFF }
  assert.deepEqual(overLimits(stream, left(101, DAY + 1), off, NOW), { age: false, length: false, bytes: false })
})

test('after a trim one node above the size limit is allowed, without one nothing is', () => {
  const limits = { ...LIMITS, maxBytes: 10_000 }
  const isOver = (memoryBytes: number, more: Partial<Left>) =>
    overLimits(stream, left(10, 0, { memoryBytes, ...more }), limits, NOW).bytes
  assert.equal(isOver(10_000 + NODE_BYTES, { attempted: true }), false)
  assert.equal(isOver(10_001 + NODE_BYTES, { attempted: true }), true)
  assert.equal(isOver(10_000, UNTOUCHED), false)
  assert.equal(isOver(10_001, UNTOUCHED), true)
})

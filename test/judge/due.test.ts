/** Which streams a sweep works on at all. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDue, isOlderThan, isReapDue } from '../../src/judge/due.ts'
import { DAY, foundStream, HOUR, LIMITS, NOW, OFF } from '../harness/judged.ts'

/** The oldest entry, written this long ago. */
const aged = (ms: number) => ({ id: `${NOW - ms}-0`, ms: NOW - ms, bytes: 10 })

test('a stream is due once its oldest entry is older than the stricter age limit', () => {
  const limits = { ...LIMITS, maxAgeMs: DAY, hardMaxAgeMs: 2 * DAY }
  for (const [age, due] of [
    [DAY, false],
    [DAY + 1, true],
  ] as const) {
    const stream = foundStream({ length: 1, oldest: aged(age) })
    assert.equal(isDue(stream, limits, NOW), due)
    assert.equal(isDue(stream, { ...limits, maxAgeMs: OFF, hardMaxAgeMs: DAY }, NOW), due)
    assert.equal(isDue(stream, { ...limits, maxAgeMs: OFF }, NOW), false)
  }
})

test('a stream with custom IDs is never due by age', () => {
  const stream = foundStream({ length: 1, oldest: aged(9 * DAY) }, { hasTimeIds: false })
  assert.equal(isDue(stream, { ...LIMITS, maxAgeMs: DAY, ackedAfterMs: HOUR }, NOW), false)
})

test('a stream is due above the stricter length limit', () => {
  const limits = { ...LIMITS, maxLength: 100, hardMaxLength: 200 }
  const [full, over] = [foundStream({ length: 100 }), foundStream({ length: 101 })]
  assert.deepEqual([isDue(full, limits, NOW), isDue(over, limits, NOW)], [false, true])
  assert.equal(isDue(over, { ...limits, maxLength: OFF }, NOW), false)
  assert.equal(isDue(over, { ...limits, maxLength: OFF, hardMaxLength: 100 }, NOW), true)
})

test('a stream is due above its size limit, unless it holds a single entry', () => {
  const limits = { ...LIMITS, maxBytes: 1_000 }
  for (const [length, memoryBytes, due] of [
    [2, 1_000, false],
    [2, 1_001, true],
    [1, 1_001, false],
  ] as const)
    assert.equal(isDue(foundStream({ length }, { memoryBytes }), limits, NOW), due, `${length}, ${memoryBytes} bytes`)
})

test('with --acked-after a stream with groups is due once its oldest entry is old enough', () => {
  const limits = { ...LIMITS, ackedAfterMs: HOUR }
  for (const [age, hasGroups, due] of [
    [HOUR, true, false],
    [HOUR + 1, true, true],
    [HOUR + 1, false, false],
    // Nobody asked yet, so it may have groups.
    [HOUR + 1, undefined, true],
  ] as const) {
    const state = { length: 5, oldest: aged(age), ...(hasGroups === undefined ? {} : { hasGroups }) }
    assert.equal(isDue(foundStream(state), limits, NOW), due, `${age} ms, groups: ${hasGroups}`)
  }
})

test('with --acked-after 0s a stream with groups is due at any age, also with custom IDs', () => {
  const limits = { ...LIMITS, ackedAfterMs: 0 }
  const state = { length: 1, oldest: aged(0), hasGroups: true }
  assert.equal(isDue(foundStream(state, { hasTimeIds: false }), limits, NOW), true)
  assert.equal(isDue(foundStream({ ...state, length: 0, oldest: null }), limits, NOW), false)
})

test('an empty stream has nothing to trim, and something to reap only with --delete-empty or --delete-idle', () => {
  const empty = foundStream({ length: 0, oldest: null, hasGroups: false })
  const limits = { ...LIMITS, deleteEmpty: true }
  assert.equal(isDue(empty, limits, NOW), false)
  assert.equal(isReapDue(empty, LIMITS, NOW), false)
  assert.equal(isReapDue(empty, limits, NOW), true)
  assert.equal(isReapDue(empty, { ...LIMITS, deleteIdleMs: DAY }, NOW), true)
  assert.equal(isReapDue(foundStream({ length: 1, oldest: aged(9 * DAY), hasGroups: false }), limits, NOW), false)
})

test('with --delete-idle a stream may be reaped once its oldest entry is old enough', () => {
  const limits = { ...LIMITS, deleteIdleMs: DAY }
  const isDueAt = (age: number) =>
    isReapDue(foundStream({ length: 1, oldest: aged(age), hasGroups: false }), limits, NOW)
  assert.deepEqual([isDueAt(DAY), isDueAt(DAY + 1)], [false, true])
  const custom = foundStream({ length: 1, oldest: aged(9 * DAY), hasGroups: false }, { hasTimeIds: false })
  assert.equal(isReapDue(custom, limits, NOW), false)
})

test('with --reap-consumers-after a stream may be reaped if it has groups, or if nobody asked', () => {
  const limits = { ...LIMITS, reapConsumersAfterMs: DAY }
  const state = { length: 1, oldest: aged(0) }
  assert.equal(isReapDue(foundStream({ ...state, hasGroups: false }), limits, NOW), false)
  assert.equal(isReapDue(foundStream({ ...state, hasGroups: true }), limits, NOW), true)
  assert.equal(isReapDue(foundStream(state), limits, NOW), true)
  assert.equal(isReapDue(foundStream({ ...state, hasGroups: true }), LIMITS, NOW), false)
})

test('an oldest entry is older than an ID only if it is known and comes before it', () => {
  const id = (ms: bigint, seq: bigint) => ({ ms, seq })
  const oldest = { id: '5-3', ms: 5, bytes: 10 }
  assert.equal(isOlderThan({ length: 1, oldest }, id(5n, 4n)), true)
  assert.equal(isOlderThan({ length: 1, oldest }, id(5n, 3n)), false)
  for (const unknown of [null, undefined]) assert.equal(isOlderThan({ length: 1, oldest: unknown }, id(9n, 0n)), false)
})

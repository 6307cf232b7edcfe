/** Stream IDs, without Redis. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  EARLIEST_TIME_MS,
  earlierOf,
  formatStreamId,
  isBefore,
  isTime,
  millisecondsOf,
  nextStreamId,
  parseStreamId,
  timeId,
} from '../../src/entries/stream_id.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = Date.UTC(2026, 5, 1)
const LAST = 2n ** 64n - 1n

const id = parseStreamId

test('an ID is two 64-bit integers, parsed and written like Redis does', () => {
  for (const text of ['0-0', '1-1', '1700000000000-12', '18446744073709551615-18446744073709551615']) {
    assert.equal(formatStreamId(id(text)), text)
  }
  assert.equal(formatStreamId(id('5')), '5-0')
})

test('IDs compare as integers, not as text', () => {
  const ascending = [
    '0-1',
    '2-0',
    '9-10',
    '9-11',
    '10-1',
    '9007199254740993-0',
    '9007199254740993-1',
    `${LAST}-${LAST}`,
  ]
  ascending.forEach((a, i) => {
    ascending.forEach((b, k) => {
      assert.equal(isBefore(id(a), id(b)), i < k, `${a} before ${b}`)
      assert.deepEqual(earlierOf(id(a), id(b)), id(i < k ? a : b))
    })
  })
})

test('the ID after the last of a millisecond is the first of the next', () => {
  assert.equal(formatStreamId(nextStreamId(id('5-7'))), '5-8')
  assert.equal(formatStreamId(nextStreamId(id(`5-${LAST}`))), '6-0')
  assert.equal(formatStreamId(nextStreamId(id(`${LAST}-${LAST}`))), `${LAST}-${LAST}`)
})

test('the first ID of a time before 1970, or of -Infinity, is 0-0', () => {
  assert.equal(formatStreamId(timeId(NOW)), `${NOW}-0`)
  assert.equal(formatStreamId(timeId(-5)), '0-0')
  assert.equal(formatStreamId(timeId(Number.NEGATIVE_INFINITY)), '0-0')
})

test('the time of an ID is its first part, exact for every real time', () => {
  for (const [text, ms] of [
    ['1700000000000-12', 1_700_000_000_000],
    ['9007199254740991-0', 2 ** 53 - 1],
    ['0-1', 0],
    ['', 0],
  ] as const) {
    assert.equal(millisecondsOf(Buffer.from(text)), ms)
  }
  assert.ok(millisecondsOf(Buffer.from(`${LAST}-0`)) > 2 ** 63)
})

test('a first part counts as a time from 2000 to tomorrow; counters, seconds and microseconds do not', () => {
  for (const [ms, is] of [
    [NOW, true],
    [NOW - 20 * 365 * DAY, true],
    [NOW + DAY, true],
    [NOW + DAY + 1, false],
    [EARLIEST_TIME_MS, true],
    [EARLIEST_TIME_MS - 1, false],
    [0, false],
    [500_000, false],
    [Math.floor(NOW / 1000), false],
    [NOW * 1000, false],
    [NOW * 1_000_000, false],
  ] as const) {
    assert.equal(isTime(ms, NOW), is, String(ms))
  }
})

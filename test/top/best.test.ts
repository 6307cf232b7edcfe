/** The bounded memory of `top`: the best candidates, and the lengths of all streams. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Best } from '../../src/top/best.ts'
import { LengthSample } from '../../src/top/length_sample.ts'
import { outlookOn, type Reading, rowOf } from '../../src/top/rows.ts'

test('the best are those with the highest scores, in whatever order they come', () => {
  const best = new Best<number>(10)
  // 7 and 10,007 have no common divisor, so this is every number once, in another order.
  for (let i = 0; i < 10_007; i++) best.offer((i * 7) % 10_007, (i * 7) % 10_007)
  assert.deepEqual(best.list(), [10_006, 10_005, 10_004, 10_003, 10_002, 10_001, 10_000, 9_999, 9_998, 9_997])
  const few = new Best<string>(10)
  few.offer(0, 'a')
  few.offer(-1, 'b')
  assert.deepEqual(few.list(), ['a', 'b'], 'also what scores nothing')
})

test('the sample knows the last length of each of 200,000 streams, and of no other', () => {
  const sample = new LengthSample()
  const key = (i: number): Buffer => Buffer.from(`stream:conversation:${i}`)
  for (let i = 0; i < 200_000; i++) assert.equal(sample.exchange(key(i), i), null)
  for (let i = 0; i < 200_000; i++) assert.equal(sample.exchange(key(i), i + 1), i)
  assert.equal(sample.exchange(key(200_000), 1), null)
  assert.equal(sample.isFull, false)
})

test('a stream that appears between two whole passes has grown by all its entries; in the first pass none has grown', () => {
  const sample = new LengthSample()
  const [old, young] = ['old', 'young'].map((name) => Buffer.from(name))
  assert.ok(old && young)
  assert.equal(sample.grownTo(old, 500), 0)
  sample.endPass()
  assert.equal(sample.grownTo(old, 510), 10)
  assert.equal(sample.grownTo(young, 70), 70)
  assert.equal(sample.grownTo(young, 60), -10)
})

test('growth is per second of the clock of Redis, and unknown for a single reading', () => {
  const reading = { nowMs: 1_000, entries: 10, bytes: 100 } as Reading
  assert.deepEqual(rowOf(reading, undefined).entriesPerSecond, null)
  const later = rowOf({ ...reading, nowMs: 3_000, entries: 30, bytes: 60 }, reading)
  assert.deepEqual([later.entriesPerSecond, later.bytesPerSecond], [10, -20])
  const unknown = rowOf({ ...reading, nowMs: 3_000, bytes: null }, reading)
  assert.equal(unknown.bytesPerSecond, null)
})

test('memory is full when its growth since the first reading has filled what is left of maxmemory', () => {
  const at = (atMs: number, usedBytes: number, maxBytes = 1_000) => ({
    atMs,
    memory: new Map([['a', { usedBytes, maxBytes, uncountedBytes: 100 }]]),
  })
  assert.deepEqual(outlookOn([]), null)
  assert.equal(outlookOn([at(0, 500)])?.fullInSeconds, null)
  const growing = outlookOn([at(0, 500), at(1_000, 560), at(2_000, 600)])
  assert.deepEqual([growing?.bytesPerSecond, growing?.fullInSeconds], [50, 10])
  assert.equal(outlookOn([at(0, 500), at(1_000, 400)])?.fullInSeconds, null, 'it shrinks')
  assert.equal(outlookOn([at(0, 500, 0), at(1_000, 600, 0)])?.fullInSeconds, null, 'there is no maximum')
  assert.equal(outlookOn([{ atMs: 0, memory: null }]), null, 'Redis does not tell')
})

test('memory is full when the first primary of a cluster is full', () => {
  const at = (atMs: number, used: Readonly<Record<string, number>>) => ({
    atMs,
    memory: new Map(
      Object.entries(used).map(([primary, usedBytes]) => [
        primary,
        { usedBytes, maxBytes: primary === 'boundless' ? 0 : 1_000, uncountedBytes: 0 },
      ]),
    ),
  })
  const outlook = outlookOn([
    at(0, { hot: 800, calm: 100, boundless: 0, gone: 10 }),
    at(1_000, { hot: 850, calm: 110, boundless: 500, new: 900 }),
  ])
  assert.deepEqual(outlook, { usedBytes: 2_360, maxBytes: 3_000, bytesPerSecond: 560, fullInSeconds: 3 })
})

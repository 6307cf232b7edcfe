/** The longest streams of a sweep. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Longest } from '../../src/tally/longest.ts'
import { Random } from '../harness/retention_model/random.ts'

test('the longest streams are those that sorting all streams would put first, in whatever order they come', () => {
  const random = new Random(3)
  for (const most of [1, 2, 10, 100]) {
    for (const count of [0, 1, most, most + 1, 5_000]) {
      const longest = new Longest(most)
      // Few different lengths, so that many are equal.
      const streams = Array.from({ length: count }, (_, i) => ({
        key: Buffer.from(`${random.int(0, 9)}:${i}`),
        policy: 'p',
        length: random.int(0, 50),
      }))
      for (const { key, policy, length } of streams) longest.offer(key, policy, length)
      const lengths = streams.map(({ length }) => length).filter((length) => length > 0)
      assert.deepEqual(
        longest.list().map(({ length }) => length),
        lengths.sort((a, b) => b - a).slice(0, most),
      )
      for (const { key, length } of longest.list()) {
        assert.equal(streams.find((stream) => stream.key.equals(key))?.length, length)
      }
    }
  }
})

test('streams of equal length are sorted by key, and empty ones are never included', () => {
  const longest = new Longest(3)
  for (const [key, length] of [
    ['b', 5],
    ['a', 5],
    ['empty', 0],
    ['c', 7],
  ] as const) {
    longest.offer(Buffer.from(key), 'p', length)
  }
  assert.deepEqual(
    longest.list().map(({ key }) => key.toString()),
    ['c', 'a', 'b'],
  )
})

test('none are kept if none are wanted', () => {
  const longest = new Longest(0)
  for (let i = 0; i < 100; i++) longest.offer(Buffer.from(String(i)), 'p', i)
  assert.deepEqual(longest.list(), [])
})

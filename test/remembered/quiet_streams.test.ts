/** The memory of quiet streams: what it promises of each, and that it is bounded. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QuietStreams } from '../../src/remembered/quiet_streams.ts'

const NOW = 1_800_000_000_000
const HOUR = 3_600_000
const keyOf = (n: number): Buffer => Buffer.from(`stream:conversation:${n}`)

test('a stream is quiet until its time, for at most eleven sweeps and an hour', () => {
  const quiet = new QuietStreams()
  const key = keyOf(1)
  assert.equal(quiet.lengthIfQuiet(key, NOW), null)
  quiet.set(key, 10, NOW, NOW + 60_000)
  assert.equal(quiet.lengthIfQuiet(key, NOW + 59_000), 10)
  assert.equal(quiet.lengthIfQuiet(key, NOW + 60_000), null)

  quiet.set(key, 10, NOW, Number.POSITIVE_INFINITY)
  assert.equal(quiet.lengthIfQuiet(key, NOW + HOUR - 1_000), 10)
  assert.equal(quiet.lengthIfQuiet(key, NOW + HOUR), null)

  for (let i = 0; i < 11; i++) quiet.begin()
  assert.equal(quiet.lengthIfQuiet(key, NOW), null)
})

test('streams that were found quiet in one sweep are asked again in different ones', () => {
  const quiet = new QuietStreams()
  for (let n = 0; n < 1_000; n++) quiet.set(keyOf(n), 1, NOW, Number.POSITIVE_INFINITY)
  const asked: number[] = []
  for (let sweep = 1; sweep <= 11; sweep++) {
    quiet.begin()
    asked.push(
      Array.from({ length: 1_000 }, (_, n) => n).filter((n) => quiet.lengthIfQuiet(keyOf(n), NOW) === null).length,
    )
  }
  assert.deepEqual(asked.slice(0, 4), [0, 0, 0, 0])
  assert.equal(asked[10], 1_000)
  assert.ok(asked[4] !== undefined && asked[4] > 50 && asked[4] < 300, `${asked}`)
})

test('no stream is taken for another among many, and a table that is too small for all keeps most of what it holds', () => {
  const quiet = new QuietStreams()
  const count = 200_000
  for (let n = 0; n < count; n++) quiet.set(keyOf(n), n, NOW, Number.POSITIVE_INFINITY)
  const lengths = Array.from({ length: 2 * count }, (_, n) => quiet.lengthIfQuiet(keyOf(n), NOW))
  assert.equal(lengths.filter((length, n) => length !== null && length !== n).length, 0)
  const known = lengths.filter((length) => length !== null).length
  assert.ok(known > count * 0.999 && known <= count, `${known}`)

  const all = 1_000_000
  for (let n = count; n < all; n++) quiet.set(keyOf(n), n, NOW, Number.POSITIVE_INFINITY)
  let still = 0
  for (let n = 0; n < all; n++) if (quiet.lengthIfQuiet(keyOf(n), NOW) !== null) still++
  assert.ok(still > 450_000 && still <= 1 << 19, `${still}`)
})

/** What the watch remembers: bounded, fair, and never too trusting. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { neededEvents, writesChannel } from '../src/watch/notifications.ts'
import { WriteCounts } from '../src/watch/write_counts.ts'

const all = (): boolean => true
const key = (n: number): Buffer => Buffer.from(`stream:conversation:${n}`)

function write(counts: WriteCounts, stream: Buffer, times: number): void {
  for (let i = 0; i < times; i++) counts.add(stream)
}

test('a stream is due after every so many writes to it, and once while it waits', () => {
  const counts = new WriteCounts(10, all)
  write(counts, key(1), 9)
  assert.equal(counts.waiting, 0)
  write(counts, key(1), 1)
  assert.deepEqual(counts.take(5), [key(1)])
  write(counts, key(1), 35)
  assert.deepEqual(counts.take(5), [key(1)])
  assert.deepEqual(counts.take(5), [])
  assert.equal(counts.writes, 45)
})

test('a hot stream stands behind those that wait', () => {
  const counts = new WriteCounts(10, all)
  write(counts, key(1), 10)
  write(counts, key(2), 10)
  write(counts, key(1), 1_000)
  assert.deepEqual(counts.take(1), [key(1)])
  write(counts, key(1), 10)
  assert.deepEqual(counts.take(9), [key(2), key(1)])
})

test('keys are bytes, and those of no policy are not counted', () => {
  const bytes = Buffer.from([0xff, 0x00, 0xfe])
  const counts = new WriteCounts(1, (one) => one.equals(bytes))
  counts.add(bytes)
  counts.add(key(1))
  assert.deepEqual([counts.take(5), counts.writes], [[bytes], 1])
})

test('who waits for a due stream is told, at once where there is one', async () => {
  const counts = new WriteCounts(1, all)
  const told = counts.someDue()
  counts.add(key(1))
  await told
  await counts.someDue()
})

test('after a gap all that is remembered is due', () => {
  const counts = new WriteCounts(10, all)
  for (let n = 0; n < 5; n++) counts.add(key(n))
  counts.addMissed()
  assert.equal(counts.take(10).length, 5)
})

test('more streams than can be remembered: memory stays, and a stream is capped as often in the mean', () => {
  const [every, most, streams, rounds] = [10, 100, 1_000, 40]
  const counts = new WriteCounts(every, all, most)
  let capped = 0
  for (let round = 0; round < rounds; round++) {
    for (let n = 0; n < streams; n++) {
      counts.add(key(n))
      assert.ok(counts.waiting <= most)
      capped += counts.take(10).length
    }
  }
  // Each write calls for a tenth of a cap; what is forgotten is drawn, with the same mean.
  const expected = (streams * rounds) / every
  assert.ok(capped > 0.8 * expected && capped < 1.2 * expected, `${capped} of ${expected}`)
  assert.ok(counts.leftToSweep > 0)
})

test('where more wait than are taken, the rest is left to the sweep and said', () => {
  const counts = new WriteCounts(1, all, 100)
  for (let n = 0; n < 250; n++) counts.add(key(n))
  assert.equal(counts.waiting, 100)
  assert.equal(counts.leftToSweep, 150)
})

test('a key of a size that nobody chose is left to the sweep', () => {
  const counts = new WriteCounts(1, all)
  counts.add(Buffer.alloc(1_025, 'x'))
  assert.deepEqual([counts.waiting, counts.leftToSweep], [0, 1])
})

test('what is missing in notify-keyspace-events is added to what is there', () => {
  for (const [current, needed] of [
    ['', 'Et'],
    ['Kx', 'KxEt'],
    ['E', 'Et'],
    ['t', 'tE'],
    ['AE', null],
    ['A', 'AE'],
    ['KEt', null],
    ['AKE', null],
  ] as const) {
    assert.equal(neededEvents(current), needed, current)
  }
  assert.equal(writesChannel(3), '__keyevent@3__:xadd')
})

/** The write counts of the watch: bounded in memory, and fair. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { neededEvents, writesChannel } from '../../src/watch/notifications.ts'
import { WriteCounts } from '../../src/watch/write_counts.ts'
import { readPage } from '../harness/documents.ts'

const all = (): boolean => true
const key = (n: number): Buffer => Buffer.from(`stream:conversation:${n}`)

/** Takes due streams and ends the work on them. */
function cap(counts: WriteCounts, max: number): Buffer[] {
  const keys = counts.take(max)
  for (const key of keys) counts.done(key)
  return keys
}

function write(counts: WriteCounts, stream: Buffer, times: number): void {
  for (let i = 0; i < times; i++) counts.add(stream)
}

test('a stream is due after every n writes to it, and only once while it waits', () => {
  const counts = new WriteCounts(10, all)
  write(counts, key(1), 9)
  assert.equal(counts.waiting, 0)
  write(counts, key(1), 1)
  assert.deepEqual(cap(counts, 5), [key(1)])
  write(counts, key(1), 35)
  assert.deepEqual(cap(counts, 5), [key(1)])
  assert.deepEqual(counts.take(5), [])
  assert.equal(counts.writes, 45)
})

test('a stream that is being capped is not taken again, and is due after that if it was asked for meanwhile', () => {
  const counts = new WriteCounts(10, (one) => !one.equals(key(9)))
  write(counts, key(1), 10)
  assert.equal(counts.takeIfFree(key(1)), true)
  assert.deepEqual(counts.take(5), [], 'it is not due any more')
  assert.equal(counts.takeIfFree(key(1)), false)
  counts.done(key(1))
  assert.deepEqual([counts.take(5), counts.inProgress], [[key(1)], 1])
  counts.done(key(1))
  assert.deepEqual([counts.take(5), counts.inProgress], [[], 0])
  assert.equal(counts.takeIfFree(key(9)), false, 'no policy covers it')
})

test('streams whose connection failed while they were being capped are due again', () => {
  const counts = new WriteCounts(10, all)
  write(counts, key(1), 10)
  write(counts, key(2), 10)
  assert.equal(counts.take(5).length, 2)
  counts.done(key(2))
  counts.releaseAll()
  assert.deepEqual([counts.take(5), counts.inProgress], [[key(1)], 1])
})

test('a hot stream queues behind streams that are already waiting', () => {
  const counts = new WriteCounts(10, all)
  write(counts, key(1), 10)
  write(counts, key(2), 10)
  write(counts, key(1), 1_000)
  assert.deepEqual(cap(counts, 1), [key(1)])
  write(counts, key(1), 10)
  assert.deepEqual(counts.take(9), [key(2), key(1)])
})

test('keys may be any bytes, and keys without a policy are not counted', () => {
  const bytes = Buffer.from([0xff, 0x00, 0xfe])
  const counts = new WriteCounts(1, (one) => one.equals(bytes))
  counts.add(bytes)
  counts.add(key(1))
  assert.deepEqual([counts.take(5), counts.writes], [[bytes], 1])
})

test('waiting for a due stream ends when there is one, or at once if there already is', async () => {
  const counts = new WriteCounts(1, all)
  const waiting = counts.someDue()
  counts.add(key(1))
  await waiting
  await counts.someDue()
})

test('after a gap every remembered stream is due', () => {
  const counts = new WriteCounts(10, all)
  for (let n = 0; n < 5; n++) counts.add(key(n))
  counts.makeAllDue()
  assert.equal(counts.take(10).length, 5)
})

test('with more streams than can be remembered, memory stays bounded and streams are capped as often on average', () => {
  const [every, most, streams, rounds] = [10, 100, 1_000, 40]
  const counts = new WriteCounts(every, all, most)
  let capped = 0
  for (let round = 0; round < rounds; round++) {
    for (let n = 0; n < streams; n++) {
      counts.add(key(n))
      assert.ok(counts.waiting <= most)
      capped += cap(counts, 10).length
    }
  }
  // Each write is worth a tenth of a cap. Forgotten streams are capped at random with the same mean.
  const expected = (streams * rounds) / every
  assert.ok(capped > 0.8 * expected && capped < 1.2 * expected, `${capped} of ${expected}`)
  assert.ok(counts.leftToSweep > 0)
})

test('if too many streams are waiting, the rest is left to the sweep and counted', () => {
  const counts = new WriteCounts(1, all, 100)
  for (let n = 0; n < 250; n++) counts.add(key(n))
  assert.equal(counts.waiting, 100)
  assert.equal(counts.leftToSweep, 150)
  // Streams that are already waiting are not counted again.
  for (let n = 0; n < 100; n++) counts.add(key(n))
  assert.equal(counts.leftToSweep, 150)
})

test('a stream in progress is not taken again before it is done, and then only if it became due meanwhile', async () => {
  const counts = new WriteCounts(10, all)
  write(counts, key(1), 10)
  write(counts, key(2), 10)
  assert.deepEqual(counts.take(5), [key(1), key(2)])
  write(counts, key(1), 25)
  write(counts, key(3), 10)
  assert.deepEqual([counts.inProgress, counts.take(5)], [2, [key(3)]])
  const fewer = counts.atMostInProgress(2)
  counts.done(key(1))
  await fewer
  counts.done(key(2))
  assert.deepEqual(counts.take(5), [key(1)])
})

test('waiting for fewer streams in progress also ends when they are forgotten', async () => {
  const counts = new WriteCounts(1, all)
  for (const n of [1, 2]) write(counts, key(n), 1)
  const keys = counts.take(2)
  let told = false
  const fewer = counts.atMostInProgress(0).then(() => {
    told = true
  })
  counts.forget(key(1))
  await Promise.resolve()
  assert.equal(told, false)
  counts.forget(key(2))
  for (const one of keys) counts.done(one)
  await Promise.race([fewer, new Promise((resolve) => setImmediate(resolve))])
  assert.equal(told, true)
})

test('a stream that has moved is forgotten, whether it is in progress or not', () => {
  const counts = new WriteCounts(10, all)
  for (const n of [1, 2]) write(counts, key(n), 10)
  counts.take(1)
  write(counts, key(1), 10)
  for (const n of [1, 2]) counts.forget(key(n))
  counts.done(key(1))
  counts.makeAllDue()
  assert.deepEqual([counts.waiting, counts.inProgress], [0, 0])
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

for (const keyBytes of [84, 1024]) {
  test(`200,000 hot streams with keys of ${keyBytes} bytes take at most the memory that docs/between-sweeps.md promises`, () => {
    const told = Number(/takes at most (\d+) MB for each primary/.exec(readPage('docs/between-sweeps.md'))?.[1])
    const bytes = Buffer.alloc(keyBytes, 'x')
    const counts = new WriteCounts(2, all)
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    for (let write = 0; write < 3; write++) {
      for (let n = 0; n < 200_000; n++) {
        bytes.writeUInt32LE(n)
        counts.add(bytes)
      }
    }
    collectGarbage()
    const taken = (process.memoryUsage().heapUsed - before) / 1e6
    assert.ok(taken > told / 4 && taken <= told, `${taken} MB of ${told}`)
    assert.ok(counts.waiting > 1_000 && counts.leftToSweep > 0)
  })
}

test('a stream with a very long key is left to the sweep', () => {
  const counts = new WriteCounts(1, all)
  counts.add(Buffer.alloc(1_025, 'x'))
  assert.deepEqual([counts.waiting, counts.leftToSweep], [0, 1])
})

test('flags missing from notify-keyspace-events are added to those already set', () => {
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

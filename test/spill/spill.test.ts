/** What is archived of a stream: exactly what the limits would remove. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { LineBuffer } from '../../src/archive/line_buffer.ts'
import { parseStreamId } from '../../src/entries/stream_id.ts'
import { holdOf } from '../../src/retention/groups.ts'
import { type Limits, makePolicy } from '../../src/retention/policy.ts'
import { Budget } from '../../src/spill/budget.ts'
import { dueRange, goes } from '../../src/spill/due_range.ts'
import { OpenSegments } from '../../src/spill/open_segments.ts'
import { ArchiveFault, type Store } from '../../src/store/store.ts'
import { DAY, foundStream, HOUR, LIMITS, NOW } from '../harness/judged.ts'

/** How many of 100 entries, one an hour until now, go by these limits. */
function countGoing(limits: Partial<Limits>, memoryBytes = 0, lastDelivered?: number): number {
  const ids = Array.from({ length: 100 }, (_, i) => `${NOW - (99 - i) * HOUR}-0`)
  const groups =
    lastDelivered === undefined
      ? []
      : [
          {
            ...{ name: 'g', rawName: Buffer.from('g'), lag: 0, consumers: 1, pending: 0, entriesRead: null },
            ...{ oldestPending: null, idleMs: 0, firstUndelivered: null },
            lastDelivered: parseStreamId(ids[lastDelivered] ?? ''),
          },
        ]
  const policy = makePolicy('p', '*', { ...LIMITS, ...limits })
  const found = foundStream({ length: 100 }, { memoryBytes })
  const range = dueRange(found, policy, groups, holdOf(groups, policy, NOW), NOW)
  const going = ids.map((id, i) => goes(range, i, parseStreamId(id)))
  const count = going.filter(Boolean).length
  // What goes is one range from the first entry on.
  assert.deepEqual(
    going,
    ids.map((_, i) => i < count),
  )
  return count
}

test('each limit covers the oldest entries up to one point', () => {
  assert.equal(countGoing({}), 0)
  assert.equal(countGoing({ maxAgeMs: DAY }), 75)
  assert.equal(countGoing({ maxLength: 30 }), 70)
  assert.equal(countGoing({ maxLength: 30, maxAgeMs: DAY }), 75)
  assert.equal(countGoing({ maxBytes: 1000 }, 900), 0)
  assert.equal(countGoing({ maxBytes: 1000 }, 2000), 99)
})

test('groups keep what they have not read, but not from hard limits', () => {
  const protect = 'unread' as const
  assert.equal(countGoing({ maxAgeMs: DAY, protect }, 0, 9), 10)
  assert.equal(countGoing({ maxLength: 30, protect }, 0, 9), 10)
  assert.equal(countGoing({ maxLength: 30, hardMaxLength: 60, protect }, 0, 9), 40)
  assert.equal(countGoing({ maxAgeMs: DAY, hardMaxAgeMs: 2 * DAY, protect }, 0, 9), 51)
  assert.equal(countGoing({ ackedAfterMs: 0 }, 0, 9), 10)
  assert.equal(countGoing({ ackedAfterMs: 95 * HOUR }, 0, 9), 4)
})

test('a budget lets work in by its size, in the order of arrival', async () => {
  const budget = new Budget(10)
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const start = (name: string, size: number): Promise<void> =>
    budget.within(size, async () => {
      begun.push(name)
      await new Promise<void>((end) => ends.set(name, end))
    })
  const all = [start('a', 6), start('b', 6), start('c', 1), start('huge', 1000)]
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['a'])
  ends.get('a')?.()
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['a', 'b', 'c'])
  ends.get('b')?.()
  ends.get('c')?.()
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['a', 'b', 'c', 'huge'])
  ends.get('huge')?.()
  await Promise.all(all)
})

function writing(bytes: Buffer): (lines: LineBuffer) => void {
  return (lines) => lines.raw(bytes)
}

/** A store in memory that fails, or waits, on demand. */
class Memory implements Pick<Store, 'put'> {
  readonly names: string[] = []
  fault: ArchiveFault | null = null
  wait: Promise<void> = Promise.resolve()

  async put(name: string): Promise<void> {
    await this.wait
    if (this.fault !== null) throw this.fault
    this.names.push(name)
  }
}

function openSegments(memory: Memory): { segments: OpenSegments; stored: string[] } {
  const stored: string[] = []
  const openStore = async (): Promise<Store> => memory as unknown as Store
  const segments = new OpenSegments(openStore, 1000, new AbortController().signal, {
    stored: (policy, { entries }) => stored.push(`${policy} ${entries}`),
  })
  return { segments, stored }
}

test('while one segment is being stored the next is filled, and whoever fills one waits until it is durable', async () => {
  const memory = new Memory()
  const { segments, stored } = openSegments(memory)
  const { promise, resolve } = Promise.withResolvers<void>()
  memory.wait = promise
  const id = parseStreamId('1-1')
  const ended: string[] = []
  const add = (name: string, bytes: number): Promise<void> =>
    segments
      .add('p', writing(Buffer.alloc(bytes, 'x')), 1, id, id)
      .then((segment) => void ended.push(`${name} in ${segment}`))
  // A seventh of lines is taken for their compressed size.
  const all = [add('full', 8000), add('small', 10), add('next', 8000), add('last', 10)]
  await setTimeout(50)
  assert.deepEqual([ended, stored], [['small in 2'], []])
  resolve()
  await Promise.all(all)
  assert.deepEqual(
    [ended.toSorted(), stored],
    [
      ['full in 1', 'last in 3', 'next in 2', 'small in 2'],
      ['p 1', 'p 2'],
    ],
  )
  assert.ok(segments.isDurable('p', 2) && !segments.isDurable('p', 3))
})

test('when a segment cannot be stored, those who fill the next one learn it, and nothing of it is stored', async () => {
  const memory = new Memory()
  const { segments, stored } = openSegments(memory)
  const id = parseStreamId('1-1')
  const { promise, resolve } = Promise.withResolvers<void>()
  memory.wait = promise
  memory.fault = new ArchiveFault('full', 'no space')
  const full = segments.add('p', writing(Buffer.alloc(8000, 'x')), 1, id, id)
  const adding = Array.from({ length: 20 }, () => segments.add('q', writing(Buffer.alloc(300_000, 'x')), 1, id, id))
  const all = [full, ...adding].map((one) => assert.rejects(one, memory.fault as ArchiveFault))
  resolve()
  await Promise.all(all)
  memory.fault = null
  await segments.abandon()
  assert.deepEqual([stored, memory.names], [[], []])
})

test('each policy has its own segment, and together they stay within twice the size of one', async () => {
  const { segments, stored } = openSegments(new Memory())
  const id = parseStreamId('1-1')
  // Random digits hardly compress: 600 characters take about 300 bytes.
  const line = (): Buffer =>
    Buffer.from(`${Array.from({ length: 600 }, () => Math.floor(Math.random() * 10)).join('')}\n`)
  for (let i = 0; i < 40; i++) await segments.add(`policy ${i % 8}`, writing(line()), 1, id, id)
  assert.ok(stored.length > 0, 'some were stored before the end')
  await segments.flush()
  const entries = stored.map((one) => Number(one.split(' ').at(-1)))
  assert.equal(
    entries.reduce((a, b) => a + b, 0),
    40,
  )
})

test('a segment is durable once it is stored, and none is after a failure', async () => {
  const memory = new Memory()
  const { segments, stored } = openSegments(memory)
  const id = parseStreamId('1-1')
  const first = await segments.add('p', writing(Buffer.from('x\n')), 1, id, id)
  assert.equal(segments.isDurable('p', first), false)
  await segments.flush()
  assert.equal(segments.isDurable('p', first), true)
  const second = await segments.add('p', writing(Buffer.from('x\n')), 1, id, id)
  memory.fault = new ArchiveFault('full', 'no space')
  await assert.rejects(segments.flush(), memory.fault)
  assert.equal(segments.isDurable('p', second), false)
  // It is not tried again: the next sweep begins anew.
  memory.fault = null
  await assert.rejects(segments.add('p', writing(Buffer.from('x\n')), 1, id, id), { code: 'full' })
  assert.deepEqual(stored, ['p 1'])
})

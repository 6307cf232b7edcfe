/** Which consumers and groups may be reaped, as pure decisions. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Group } from '../../src/retention/groups.ts'
import { makeGlob } from '../../src/retention/policy.ts'
import {
  type Consumer,
  isReapable,
  judgesLife,
  msToNextReapable,
  reapableConsumers,
} from '../../src/retention/reaping.ts'
import { DAY, HOUR, LIMITS, NOW, OFF } from '../harness/judged.ts'

const names = (consumers: readonly Consumer[]): string[] => consumers.map(({ name }) => Buffer.from(name).toString())
const consumer = (name: string, idleMs: number, more: Partial<Consumer> = {}): Consumer => ({
  ...{ name: Buffer.from(name), pending: 0, idleMs, countsAttempts: true },
  ...more,
})

test('consumers with nothing pending go once they have been idle for long enough', () => {
  const all = [
    consumer('at-work', 0),
    consumer('short', DAY - 1),
    consumer('long', DAY),
    consumer('busy', 9 * DAY, { pending: 1 }),
  ]
  assert.deepEqual(names(reapableConsumers(all, DAY, false)), ['long'])
})

test('where attempts that found nothing do not count, idle is measured from the youngest of the group', () => {
  const quiet = [DAY * 3, DAY * 3 + HOUR, DAY * 9].map((idle, i) => consumer(`c${i}`, idle, { countsAttempts: false }))
  assert.deepEqual(names(reapableConsumers(quiet, DAY, false)), ['c2'])
  const counted = quiet.map((one) => ({ ...one, countsAttempts: true }))
  assert.deepEqual(names(reapableConsumers(counted, DAY, false)), ['c0', 'c1', 'c2'])
})

test('the consumer that tells when its group was alive stays, unless another one tells the same', () => {
  const all = [consumer('a', 3 * DAY), consumer('b', 2 * DAY), consumer('busy', 8 * DAY, { pending: 3 })]
  assert.deepEqual(names(reapableConsumers(all, DAY, false)), ['a', 'b'])
  assert.deepEqual(names(reapableConsumers(all, DAY, true)), ['a'])
  const alive = [...all, consumer('alive', HOUR)]
  assert.deepEqual(names(reapableConsumers(alive, DAY, true)), ['a', 'b'])
  const busyAsYoung = [...all, consumer('busy too', 2 * DAY, { pending: 1 })]
  assert.deepEqual(names(reapableConsumers(busyAsYoung, DAY, true)), ['a', 'b'])
  const twins = [consumer('one', 2 * DAY), consumer('two', 2 * DAY)]
  assert.deepEqual(names(reapableConsumers(twins, DAY, true)), ['two'])
})

test('a policy judges the life of groups if it protects them, asks what they acknowledged, or reaps by them', () => {
  const name = Buffer.from('jobs-1')
  for (const [limits, judges] of [
    [{}, false],
    [{ reapConsumersAfterMs: DAY, reapPending: true }, false],
    [{ protect: 'unread' }, true],
    [{ ackedAfterMs: 0 }, true],
    [{ deleteIdleMs: DAY }, true],
    [{ reapGroups: makeGlob('jobs-*') }, true],
    [{ reapGroups: makeGlob('other-*') }, false],
  ] as const)
    assert.equal(judgesLife({ ...LIMITS, ...limits }, name), judges, JSON.stringify(limits))
})

test('another consumer may become reapable once the first of those that read has been idle for long enough', () => {
  const all = [
    consumer('a', DAY - HOUR),
    consumer('b', 0),
    consumer('gone', 2 * DAY),
    consumer('busy', DAY, { pending: 1 }),
  ]
  assert.deepEqual(msToNextReapable(all, reapableConsumers(all, DAY, false), DAY), { ifNoneAcks: HOUR, whatever: 0 })
  const working = [consumer('a', 0), consumer('b', 2 * HOUR, { pending: 1 })]
  assert.deepEqual(msToNextReapable(working, [], DAY), { ifNoneAcks: DAY, whatever: DAY - 2 * HOUR })
  assert.deepEqual(msToNextReapable([], [], DAY), { ifNoneAcks: DAY, whatever: DAY })
  // The one that only the rule of the youngest keeps may go as soon as another one reads.
  const kept = [consumer('one', 3 * DAY), consumer('busy', 9 * DAY, { pending: 1 })]
  assert.equal(msToNextReapable(kept, reapableConsumers(kept, DAY, true), DAY).ifNoneAcks, 0)
})

test('a group is dead by its consumers; without any, only if it was delivered something and has more to read', () => {
  const limits = { ...LIMITS, staleGroupAfterMs: 7 * DAY }
  const group: Group = {
    ...{ name: 'g', rawName: Buffer.from('g'), lastDelivered: { ms: 1n, seq: 0n }, lag: 1 },
    ...{ consumers: 0, pending: 0, entriesRead: null, oldestPending: null, idleMs: null, firstUndelivered: null },
  }
  const unread = (ago: number) => ({ ms: BigInt(NOW - ago), seq: 0n })
  for (const [state, dead] of [
    [{ consumers: 1, idleMs: 7 * DAY }, true],
    [{ consumers: 1, idleMs: 7 * DAY - 1 }, false],
    [{ entriesRead: 5, firstUndelivered: unread(7 * DAY) }, true],
    [{ entriesRead: 5, firstUndelivered: unread(7 * DAY - 1) }, false],
    // Everything is read: whoever reads next is welcome.
    [{ entriesRead: 5 }, false],
    // It may have been created a moment ago.
    [{ entriesRead: 0, firstUndelivered: unread(30 * DAY) }, false],
    [{ entriesRead: null, firstUndelivered: unread(30 * DAY) }, false],
    // A custom ID tells no age.
    [{ entriesRead: 5, firstUndelivered: { ms: 5n, seq: 1n } }, false],
  ] as const)
    assert.equal(
      isReapable({ ...group, ...state }, limits, NOW),
      dead,
      JSON.stringify(state, (_, v) => `${v}`),
    )
  assert.equal(
    isReapable({ ...group, consumers: 1, idleMs: 99 * DAY }, { ...limits, staleGroupAfterMs: OFF }, NOW),
    false,
  )
})

/** When sweeps are due. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCron, parseTimezone } from '../../src/schedule/cron.ts'
import { BrokenRule } from '../../src/text/quantities.ts'

/** The next times a pattern fires after a moment, in UTC. */
function firings(pattern: string, timezone: string, after: string, count: number): string[] {
  const cron = parseCron(pattern, timezone)
  const times: string[] = []
  let ms: number | null = Date.parse(after)
  while (times.length < count) {
    ms = ms === null ? null : cron.nextAfter(ms)
    times.push(ms === null ? 'never' : new Date(ms).toISOString())
  }
  return times
}

test('five fields fire at a minute, six at a second', () => {
  assert.deepEqual(firings('0 * * * *', 'UTC', '2026-06-01T10:00:00Z', 2), [
    '2026-06-01T11:00:00.000Z',
    '2026-06-01T12:00:00.000Z',
  ])
  assert.deepEqual(firings('  */20  * * *   * * ', 'UTC', '2026-06-01T10:00:30.500Z', 2), [
    '2026-06-01T10:00:40.000Z',
    '2026-06-01T10:01:00.000Z',
  ])
})

test('a pattern fires in its time zone, also across daylight saving changes', () => {
  assert.deepEqual(firings('30 3 * * *', 'Europe/Berlin', '2026-03-27T12:00:00Z', 3), [
    '2026-03-28T02:30:00.000Z',
    '2026-03-29T01:30:00.000Z',
    '2026-03-30T01:30:00.000Z',
  ])
})

test('a pattern may fire only in leap years', () => {
  assert.deepEqual(firings('0 0 29 2 *', 'UTC', '2027-01-01T00:00:00Z', 1), ['2028-02-29T00:00:00.000Z'])
})

test('only time zones that the system knows are accepted', () => {
  for (const zone of ['UTC', 'Europe/Berlin', 'America/New_York']) assert.equal(parseTimezone(zone), zone)
  for (const zone of ['', 'Mars/Olympus', 'utc+1:00x', 'Europe/Berlin ']) {
    assert.throws(() => parseTimezone(zone), BrokenRule, zone)
  }
})

/** The sentences and drawings of the status page. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  makeStatus,
  PAST_SWEEPS,
  type PastSweep,
  recordArchive,
  recordInStatus,
  type Status,
} from '../../src/status_page/status.ts'
import { statusPage } from '../../src/status_page/status_page.ts'
import { longestTable } from '../../src/status_page/stream_tables.ts'
import { sweepChart } from '../../src/status_page/sweep_chart.ts'
import { verdict } from '../../src/status_page/verdict.ts'
import { ArchiveFault } from '../../src/store/store.ts'
import type { SweepReport } from '../../src/sweep/sweep.ts'
import { emptyTally } from '../../src/tally/tally.ts'
import { configOf } from '../harness/configured.ts'

const HOUR = 3_600_000
/** On the hour, like the default schedule. */
const START = Date.UTC(2026, 0, 1)

/** A copy that has been running since START, with the default schedule. */
function statusOf(changes: Partial<Status> = {}): Status {
  return { ...makeStatus(configOf([]), '0.0.0', START), isLeader: true, ...changes }
}

function reportOf(changes: Partial<SweepReport> = {}): SweepReport {
  return {
    ...{ result: 'success', cause: null, message: null, failure: null, durationMs: 10, whole: true, memory: null },
    ...{
      policies: [],
      total: { ...emptyTally('all'), streams: 2 },
      missing: new Map(),
      longest: [],
      held: [],
      groups: null,
      archiveFault: null,
    },
    ...changes,
  }
}

const FAILED = { result: 'failed', cause: 'connect', message: 'it hung up', failure: 'connect', whole: false } as const

test('a good verdict turns bad once sweeps are overdue by two periods', () => {
  const status = statusOf()
  const at = (hours: number) => {
    const { tone, sentence } = verdict(status, START + hours * HOUR)
    return `${tone}: ${sentence}`
  }
  assert.equal(at(0), 'plain: No sweep has ended yet.')
  // The first sweep is due at 1:00 and overdue by two periods at 3:00.
  assert.equal(at(3), 'plain: No sweep has ended yet.')
  assert.equal(at(3.1), 'bad: No sweep has ended yet. This copy has been running for 3h6m.')

  recordInStatus(status, reportOf(), START + 4.5 * HOUR)
  assert.equal(at(4.6), 'good: All 2 streams are inside their policies.')
  assert.equal(at(7), 'good: All 2 streams are inside their policies.')
  assert.equal(at(7.5), 'bad: The last success was 3h ago, and later sweeps are overdue.')

  recordInStatus(status, reportOf(FAILED), START + 8 * HOUR)
  assert.equal(at(8.5), 'bad: The last sweep did not succeed: it hung up. The last success was 4h ago.')
  // A sweep of only the primaries under memory pressure says nothing about the others.
  recordInStatus(status, reportOf({ whole: false }), START + 9 * HOUR)
  assert.equal(at(9), 'bad: The last sweep did not succeed: it hung up. The last success was 4h30m ago.')

  const total = { ...emptyTally('all'), streams: 3, overLimit: { age: 0, length: 2, bytes: 0 }, protectedStreams: 1 }
  recordInStatus(status, reportOf({ total }), START + 10 * HOUR)
  assert.equal(at(10), 'bad: Streams over a limit: 2 by length, out of 3 streams. Consumer groups hold back 1 stream.')
})

test('a copy that does not lead refers to the one that does, even if it has swept before', () => {
  const verdictOf = (changes: Partial<Status>) => verdict(statusOf(changes), START + 9 * HOUR)
  const standby = { isLeader: false, anotherLeads: true }
  assert.deepEqual(verdictOf(standby), {
    tone: 'plain',
    sentence: 'Another copy leads; its page has the current numbers.',
  })
  const former = { ...standby, last: { report: reportOf(FAILED), endedAtMs: START + 8 * HOUR } }
  assert.deepEqual(verdictOf(former), {
    tone: 'plain',
    sentence:
      "Another copy leads; its page has the current numbers. The numbers below are from this copy's last sweep, 1h ago.",
  })
  const leaseOf = (changes: Partial<Status>) =>
    /<dt>lease<\/dt><dd>(.*?)</.exec(statusPage(statusOf(changes), START))?.[1]
  assert.equal(leaseOf({}), 'this copy sweeps')
  assert.equal(leaseOf(standby), 'another copy sweeps')
  assert.equal(leaseOf({ isLeader: false }), 'holder unknown')
})

test('the page tells of the archive: its place, what the last sweep and the watch stored, and its failures until it works', () => {
  const args = ['--archive', 's3://bucket/chat', '--archive-s3-endpoint', 'http://minio:9000']
  const status: Status = { ...makeStatus(configOf(args), '0.0.0', START), isLeader: true }
  const terms = (name: string) =>
    Array.from(statusPage(status, START).matchAll(/<dt>(.*?)<\/dt><dd>(.*?)</g), ([, ...term]) => term)
      .filter(([one]) => one === name)
      .map(([, told]) => told)
  assert.deepEqual(terms('archive'), ['s3://bucket/chat at http://minio:9000'])
  assert.deepEqual(terms('archive error'), [])

  const fault = new ArchiveFault('full', 'could not store it')
  const unarchived = { ...emptyTally('all'), streams: 2, unarchived: 1_200 }
  const failed = { ...FAILED, cause: 'archive', archiveFault: fault, whole: true, total: unarchived }
  recordInStatus(status, reportOf(failed), START)
  recordInStatus(status, reportOf(failed), START + HOUR)
  assert.deepEqual(terms('archive error'), ['since 2026-01-01 00:00:00 UTC: could not store it'])
  assert.deepEqual(terms('archived'), ['nothing; 1,200 removed by a hard limit without it'])
  // Redis did not answer, which says nothing about the archive.
  recordInStatus(status, reportOf(FAILED), START + HOUR)
  assert.deepEqual(terms('archive error'), ['since 2026-01-01 00:00:00 UTC: could not store it'])

  const archived = { ...emptyTally('all'), streams: 2, archived: 2_000, archivedBytes: 35_000 }
  recordInStatus(status, reportOf({ total: archived }), START + 2 * HOUR)
  assert.deepEqual(terms('archive error'), [])
  assert.deepEqual(terms('archived'), ['2,000 entries in 34.2kb'])
  // The watch fails, and works again.
  recordArchive(status, fault, START + 3 * HOUR)
  assert.deepEqual(terms('archive error'), ['since 2026-01-01 03:00:00 UTC: could not store it'])
  recordArchive(status, null, START + 4 * HOUR)
  assert.deepEqual(terms('archive error'), [])
  const state = { heard: 1, primaries: 1, writes: 5, waiting: 0, leftToSweep: 0 }
  const total = { ...emptyTally('all'), streams: 3, archived: 90, removed: { age: 0, length: 90, bytes: 0, acked: 0 } }
  status.watch = { state, whyUnheard: [], total, updateMetrics: () => {} }
  assert.deepEqual(terms('removed by watch'), ['90 entries in 3 checks of a stream; 90 archived'])
})

/** The attributes of every matching element of an SVG. */
function drawn(svg: string, element: RegExp): Record<string, string>[] {
  return Array.from(svg.matchAll(new RegExp(`<${element.source}[^>]*>`, 'g')), ([one]) =>
    Object.fromEntries(Array.from(one.matchAll(/([\w-]+)="([^"]*)"/g), ([, name, value]) => [name, value])),
  )
}

test('the chart shows every remembered sweep, and marks unsuccessful ones by more than their colour', () => {
  const status = statusOf()
  for (let i = 0; i < PAST_SWEEPS + 20; i++) {
    const removed = { age: i, length: 0, bytes: 0, acked: 0 }
    const report = i % 50 === 49 ? FAILED : { total: { ...emptyTally('all'), streams: 2, removed } }
    recordInStatus(status, reportOf(report), START + i * HOUR)
  }
  const page = statusPage(status, START)
  assert.equal(drawn(page, /g class="sweep success"/).length, 98)
  assert.equal(drawn(page, /g class="sweep failed"/).length, 2)
  assert.equal(drawn(page, /rect class="removed" x/).length, PAST_SWEEPS)
  const [failure, ...others] = drawn(page, /rect class="failure" x/)
  assert.equal(others.length, 1)
  // A failed sweep removed nothing, but its hatched bar is as high as the highest.
  const heights = drawn(page, /rect class="removed" x/).map(({ height }) => Number(height))
  assert.equal(Number(failure?.height), Math.max(...heights))
  assert.match(page, /\.failure \{ fill: url\(#hatch\)/)
  assert.match(page, /<pattern id="hatch"/)
  assert.match(page, /not successful \(full height\)<\/li>/)
  assert.match(page, />01-01 20:00<\/text><text [^>]*>01-05 23:00 UTC<\/text>/)
  // The table has the same figures, latest first.
  const rows = page.match(/<details[\s\S]*<\/details>/)?.[0].match(/<tr><th scope="row">.*<\/tr>/g) ?? []
  assert.equal(rows.length, PAST_SWEEPS)
  assert.match(rows[0] ?? '', /2026-01-05 23:00:00 UTC<\/th><td>success<\/td><td class="n">119</)
  assert.match(rows[20] ?? '', /<td>failed<\/td><td class="n">0</)

  const one: PastSweep = { endedAtMs: START, result: 'success', removed: 0, durationMs: 5 }
  assert.doesNotMatch(sweepChart([one]), /not successful/)
  assert.deepEqual(sweepChart([one]).match(/>[^<]*<\/text>/g), ['>00:00:00 UTC</text>'])
})

test('the bars of the longest streams share one scale, and each shows its limit and what exceeds it', () => {
  const specs = ['hard:*,name=hard,max-length=off,hard-max-length=2000', 'off:*,name=off,max-length=off,trim=exact']
  const { policies } = configOf([...specs.flatMap((spec) => ['--policy', spec]), '--max-length', '1000'])
  const plain = policies[2]?.name ?? ''
  const tableOf = (...streams: [policy: string, length: number][]) =>
    longestTable(
      reportOf({ longest: streams.map(([policy, length], i) => ({ key: Buffer.from(`s${i}`), policy, length })) }),
      policies,
    )
  const rowsOf = (table: string) => table.match(/<tr><th scope="row">.*<\/tr>/g) ?? []
  const width = (row: string, kind: string) => Number(drawn(row, new RegExp(`rect class="${kind}"`))[0]?.width ?? 0)

  const rows = rowsOf(tableOf(['hard', 50_000], ['hard', 2_610], [plain, 1_016], ['off', 500]))
  assert.deepEqual(
    rows.map((row) => />([\d,]+ \/ [\w, ]+)</.exec(row)?.[1]),
    ['50,000 / 2,000', '2,610 / 2,000', '1,016 / 1,000', '500 / no limit'],
  )
  const whole = width(rows[0] ?? '', 'track')
  const lengths = rows.map((row) => Math.round(((width(row, 'kept') + width(row, 'excess')) / whole) * 50_000))
  for (const [i, length] of [50_000, 2_610, 1_016, 500].entries()) assert.ok(Math.abs((lengths[i] ?? 0) - length) < 50)
  // Streams within the slack of approximate trimming are inside the policy.
  assert.deepEqual(
    rows.map((row) => width(row, 'excess') > 0),
    [true, true, false, false],
  )
  assert.deepEqual(
    rows.map((row) => drawn(row, /line class="limit"/).length),
    [1, 1, 1, 0],
  )

  // If no stream reaches its limit, the full width of a bar is the limit.
  const [full, half] = rowsOf(tableOf([plain, 990], [plain, 500]))
  const [mark] = drawn(full ?? '', /line class="limit"/)
  assert.equal(Number(mark?.x1), width(full ?? '', 'track'))
  assert.ok(Math.abs(width(full ?? '', 'kept') / width(full ?? '', 'track') - 0.99) < 0.01)
  assert.ok(Math.abs(width(half ?? '', 'kept') / width(half ?? '', 'track') - 0.5) < 0.01)
})

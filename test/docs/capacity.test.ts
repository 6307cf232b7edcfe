/** Holds docs/capacity.md to the benchmarks, to its own arithmetic, and to the requests that Redis counts. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { readPage, sectionOf, tableIn } from '../harness/documents.ts'
import { EVERY_SECOND, startDaemon } from '../harness/program.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'

const PAGE = readPage('docs/capacity.md')
const RESULTS = readPage('bench/RESULTS.md')
const STREAMS_MEASURED = 200_000
const COSTS = tableIn(sectionOf(PAGE, 'What does a million streams cost\\?'))

/** The row of a contender in a section of the results: ms, CPU of Redis and own CPU for a million streams. */
function measured(section: string, contender: string): number[] {
  const line = sectionOf(RESULTS, section)
    .split('\n')
    .find((text) => text.startsWith(`| ${contender} |`))
  assert.ok(line, `${section}: ${contender}`)
  const [, , ms = '', , redis, own] = line.split('|').map((cell) => cell.trim())
  return [Number(ms.replaceAll(',', '')) / (STREAMS_MEASURED / 1000), Number(redis), Number(own)]
}

test('the costs on the page are those of bench/RESULTS.md', () => {
  const rows = [
    measured('Steady state: nothing to remove', 'xtrimd run'),
    measured('Three of ten streams have gone stale', 'xtrimd run'),
    measured('Steady state: nothing to remove', 'xtrimd run --pace 100'),
    measured('Three of ten streams have gone stale', 'xtrimd run --pace 100'),
  ]
  assert.equal(COSTS.length, rows.length)
  for (const [i, row] of rows.entries()) {
    const told = (COSTS[i] ?? []).slice(1).map(Number)
    // Machines differ from run to run; the page must not mislead by more than half.
    for (const [n, value] of row.entries()) {
      const ratio = (told[n] ?? 0) / value
      assert.ok(ratio > 0.66 && ratio < 1.5, `${COSTS[i]?.[0]}: ${told[n]} told, ${value} measured`)
    }
  }
})

/** Seconds as the page writes them. */
function shown(seconds: number): string {
  return seconds < 60 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
}

test('the arithmetic on the page follows from its own costs', () => {
  const [, time = 0, , own = 0] = (COSTS[1] ?? []).map(Number)
  const rows = tableIn(sectionOf(PAGE, 'What does my size cost\\?'))
  assert.ok(rows.length >= 5)
  for (const [streams = '', primaries = '', ...told] of rows) {
    const millions = Number(streams.replaceAll(',', '')) / 1e6
    const paced = (millions / Number(primaries)) * time
    const computed = millions * own
    const percent = (computed / 3600) * 100
    assert.deepEqual(told, [
      shown(paced),
      shown(computed),
      shown(Math.max(paced, computed)),
      `${percent < 1 ? percent.toFixed(1) : Math.round(percent)} %`,
    ])
  }
  assert.match(
    PAGE,
    new RegExp(`sweep take ${Math.round((10 * time) / 2.5 / 60)} minutes instead of ${Math.round((10 * time) / 60)}`),
  )
})

/** The commands that Redis has run for clients since its start. Those inside scripts count for their script. */
async function requests(servers: readonly RedisServer[]): Promise<number> {
  let sum = 0
  for (const redis of servers) {
    const calls = Array.from(
      String(await redis.command('INFO', 'commandstats')).matchAll(
        /^cmdstat_(scan|eval_ro|xlen|xrange|xread):calls=(\d+)/gm,
      ),
      ([, name = '', count]) => [name, Number(count)] as const,
    )
    const inScript = calls.some(([name]) => name === 'eval_ro')
    sum += calls.filter(([name]) => !inScript || /scan|eval_ro/.test(name)).reduce((all, [, count]) => all + count, 0)
  }
  return sum
}

/** Requests of a warm daemon's sweep for 1,000 streams. */
async function requestsPerThousand(t: TestContext, servers: readonly RedisServer[], args: string[]): Promise<number> {
  const now = Date.now()
  for (const redis of servers) {
    const keys = Array.from({ length: 3_000 }, (_, i) => `stream:conversation:${i}`)
    // In a cluster each primary takes the keys of its slots.
    await Promise.allSettled(keys.map((key) => redis.command('XADD', key, `${now}-0`, 'text', 'hello')))
  }
  const daemon = await startDaemon(t, ['--lease=false', ...EVERY_SECOND, ...args])
  const sweeps = () => daemon.logs.filter(({ msg, result }) => msg === 'sweep' && result === 'success')
  const settled = async (count: number): Promise<number> => {
    await waitUntil(() => sweeps().length >= count, { timeoutMs: 60_000, what: `${count} sweeps` })
    return sweeps().length
  }
  const first = await settled(2)
  const before = await requests(servers)
  const last = await settled(first + 4)
  const after = await requests(servers)
  const streams = Number(sweeps().at(-1)?.streams)
  assert.ok(streams >= 2_500)
  return ((after - before) / (last - first) / streams) * 1000
}

test('a sweep sends as many requests as the page says', async (t) => {
  const [withScripts = 0, without = 0] = tableIn(sectionOf(PAGE, 'How many requests does it send\\?')).map(([, n]) =>
    Number(n),
  )
  const redis = await startRedis(t)
  const cluster = await startCluster(t)
  const alone = await requestsPerThousand(t, [redis], ['--redis-url', redis.url])
  const clustered = await requestsPerThousand(t, cluster.primaries, [
    '--redis-mode',
    'cluster',
    '--redis-url',
    cluster.urls,
  ])
  for (const [found, told] of [
    [alone, withScripts],
    [clustered, without],
  ] as const) {
    // A sweep may be half done at either end of the count.
    assert.ok(Math.abs(found / told - 1) < 0.35, `${found} requests, ${told} told`)
  }
})

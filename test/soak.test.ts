/**
 * All of it at once: producers, three copies of the daemon, and a fault every few seconds. TEST_SOAK_SECONDS is how long
 * (30), TEST_SOAK_SEED draws other faults.
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Ledger } from './harness/ledger.ts'
import { type Daemon, startDaemon } from './harness/program.ts'
import { type RedisServer, startRedis } from './harness/redis_server.ts'
import { redisNow, streamIds } from './harness/streams.ts'
import { sweepOnce } from './harness/sweep_once.ts'
import { waitUntil } from './harness/waiting.ts'
import { Random } from './retention_model/random.ts'

const SECONDS = Number(process.env.TEST_SOAK_SECONDS || 30)
const SEED = Number(process.env.TEST_SOAK_SEED || 1)

const COPIES = 3
const ENTRIES_PER_SECOND = 2_000
const NEWEST = 1_000
const NEWEST_MS = 8_000
/** What whole nodes may leave beyond the policy. */
const NODE = 100
/** So long that a renewal comes in time though Redis stood still for a second, and the machine for another. */
const LEASE_TTL_MS = 5_000
/** Far above what a copy needs, and soon passed by one that forgets nothing. */
const MOST_RSS = 250e6
/** A process takes its size in its first minutes: growth is asked of a soak that goes on long enough behind them. */
const LONG_SECONDS = 1_200
/** What the allocator alone moves up and down. */
const MOST_GROWTH = 1.15

const BY_LENGTH = Array.from({ length: 10 }, (_, i) => `stream:conversation:${i}`)
const BY_AGE = Array.from({ length: 10 }, (_, i) => `stream:event:${i}`)
const POLICIES = [
  ...['--max-length', String(NEWEST), '--max-age', 'off'],
  ...['--policy', `stream:event:*,max-length=off,max-age=${NEWEST_MS}ms`],
]

interface Span {
  readonly from: number
  to: number
}

/** One process, and what was done to it. */
interface Copy {
  readonly daemon: Daemon
  readonly frozen: Span[]
  /** When it was told to end, or killed. */
  endedAt: number
}

class Fleet {
  /** All there ever were. */
  readonly copies: Copy[] = []
  readonly #alive: Copy[] = []
  readonly #start: () => Promise<Daemon>

  constructor(start: () => Promise<Daemon>) {
    this.#start = start
  }

  get alive(): readonly Copy[] {
    return this.#alive
  }

  async add(): Promise<void> {
    const copy: Copy = { daemon: await this.#start(), frozen: [], endedAt: Number.POSITIVE_INFINITY }
    this.copies.push(copy)
    this.#alive.push(copy)
  }

  /** The first copy lives from the beginning to the end: its memory is watched. */
  get eldest(): Copy {
    return this.copies[0] as Copy
  }

  /** As often the one that leads as any. */
  async pick(random: Random, among = this.#alive): Promise<Copy> {
    const any = random.pick(among)
    if (random.chance(0.5)) return any
    const leads = await Promise.all(among.map(({ daemon }) => daemon.metric('xtrimd_leader')))
    return among[leads.indexOf(1)] ?? any
  }

  pickToEnd(random: Random): Promise<Copy> {
    return this.pick(
      random,
      this.#alive.filter((copy) => copy !== this.eldest),
    )
  }

  async end(copy: Copy, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#alive.splice(this.#alive.indexOf(copy), 1)
    copy.endedAt = Date.now()
    const ended = await copy.daemon.stop(signal)
    assert.equal(ended.stderr, '')
    if (signal === 'SIGTERM') assert.equal(ended.code, 0)
  }

  async freeze({ daemon, frozen }: Copy, ms: number): Promise<void> {
    const span = { from: Date.now(), to: Number.POSITIVE_INFINITY }
    frozen.push(span)
    process.kill(daemon.pid, 'SIGSTOP')
    await pause(ms)
    process.kill(daemon.pid, 'SIGCONT')
    span.to = Date.now()
  }
}

type Strike = (redis: RedisServer, fleet: Fleet, random: Random) => Promise<void>

const FAULTS: Readonly<Record<string, Strike>> = {
  'a copy is killed': async (_, fleet, random) => {
    await fleet.end(await fleet.pickToEnd(random), 'SIGKILL')
    await pause(random.int(100, 2_000))
    await fleet.add()
  },
  'a copy is replaced': async (_, fleet, random) => {
    await fleet.end(await fleet.pickToEnd(random), 'SIGTERM')
    await fleet.add()
  },
  'a copy is frozen': async (_, fleet, random) => {
    await fleet.freeze(await fleet.pick(random), random.int(200, 2 * LEASE_TTL_MS))
  },
  'every connection is cut': async (redis) => {
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal')
  },
  'Redis is frozen': async (redis) => {
    await redis.freeze()
    await pause(1_000)
    await redis.thaw()
  },
}

test(`${SECONDS} s of faults: nothing is lost, nothing grows, nobody dies, and never do two copies sweep in one term`, async (t) => {
  const redis = await startRedis(t)
  const ledger = new Ledger(redis, [...BY_LENGTH, ...BY_AGE])
  t.after(() => ledger.stop())
  ledger.start(ENTRIES_PER_SECOND)
  const fleet = await startFleet(t, redis)

  const rssOfEldest = await strikeUntil(performance.now() + SECONDS * 1_000, t, redis, fleet, ledger)

  // What is left alive sweeps on after the last fault.
  const settled = fleet.alive.map(({ daemon }) => daemon.logs.length)
  await waitUntil(
    () =>
      fleet.alive.some(({ daemon }, i) =>
        daemon.logs.slice(settled[i]).some(({ msg, result }) => msg === 'sweep' && result === 'success'),
      ),
    { timeoutMs: 60_000, what: 'a success after the last fault' },
  )
  await ledger.stop()
  for (const { daemon } of fleet.alive) {
    const rss = await daemon.rssBytes()
    assert.ok(rss < MOST_RSS, `${rss} bytes`)
    t.diagnostic(`${Math.round(rss / 1e6)} MB`)
  }
  if (SECONDS >= LONG_SECONDS) assertNoGrowth(rssOfEldest, t)
  for (const copy of [...fleet.alive]) await fleet.end(copy, 'SIGTERM')
  for (const { daemon } of fleet.copies) {
    assert.deepEqual(
      daemon.logs.filter(({ level, msg }) => level === 'fatal' || msg === 'sweeping without the lease'),
      [],
    )
  }
  await verifyAll(ledger)

  const lastSweepMs = await redisNow(redis)
  const { report } = await sweepOnce(redis.url, POLICIES)
  assert.deepEqual([report.result, report.overLimit], ['success', { age: 0, length: 0, bytes: 0 }])
  await verifyAll(ledger)
  await assertInsidePolicy(redis, lastSweepMs)
  const terms = termsOf(fleet.copies)
  t.diagnostic(`${ledger.written} entries written, ${terms.length} sweeps by ${fleet.copies.length} processes`)
  assert.ok(ledger.written > SECONDS * ENTRIES_PER_SECOND * 0.1, 'the producers got on')
  assert.ok(terms.length >= SECONDS / 10, 'the daemons got on')
  assertOneAtATime(terms)
})

async function startFleet(t: TestContext, redis: RedisServer): Promise<Fleet> {
  const schedule = ['--cron', '*/2 * * * * *', '--lease-ttl', `${LEASE_TTL_MS}ms`, '--reply-timeout', '2s']
  const args = ['--redis-url', redis.url, ...POLICIES, ...schedule, '--log-level', 'debug']
  const fleet = new Fleet(() => startDaemon(t, args))
  await Promise.all(Array.from({ length: COPIES }, () => fleet.add()))
  return fleet
}

async function strikeUntil(
  deadline: number,
  t: TestContext,
  redis: RedisServer,
  fleet: Fleet,
  ledger: Ledger,
): Promise<readonly number[]> {
  const rssOfEldest: number[] = []
  const random = new Random(SEED)
  const names = Object.keys(FAULTS)
  // Each once before any twice.
  let drawn: string[] = []
  while (performance.now() < deadline) {
    await pause(random.int(500, 2_500))
    if (drawn.length === 0) drawn = [...names]
    const [name = ''] = drawn.splice(random.int(0, drawn.length - 1), 1)
    t.diagnostic(name)
    await FAULTS[name]?.(redis, fleet, random)
    await ledger.verify(random.pick(BY_LENGTH), { newest: NEWEST })
    await ledger.verify(random.pick(BY_AGE), { newestMs: NEWEST_MS })
    for (const { daemon } of fleet.alive) {
      const ended = await Promise.race([daemon.ended, null])
      assert.equal(ended, null, `a copy ended by itself: ${JSON.stringify(ended)}`)
    }
    rssOfEldest.push(await fleet.eldest.daemon.rssBytes())
  }
  return rssOfEldest
}

/** The last third of the samples is no larger than the second. */
function assertNoGrowth(samples: readonly number[], t: TestContext): void {
  const third = Math.floor(samples.length / 3)
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
  const [before, after] = [median(samples.slice(third, 2 * third)), median(samples.slice(2 * third))]
  t.diagnostic(
    `the eldest copy: ${Math.round(before / 1e6)} MB in the second third, ${Math.round(after / 1e6)} in the last`,
  )
  assert.ok(after < before * MOST_GROWTH, `${before} bytes grew to ${after}`)
}

async function verifyAll(ledger: Ledger): Promise<void> {
  for (const key of BY_LENGTH) await ledger.verify(key, { newest: NEWEST })
  for (const key of BY_AGE) await ledger.verify(key, { newestMs: NEWEST_MS })
}

/** As a sweep that began no earlier than `sweptMs` must have left the streams, when nothing was written since. */
async function assertInsidePolicy(redis: RedisServer, sweptMs: number): Promise<void> {
  for (const key of BY_LENGTH) {
    const length = Number(await redis.command('XLEN', key))
    assert.ok(length >= NEWEST && length <= NEWEST + NODE, `${key}: ${length}`)
  }
  for (const key of BY_AGE) {
    const older = (await streamIds(redis, key)).filter((id) => Number.parseInt(id, 10) < sweptMs - NEWEST_MS)
    assert.ok(older.length < NODE, `${key}: ${older.length} too old`)
  }
}

interface Term {
  readonly copy: Copy
  readonly begun: number
  readonly cause: unknown
}

/** Every sweep of every copy, in the order they began. */
function termsOf(copies: readonly Copy[]): Term[] {
  return copies
    .flatMap((copy) => {
      const { logs } = copy.daemon
      return logs.flatMap((line, i) => {
        if (line.msg !== 'sweep begins') return []
        const end = logs.slice(i).find(({ msg }) => msg === 'sweep')
        return [{ copy, begun: Date.parse(String(line.time)), cause: end?.cause }]
      })
    })
    .sort((a, b) => a.begun - b.begun)
}

/** Who swept last may be followed by another only if it has ended, or stood still for so long that its term went by. */
function assertOneAtATime(terms: readonly Term[]): void {
  // One that was frozen between its lease and its sweep begins it late, and ends it for want of the lease.
  const begun = terms.filter(({ cause }) => cause !== 'lease-lost')
  for (const next of begun) {
    const last = terms.findLast((term) => term.begun < next.begun && term.copy !== next.copy)
    const between = terms.findLast((term) => term.begun < next.begun)
    if (last === undefined || last !== between) continue
    const { endedAt, frozen } = last.copy
    // It renews three times in a term, so at least about two thirds of one were left when it froze.
    const stoodStill = frozen.some(
      ({ from, to }) => to >= last.begun && from <= next.begun && Math.min(to, next.begun) - from > LEASE_TTL_MS / 3,
    )
    assert.ok(
      endedAt <= next.begun || stoodStill,
      `two copies swept at ${new Date(last.begun).toISOString()} and ${new Date(next.begun).toISOString()}`,
    )
  }
}

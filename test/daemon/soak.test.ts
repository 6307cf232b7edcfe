/**
 * Everything at once: producers, three copies of the daemon, and a fault every few seconds. TEST_SOAK_SECONDS sets the
 * duration (default 45), and TEST_SOAK_SEED another order of faults.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Ledger } from '../harness/ledger.ts'
import { type Daemon, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { Random } from '../harness/retention_model/random.ts'
import { redisNow, streamIds } from '../harness/streams.ts'
import { sweepOnce } from '../harness/sweep_once.ts'
import { startProxy, type TcpProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const SECONDS = Number(process.env.TEST_SOAK_SECONDS || 45)
const SEED = Number(process.env.TEST_SOAK_SEED || 1)

const COPIES = 3
const ENTRIES_PER_SECOND = 2_000
const NEWEST = 1_000
const NEWEST_MS = 8_000
/** Entries that trimming by whole nodes may leave beyond the policy. */
const NODE = 100
/** Long enough to renew the lease in time even if Redis is frozen for a second and the machine for another. */
const LEASE_TTL_MS = 5_000
/** By how much rounding to whole milliseconds may shorten the time between two log lines. */
const ROUNDING_MS = 5
const SETTLE_MS = 500
/** Far above what a copy needs. A copy that leaks memory soon exceeds it. */
const MOST_RSS = 250e6
/** Only soaks of this length check for growth, because a process grows to its size in its first minutes. */
const LONG_SECONDS = 1_200
/** Fluctuation due to the allocator alone. */
const MOST_GROWTH = 1.15

const BY_LENGTH = Array.from({ length: 10 }, (_, i) => `stream:conversation:${i}`)
const BY_AGE = Array.from({ length: 10 }, (_, i) => `stream:event:${i}`)
const POLICIES = [
  ...['--max-length', String(NEWEST), '--max-age', 'off'],
  ...['--policy', `stream:event:*,max-length=off,max-age=${NEWEST_MS}ms`],
]

/** One process. */
interface Copy {
  readonly daemon: Daemon
  /** When it got SIGTERM and therefore released its lease. */
  releasedAt: number
}

class Fleet {
  /** All copies ever started. */
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
    const copy: Copy = { daemon: await this.#start(), releasedAt: Number.POSITIVE_INFINITY }
    this.copies.push(copy)
    this.#alive.push(copy)
  }

  /** The first copy runs from beginning to end, so its memory is measured. */
  get eldest(): Copy {
    return this.copies[0] as Copy
  }

  /** Picks the leader half of the time, and any copy otherwise. */
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
    if (signal === 'SIGTERM') copy.releasedAt = Date.now()
    const ended = await copy.daemon.stop(signal)
    assert.equal(ended.stderr, '')
    if (signal === 'SIGTERM') assert.equal(ended.code, 0)
  }

  async freeze({ daemon }: Copy, ms: number): Promise<void> {
    process.kill(daemon.pid, 'SIGSTOP')
    await pause(ms)
    process.kill(daemon.pid, 'SIGCONT')
  }
}

/** What faults can hit. */
interface Target {
  readonly redis: RedisServer
  /** The network between the copies and Redis. */
  readonly network: TcpProxy
  readonly fleet: Fleet
  /** Times in which Redis had no memory for a lease, so that nobody could hold one and every copy swept. */
  readonly open: (readonly [from: number, to: number])[]
}

type Strike = (target: Target, random: Random) => Promise<void>

const FAULTS: Readonly<Record<string, Strike>> = {
  'a copy is killed': async ({ fleet }, random) => {
    await fleet.end(await fleet.pickToEnd(random), 'SIGKILL')
    await pause(random.int(100, 2_000))
    await fleet.add()
  },
  'a copy is replaced': async ({ fleet }, random) => {
    await fleet.end(await fleet.pickToEnd(random), 'SIGTERM')
    await fleet.add()
  },
  'a copy is frozen': async ({ fleet }, random) => {
    await fleet.freeze(await fleet.pick(random), random.int(200, 2 * LEASE_TTL_MS))
  },
  'every connection is cut, also those of the producers': async ({ redis }) => {
    const other = redis.client.duplicate()
    other.on('error', () => {})
    await other.connect()
    const noticed = once(redis.client, 'error')
    await other.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal'])
    other.destroy()
    // Until then the client believes that it is connected.
    await noticed
  },
  'the network is slow': async ({ network }, random) => {
    network.delay(random.int(100, 500))
    await pause(2_000)
    await network.heal()
  },
  'the network loses everything': async ({ network }, random) => {
    network.blackhole()
    await pause(random.int(500, 3_000))
    await network.heal()
  },
  'Redis is frozen': async ({ redis }) => {
    await redis.freeze()
    await pause(1_000)
    await redis.thaw()
  },
  'Redis is killed and loads its append-only file': async ({ redis }, random) => {
    await redis.kill()
    await pause(random.int(100, 1_000))
    await redis.restart()
  },
  'Redis is out of memory': async ({ redis, open }) => {
    const from = Date.now()
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    await pause(3_000)
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    // A sweep that was allowed without a lease starts a moment later.
    open.push([from, Date.now() + SETTLE_MS])
  },
}

test(`during ${SECONDS} s of faults nothing is lost, no copy grows or dies, and two copies never sweep in the same term`, async (t) => {
  // Redis writes to the file before it acknowledges, so a killed Redis loses nothing that it acknowledged.
  const redis = await startRedis(t, { config: { appendonly: 'yes', appendfsync: 'no' } })
  const network = await startProxy(t, redis.port)
  const ledger = new Ledger(redis, [...BY_LENGTH, ...BY_AGE])
  t.after(() => ledger.stop())
  ledger.start(ENTRIES_PER_SECOND)
  const fleet = await startFleet(t, network)
  const target: Target = { redis, network, fleet, open: [] }

  const rssOfEldest = await strikeUntil(performance.now() + SECONDS * 1_000, t, target, ledger)

  // The remaining copies sweep successfully after the last fault.
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
    const unexpected = daemon.logs.filter(
      ({ level, msg, reason }) =>
        level === 'fatal' || (msg === 'sweeping without the lease' && !/out of memory/.test(String(reason))),
    )
    assert.deepEqual(unexpected, [])
  }
  await verifyAll(ledger)

  const lastSweepMs = await redisNow(redis)
  const { report } = await sweepOnce(redis.url, POLICIES)
  assert.deepEqual([report.result, report.overLimit], ['success', { age: 0, length: 0, bytes: 0 }])
  await verifyAll(ledger)
  await assertInsidePolicy(redis, lastSweepMs)
  const terms = termsOf(fleet.copies)
  t.diagnostic(`${ledger.written} entries written, ${terms.length} sweeps by ${fleet.copies.length} processes`)
  assert.ok(ledger.written > SECONDS * ENTRIES_PER_SECOND * 0.25, 'the producers kept writing')
  assert.ok(terms.length >= SECONDS / 10, 'the daemons kept sweeping')
  const known = terms.filter(({ begun, endsAt }) => endsAt > begun)
  assert.ok(known.length >= terms.length / 2, 'the log tells the lease terms')
  assertOneAtATime(terms, target.open)
})

test('control: two copies that sweep within one term are detected', () => {
  const copies = [0, 1].map(() => ({ releasedAt: Number.POSITIVE_INFINITY }) as Copy) as [Copy, Copy]
  const sweeps = (...begun: readonly (readonly [copy: 0 | 1, at: number])[]): Term[] =>
    begun.map(([copy, at]) => ({ copy: copies[copy], begun: at, endsAt: at + LEASE_TTL_MS, result: 'success' }))
  assertOneAtATime(sweeps([0, 0], [0, 2_000], [1, 2_000 + LEASE_TTL_MS]), [])
  const twice = sweeps([0, 0], [1, 2_000])
  assert.throws(() => assertOneAtATime(twice, []), /two copies/)
  assertOneAtATime(twice, [[1_000, 3_000]])
  copies[0].releasedAt = 1_500
  assertOneAtATime(twice, [])
})

async function startFleet(t: TestContext, network: TcpProxy): Promise<Fleet> {
  const schedule = ['--cron', '*/2 * * * * *', '--lease-ttl', `${LEASE_TTL_MS}ms`, '--reply-timeout', '2s']
  const args = ['--redis-url', network.url, ...POLICIES, ...schedule, '--log-level', 'debug']
  const fleet = new Fleet(() => startDaemon(t, args))
  await Promise.all(Array.from({ length: COPIES }, () => fleet.add()))
  return fleet
}

async function strikeUntil(
  deadline: number,
  t: TestContext,
  target: Target,
  ledger: Ledger,
): Promise<readonly number[]> {
  const { redis, fleet } = target
  const rssOfEldest: number[] = []
  const random = new Random(SEED)
  const names = Object.keys(FAULTS)
  // Every fault happens once before any happens twice.
  let drawn: string[] = []
  while (performance.now() < deadline) {
    await pause(random.int(500, 2_500))
    if (drawn.length === 0) drawn = [...names]
    const [name = ''] = drawn.splice(random.int(0, drawn.length - 1), 1)
    t.diagnostic(name)
    await FAULTS[name]?.(target, random)
    await waitUntil(() => redis.client.isReady, { timeoutMs: 60_000, what: 'the producers to reconnect' })
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

/** Asserts that the last third of the samples is not larger than the second. */
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

/** Asserts that the streams are as left by a sweep that began at `sweptMs` or later, with no writes since. */
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
  /** When the lease at its start expires unless renewed. */
  readonly endsAt: number
  readonly result: unknown
}

/** All sweeps of all copies, in the order in which they began. */
function termsOf(copies: readonly Copy[]): Term[] {
  return copies
    .flatMap((copy) => {
      const { logs } = copy.daemon
      return logs.flatMap((line, i) => {
        if (line.msg !== 'sweep started') return []
        const end = logs.slice(i).find(({ msg }) => msg === 'sweep')
        const begun = Date.parse(String(line.time))
        return [{ copy, begun, endsAt: begun + Number(line.leaseLeftMs ?? 0), result: end?.result }]
      })
    })
    .sort((a, b) => a.begun - b.begun)
}

/**
 * Asserts that another copy sweeps only after the previous copy's term is over, unless the previous copy released the lease
 * or nobody could hold one.
 */
function assertOneAtATime(terms: readonly Term[], open: Target['open']): void {
  const swept = terms.filter(({ result }) => result === 'success')
  for (const [i, next] of swept.entries()) {
    const last = swept[i - 1]
    if (last === undefined || last.copy === next.copy) continue
    const isOver = next.begun >= last.endsAt - ROUNDING_MS
    const isOpen = open.some(([from, to]) => last.begun <= to && next.begun >= from)
    assert.ok(
      isOver || isOpen || last.copy.releasedAt <= next.begun,
      `two copies swept at ${new Date(last.begun).toISOString()} and ${new Date(next.begun).toISOString()}`,
    )
  }
}

/** The README's list of ACL rights: each feature works with exactly its rules, and not one of them is too many. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { Lease } from '../src/redis/lease.ts'
import { planJson, sweepJson } from '../src/report/json.ts'
import { plan } from '../src/sweep/plan.ts'
import { sweep } from '../src/sweep/sweep.ts'
import { ACL_LINES, aclTable, BASE, commandOf, type Feature, rulesOf } from './acl.ts'
import { readOutput } from './harness/output.ts'
import { HARDLY_EVER, runXtrimd, startDaemon } from './harness/program.ts'
import { type RedisServer, startRedis } from './harness/redis_server.ts'
import { fieldsOf } from './harness/replies.ts'
import { startSentinel } from './harness/sentinel.ts'
import { fillStream, redisNow } from './harness/streams.ts'
import { taskOf } from './harness/sweep_here.ts'
import { waitUntil } from './harness/waiting.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:a'

/** Commands that a sweep does without, and says so or loses nothing by it: refused wherever their feature is not asked for. */
const DISPENSABLE = [
  'client|setname',
  'client|no-touch',
  'eval_ro',
  'xread',
  'info',
  'xinfo|groups',
  'multi',
  'exec',
  'memory|usage',
]
/** Of these nobody needs to be told. */
const UNTOLD = ['+client|setname', '+client|no-touch', '+eval_ro', '+xread']

/** What the program prints as JSON. */
type Report = Record<string, unknown>

interface Scenario {
  readonly command?: 'sweep' | 'plan'
  readonly args?: readonly string[]
  readonly database?: number
  readonly config?: Readonly<Record<string, string>>
  /** Rules of the base that this feature alone does without. */
  readonly instead?: readonly string[]
  /** Whether this server has the feature at all. */
  readonly isKnown?: (redis: RedisServer) => Promise<boolean>
  readonly prepare: (redis: RedisServer) => Promise<void>
  /** Asserts that the feature did its work. */
  readonly works: (report: Report, redis: RedisServer) => unknown
}

/** A thousand entries that are too old, a thousand too many, a thousand to keep: and so many more of the first two. */
async function fill(redis: RedisServer, more = 0, bytes = 10): Promise<void> {
  const now = await redisNow(redis)
  await fillStream(redis, KEY, { count: 1_000 + more, from: now - 48 * HOUR, stepMs: 1, bytes })
  await fillStream(redis, KEY, { count: 2_000 + more, from: now - HOUR, stepMs: 1, bytes })
}

/** A group with a consumer that has been delivered some of the entries. */
async function read(redis: RedisServer, count: number, ...how: string[]): Promise<void> {
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', String(count), ...how, 'STREAMS', KEY, '>')
}

const trimmed = {
  prepare: fill,
  works: ({ removed }) => assert.deepEqual(removed, { age: 1_000, length: 1_000, bytes: 0 }),
} satisfies Scenario

function planned({ streams, remove }: Report): void {
  assert.equal(streams, 1)
  const { age, length } = remove as { age: number; length: number }
  assert.ok(age + length >= 1_900, `${age} by age, ${length} by length`)
}

const greets = (command: string): Scenario => ({
  ...trimmed,
  isKnown: async (redis) => ((await redis.command('COMMAND', 'INFO', command)) as unknown[])[0] !== null,
  works: async (report, redis) => {
    trimmed.works(report)
    assert.equal(await redis.callsOf(command), 1)
  },
})

const SCENARIOS: Partial<Record<Feature, Scenario>> = {
  [BASE]: trimmed,
  'a database other than 0': {
    database: 3,
    prepare: async (redis) => {
      await redis.command('SELECT', '3')
      await fill(redis)
      await redis.command('SELECT', '0')
    },
    works: trimmed.works,
  },
  'its name in `CLIENT LIST`': greets('client|setname'),
  'looking without making keys look used (from Redis 7.2 on)': greets('client|no-touch'),
  'looking at many streams at once, twice as fast (from Redis 7.0 on, not in a cluster)': {
    prepare: async (redis) => {
      await fill(redis)
      await redis.command('XADD', 'stream:conversation:young', '*', 'a', 'b')
    },
    isKnown: async (redis) => ((await redis.command('COMMAND', 'INFO', 'EVAL_RO')) as unknown[])[0] !== null,
    works: async (report, redis) => {
      trimmed.works(report)
      assert.equal(await redis.callsOf('xread'), 1)
    },
  },
  '`xtrimd_entries_trimmed_unread_total`': {
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 500, 'NOACK')
    },
    works: (report) => {
      trimmed.works(report)
      assert.equal(report.unread, 1_500)
    },
  },
  '`--trim exact`': {
    args: ['--trim', 'exact'],
    prepare: (redis) => fill(redis, 30),
    works: ({ removed }) => assert.deepEqual(removed, { age: 1_030, length: 1_030, bytes: 0 }),
  },
  '`--max-bytes`': {
    args: ['--max-bytes', '512kb', '--max-length', 'off', '--max-age', 'off'],
    prepare: (redis) => fill(redis, 0, 500),
    works: async ({ removed }, redis) => {
      assert.ok((removed as { bytes: number }).bytes > 0)
      assert.ok(Number(await redis.command('MEMORY', 'USAGE', KEY)) <= (512 + 4) * 1024)
    },
  },
  '`--protect unread`': {
    args: ['--protect', 'unread'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 1_500)
    },
    works: ({ removed, unread }) => {
      assert.deepEqual(removed, { age: 1_000, length: 500, bytes: 0 })
      assert.equal(unread, 0)
    },
  },
  '`--protect unacked`': {
    args: ['--protect', 'unacked'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 1_500)
      const delivered = (await redis.command('XRANGE', KEY, '-', '+', 'COUNT', '1200')) as [string, unknown][]
      await redis.command('XACK', KEY, 'group', ...delivered.map(([id]) => id))
    },
    works: ({ removed }) => assert.deepEqual(removed, { age: 1_000, length: 200, bytes: 0 }),
  },
  '`--delete-empty`': {
    args: ['--delete-empty'],
    prepare: async (redis) => {
      await redis.command('XADD', KEY, `${(await redisNow(redis)) - 48 * HOUR}-0`, 'a', 'b')
      await redis.command('XTRIM', KEY, 'MAXLEN', '0')
    },
    works: async ({ deletedStreams }, redis) => {
      assert.equal(deletedStreams, 1)
      assert.equal(await redis.command('EXISTS', KEY), 0)
    },
  },
  '`--redis-mode cluster`': {
    args: ['--redis-mode', 'cluster'],
    config: { 'cluster-enabled': 'yes', 'cluster-require-full-coverage': 'yes' },
    prepare: async (redis) => {
      if (!(await isServing(redis))) {
        await redis.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
        await waitUntil(() => isServing(redis), { timeoutMs: 60_000, what: 'the cluster to serve' })
      }
      await fill(redis)
    },
    works: trimmed.works,
  },
  '`xtrimd plan`, which needs no `+xtrim`': {
    command: 'plan',
    instead: ['+xtrim'],
    prepare: fill,
    works: planned,
  },
  'the bytes that `xtrimd plan` shows': {
    command: 'plan',
    instead: ['+xtrim'],
    prepare: fill,
    works: (report) => {
      planned(report)
      assert.ok(Number(report.bytes) > 10_000)
    },
  },
}

async function isServing(redis: RedisServer): Promise<boolean> {
  return /cluster_state:ok/.test(String(await redis.command('CLUSTER', 'INFO')))
}

test('the README shows exactly this list', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const [, section = ''] = readme.split(/^## What the ACL user needs$/m)
  assert.ok(section.startsWith(`\n\n${aclTable()}\n\n`), `it is to be:\n${aclTable()}`)
  // The control: another right would be noticed.
  const other = aclTable([...ACL_LINES.slice(1), { feature: BASE, rules: '+@all' }])
  assert.equal(readme.includes(other), false)
})

for (const [feature, scenario] of Object.entries(SCENARIOS) as [Feature, Scenario][]) {
  test(`exactly these rules are enough, and none too many, for ${feature}`, async (t) => {
    const redis = await startRedis(t, { config: { ...scenario.config } })
    if (!((await scenario.isKnown?.(redis)) ?? true)) return t.skip('this server has no such command')
    const own = rulesOf(feature)
    const base = rulesOf(BASE).filter((rule) => !scenario.instead?.includes(rule))
    const rules = [...new Set([...base, ...own])]

    await begin(redis, scenario, rules)
    const { code, report } = await runProgram(redis, scenario)
    assert.deepEqual([code, report.result], [0, 'success'], JSON.stringify(report))
    await scenario.works(report, redis)
    const refused = await refusedCommands(redis)
    const lacking = refused.filter((name) => !DISPENSABLE.includes(name) || rules.includes(`+${name}`))
    assert.deepEqual(lacking, [], 'nothing was refused that this feature is said to need, or that is not said at all')

    for (const rule of own) {
      await t.test(`without ${rule}`, async () => {
        await begin(
          redis,
          scenario,
          rules.filter((other) => other !== rule),
        )
        const without = await runHere(redis, scenario)
        const command = commandOf(rule)
        if (command !== null) {
          assert.ok((await refusedCommands(redis)).includes(rule.slice(1)), 'Redis refused that command')
        }
        if (UNTOLD.includes(rule)) {
          assert.equal(without.result, 'success')
        } else {
          if (without.result !== 'success') assert.equal(without.cause, 'NOPERM')
          if (command !== null) assertSaid(without, command)
        }
        await assert.rejects(async () => scenario.works(without, redis), assert.AssertionError, 'the work was not done')
      })
    }
  })
}

test('exactly this rule is enough for the memory metrics', async (t) => {
  const redis = await startRedis(t)
  for (const [rules, isTold] of [
    [rulesOf('`xtrimd_redis_memory_*`'), true],
    [[], false],
  ] as const) {
    await begin(redis, trimmed, [...rulesOf(BASE), ...rules])
    const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, '--lease=false'])
    assert.equal((await daemon.waitForLog('sweep')).result, 'success')
    assert.equal((await daemon.metric('xtrimd_redis_memory_used_bytes')) > 0, isTold)
    const warned = daemon.logs.some(({ msg, command }) => /does not allow/.test(msg) && command === 'INFO')
    assert.equal(warned, !isTold)
    assert.equal((await daemon.stop()).code, 0)
  }
})

const LEASE: Feature = '`--lease`, unless it is `false`'

test('exactly these rules are enough for the lease: it is taken, renewed and released', async (t) => {
  const redis = await startRedis(t)
  await begin(redis, trimmed, [...rulesOf(BASE), ...rulesOf(LEASE)])
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, '--lease-ttl', '3s'])
  assert.equal((await daemon.waitForLog('sweep')).result, 'success')
  assert.equal(await redis.command('EXISTS', 'xtrimd:lease'), 1)
  const renewals = await redis.callsOf('pexpire')
  await waitUntil(async () => (await redis.callsOf('pexpire')) >= renewals + 3, {
    timeoutMs: 60_000,
    what: 'renewals',
  })
  assert.equal(await daemon.metric('xtrimd_leader'), 1)
  assert.equal((await daemon.stop()).code, 0)
  assert.equal(await redis.command('EXISTS', 'xtrimd:lease'), 0)
  assert.deepEqual(
    (await refusedCommands(redis)).filter((name) => !DISPENSABLE.includes(name)),
    [],
  )
})

test('where the lease lacks a right, what it needs is said', async (t) => {
  const redis = await startRedis(t)
  for (const rule of rulesOf(LEASE)) {
    await begin(
      redis,
      trimmed,
      rulesOf(LEASE).filter((other) => other !== rule),
    )
    const { topology, reach } = leaseReach(redis)
    const lease = new Lease({ key: 'xtrimd:lease', ttlMs: 15_000 }, 'token', topology, reach)
    await assert.rejects(
      async () => {
        await lease.claim()
        await lease.claim()
        await lease.release()
      },
      { code: 'NOPERM', message: /^--lease: .*grant it ~xtrimd:lease with \+eval \+get \+set \+pexpire \+del/ },
      rule,
    )
  }
  await begin(redis, trimmed, rulesOf(BASE))
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER])
  const line = await daemon.waitForLog('sweep')
  assert.deepEqual([line.result, line.cause], ['failed', 'NOPERM'])
  assert.match(String(line.reason), /^--lease: the ACL does not allow it/)
})

const SENTINEL: Feature =
  '`--redis-mode sentinel`: the same user at the sentinels, if they ask for one, without the base'

test('exactly this rule is enough at a sentinel that asks for a user', async (t) => {
  const redis = await startRedis(t)
  const sentinel = await startSentinel(t, {
    master: 'mymaster',
    primaryPort: redis.port,
    quorum: 1,
    lines: ['user default off', 'user boss on >boss ~* &* +@all'],
    credentials: { username: 'boss', password: 'boss' },
  })
  await begin(redis, trimmed, rulesOf(BASE))
  const url = `redis://ops:pass@127.0.0.1:${sentinel.port}`
  const args = ['sweep', '--output', 'json', '--redis-url', url, '--redis-mode', 'sentinel']
  const told = async (rules: readonly string[]) => {
    await sentinel.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', ...rules)
    const ended = await runXtrimd([...args, '--sentinel-master', 'mymaster'])
    return { code: ended.code, report: JSON.parse(ended.stdout) as Report }
  }

  const { code, report } = await told(rulesOf(SENTINEL))
  assert.deepEqual([code, report.result], [0, 'success'], JSON.stringify(report))
  trimmed.works(report)

  const without = await told([])
  assert.deepEqual([without.code, without.report.result, without.report.cause], [1, 'failed', 'NOPERM'])
  assert.match(String(without.report.reason), /sentinel\|get-master-addr-by-name/)
})

const WATCHING = ['--lease=false', '--watch', '--watch-every', '10', '--max-length', '20', '--trim', 'exact']

/** Starts a daemon with these rights that watches, writes, and looks whether that is capped. */
async function isCapped(t: TestContext, redis: RedisServer, rules: readonly string[], more: readonly string[] = []) {
  await begin(redis, { prepare: async () => {}, works: () => {} }, rules)
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, ...WATCHING, ...more])
  const told = await daemon.waitForLog(({ msg }) => msg === 'watching' || msg === 'watch lost')
  for (let i = 0; i < 100; i++) await redis.command('XADD', KEY, '*', 'body', 'x')
  const capped = async (): Promise<boolean> => Number(await redis.command('XLEN', KEY)) === 20
  if (told.msg === 'watching') await waitUntil(capped, { timeoutMs: 60_000, what: 'the stream to be capped' })
  await daemon.stop()
  return { capped: await capped(), told, logs: daemon.logs }
}

test('exactly these rules are enough to watch, and none too many', async (t) => {
  const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Et' } })
  const base = [...rulesOf(BASE), ...rulesOf('`--trim exact`')]
  const own = rulesOf('`--watch`')
  assert.ok((await isCapped(t, redis, [...base, ...own])).capped)
  assert.deepEqual(
    (await refusedCommands(redis)).filter((name) => !DISPENSABLE.includes(name)),
    [],
  )
  for (const rule of own) {
    const { capped, told, logs } = await isCapped(t, redis, [...base, ...own.filter((other) => other !== rule)])
    if (rule === '+config|get') {
      // It can go on without, and says that it cannot know.
      assert.ok(
        capped && logs.some(({ msg, reason }) => msg === 'watch limited' && /config\|get/i.test(String(reason))),
      )
    } else if (rule === '+ping') {
      assert.ok(capped, 'it is missed only when nothing is written for a while')
    } else {
      assert.deepEqual([capped, told.msg, told.cause], [false, 'watch lost', 'NOPERM'], rule)
    }
  }
})

test('exactly this rule is enough for --watch-configure', async (t) => {
  const redis = await startRedis(t)
  const base = [...rulesOf(BASE), ...rulesOf('`--trim exact`'), ...rulesOf('`--watch`')]
  const without = await isCapped(t, redis, base, ['--watch-configure'])
  assert.deepEqual([without.capped, without.told.cause], [false, 'NOPERM'])
  assert.match(
    String(without.told.reason),
    /^--watch-configure: Redis does not allow CONFIG SET notify-keyspace-events Et /,
  )
  assert.ok((await isCapped(t, redis, [...base, ...rulesOf('`--watch-configure`')], ['--watch-configure'])).capped)
})

test('exactly this rule is enough for --pressure', async (t) => {
  const redis = await startRedis(t)
  for (const [rules, isSwept] of [
    [rulesOf('`--pressure`'), true],
    [[], false],
  ] as const) {
    await begin(redis, trimmed, [...rulesOf(BASE), ...rules])
    const pressure = ['--pressure', '1kb', '--pressure-interval', '100ms', '--lease=false']
    const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, ...pressure])
    if (isSwept) await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps > 0)
    else assert.equal((await daemon.waitForLog('memory not read')).cause, 'NOPERM')
    assert.equal((await daemon.stop()).code, 0)
  }
})

test('exactly this rule is enough for the bar of a sweep', async (t) => {
  const redis = await startRedis(t)
  for (const rules of [rulesOf('the bar of `xtrimd sweep` on a terminal'), []]) {
    await begin(redis, trimmed, [...rulesOf(BASE), ...rules])
    let expected = 0
    const extent = { expect: (keys: number) => (expected += keys), visit: () => {} }
    const report = await sweep({ ...taskOf(urlOf(redis), []), extent }, new AbortController().signal)
    assert.deepEqual([report.result, expected], ['success', rules.length])
  }
})

test('every line of the list is tried here', () => {
  const daemons = [
    '`xtrimd_redis_memory_*`',
    '`--watch`',
    '`--watch-configure`',
    '`--pressure`',
    'the bar of `xtrimd sweep` on a terminal',
  ]
  const tried = [...Object.keys(SCENARIOS), ...daemons, LEASE, SENTINEL]
  assert.deepEqual(tried.sort(), ACL_LINES.map(({ feature }) => feature).sort())
})

/** The missing command stands in the report, or, of one that a script runs, at least that it lacks one: Redis before 7.2 does not name it. */
function assertSaid({ result, reason, missing }: Report, command: string): void {
  const names = Object.keys(missing as object)
  const isSaid =
    names.includes(command) ||
    String(reason).includes(`run the '${command.replace(' ', '|').toLowerCase()}' command`) ||
    (result !== 'success' && names.includes('command inside EVAL'))
  assert.ok(isSaid, `${command} is said to be missing: ${JSON.stringify([result, reason, names])}`)
}

/** The server as the scenario wants it, with a user that has these rules alone. */
async function begin(redis: RedisServer, scenario: Scenario, rules: readonly string[]): Promise<void> {
  await redis.command('FLUSHALL')
  await scenario.prepare(redis)
  await redis.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', 'resetkeys', '-@all', ...rules)
  await redis.command('ACL', 'LOG', 'RESET')
  await redis.command('CONFIG', 'RESETSTAT')
}

function urlOf(redis: RedisServer, { database = 0 }: Pick<Scenario, 'database'> = {}): string {
  return `redis://ops:pass@127.0.0.1:${redis.port}${database === 0 ? '' : `/${database}`}`
}

/** The program, as an operator would run it. */
async function runProgram(redis: RedisServer, scenario: Scenario): Promise<{ code: number | null; report: Report }> {
  const { command = 'sweep', args = [] } = scenario
  const ended = await runXtrimd([command, '--output', 'json', '--redis-url', urlOf(redis, scenario), ...args])
  return { code: ended.code, report: readOutput(command, ended.stdout) }
}

/** The same in this process, which takes no start of a program. */
async function runHere(redis: RedisServer, { command = 'sweep', args = [], database }: Scenario): Promise<Report> {
  const task = taskOf(urlOf(redis, { database: database ?? 0 }), args)
  const { signal } = new AbortController()
  return command === 'sweep' ? sweepJson(await sweep(task, signal)) : planJson(await plan(task, signal), task.policies)
}

function leaseReach(redis: RedisServer) {
  const address = { host: '127.0.0.1', port: redis.port }
  const credentials = () => ({ username: 'ops', password: 'pass' })
  return {
    topology: { mode: 'standalone', addresses: [address] },
    reach: { credentials, database: 0, tls: null, replyTimeoutMs: 5_000 },
  } as const
}

/** The commands that Redis refused the user, as `ACL LOG` names them. */
async function refusedCommands(redis: RedisServer): Promise<string[]> {
  const entries = (await redis.command('ACL', 'LOG', '1000')) as unknown[][]
  return entries
    .map(fieldsOf)
    .filter((entry) => entry.get('reason') === 'command')
    .map((entry) => String(entry.get('object')))
}

/** The list of ACL rights: each feature works with exactly its rules, and needs every one of them. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { plan } from '../../src/plan/plan.ts'
import { explainJson } from '../../src/report/explain_json.ts'
import { planJson, sweepJson } from '../../src/report/json.ts'
import { topJson } from '../../src/report/top_report.ts'
import { sweep } from '../../src/sweep/sweep.ts'
import { ACL_LINES, aclTable, BASE, commandOf, type Feature, rulesOf } from '../harness/acl.ts'
import { assertTrimmed, begin, DISPENSABLE, fill, KEY, type Report, refusals, urlOf } from '../harness/acl_user.ts'
import { readPage, sectionOf } from '../harness/documents.ts'
import { explainHere } from '../harness/explain_here.ts'
import { readOutput } from '../harness/output.ts'
import { HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { redisNow } from '../harness/streams.ts'
import { taskOf } from '../harness/sweep_here.ts'
import { topHere } from '../harness/top_here.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000

const ARCHIVE = mkdtempSync(join(tmpdir(), 'xtrimd-acl-'))
after(() => rmSync(ARCHIVE, { recursive: true, force: true }))

/** Commands whose refusal is not worth reporting. */
const UNTOLD = ['+client|setname', '+client|no-touch', '+eval_ro', '+xread']

interface Scenario {
  readonly command?: 'sweep' | 'plan' | 'explain' | 'top'
  readonly args?: readonly string[]
  readonly database?: number
  readonly config?: Readonly<Record<string, string>>
  /** Rules of the base that only this feature does without. */
  readonly instead?: readonly string[]
  /** Whether this server supports the feature. */
  readonly isKnown?: (redis: RedisServer) => Promise<boolean>
  readonly prepare: (redis: RedisServer) => Promise<void>
  /** Asserts that the feature did its work. */
  readonly works: (report: Report, redis: RedisServer) => unknown
}

/** A group with a consumer that has been delivered some of the entries. */
async function read(redis: RedisServer, count: number, ...how: string[]): Promise<void> {
  await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', String(count), ...how, 'STREAMS', KEY, '>')
}

const trimmed = {
  prepare: fill,
  works: assertTrimmed,
} satisfies Scenario

function planned({ streams, remove }: Report): void {
  assert.equal(streams, 1)
  const { age, length } = remove as { age: number; length: number }
  assert.ok(age + length >= 1_900, `${age} by age, ${length} by length`)
}

/** Explain reads one key, so it neither scans nor trims. */
const EXPLAINS = { command: 'explain', instead: ['+scan', '+xtrim'], prepare: fill } as const

function explained({ entries, nextSweep }: Report): void {
  assert.equal(entries, 3_000)
  assert.ok((nextSweep as { remove: { age: number } }).remove.age >= 900)
}

async function knowsEvalRo(redis: RedisServer): Promise<boolean> {
  return ((await redis.command('COMMAND', 'INFO', 'EVAL_RO')) as unknown[])[0] !== null
}

const greets = (command: string): Scenario => ({
  ...trimmed,
  isKnown: async (redis) => ((await redis.command('COMMAND', 'INFO', command)) as unknown[])[0] !== null,
  works: async (report, redis) => {
    trimmed.works(report)
    assert.ok((await redis.callsOf(command)) >= 1)
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
  'not resetting the idle time of keys (Redis 7.2 and newer, not in a cluster)': greets('client|no-touch'),
  'reading many streams in one command, twice as fast (Redis 7.0 and newer, not in a cluster)': {
    prepare: async (redis) => {
      await fill(redis)
      await redis.command('XADD', 'stream:conversation:young', '*', 'a', 'b')
    },
    isKnown: knowsEvalRo,
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
    works: ({ removed }) => assert.deepEqual(removed, { age: 1_030, length: 1_030, bytes: 0, acked: 0 }),
  },
  '`--max-bytes`': {
    args: ['--max-bytes', '512kb', '--max-length', 'off', '--max-age', 'off'],
    prepare: (redis) => fill(redis, 0, 500),
    works: async ({ removed }, redis) => {
      assert.ok((removed as { bytes: number }).bytes > 0)
      assert.ok(Number(await redis.command('MEMORY', 'USAGE', KEY)) <= (512 + 4) * 1024)
    },
  },
  '`--max-bytes` for streams with consumer groups': {
    args: ['--max-bytes', '512kb', '--max-length', 'off', '--max-age', 'off'],
    prepare: async (redis) => {
      await fill(redis, 0, 500)
      await read(redis, 2_000)
    },
    works: async ({ removed }, redis) => {
      assert.ok((removed as { bytes: number }).bytes > 0)
      await redis.command('XGROUP', 'DESTROY', KEY, 'group')
      assert.ok(Number(await redis.command('MEMORY', 'USAGE', KEY)) >= 0.93 * 512 * 1024)
    },
  },
  '`--archive`': {
    args: ['--archive', `file://${ARCHIVE}`],
    prepare: fill,
    works: (report) => {
      trimmed.works(report)
      assert.equal(report.archived, 2_000)
    },
  },
  '`--protect unread`': {
    args: ['--protect', 'unread'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 1_500)
    },
    works: ({ removed, unread }) => {
      assert.deepEqual(removed, { age: 1_000, length: 500, bytes: 0, acked: 0 })
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
    works: ({ removed }) => assert.deepEqual(removed, { age: 1_000, length: 200, bytes: 0, acked: 0 }),
  },
  '`--acked-after`': {
    args: ['--acked-after', '0s', '--max-length', 'off', '--max-age', 'off'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 1_500)
      const delivered = (await redis.command('XRANGE', KEY, '-', '+', 'COUNT', '1200')) as [string, unknown][]
      await redis.command('XACK', KEY, 'group', ...delivered.map(([id]) => id))
    },
    works: ({ removed }) => assert.deepEqual(removed, { age: 0, length: 0, bytes: 0, acked: 1_200 }),
  },
  '`--reap-consumers-after`': {
    args: ['--reap-consumers-after', '1ms'],
    prepare: async (redis) => {
      await fill(redis)
      await redis.command('XGROUP', 'CREATE', KEY, 'group', '$')
      for (const name of ['one', 'two']) await redis.command('XGROUP', 'CREATECONSUMER', KEY, 'group', name)
      await setTimeout(20)
    },
    works: ({ reaped }) => assert.ok((reaped as { consumers: number }).consumers > 0),
    // Before Redis 7.2 the youngest consumer of a group stays, and those as young as it is.
    isKnown: async (redis) => /redis_version:(?:7\.[2-9]|[89])/.test(String(await redis.command('INFO', 'server'))),
  },
  '`--reap-groups`': {
    args: ['--reap-groups', 'group', '--stale-group-after', '1ms'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 500, 'NOACK')
      await setTimeout(20)
    },
    works: ({ reaped }) => assert.equal((reaped as { groups: number }).groups, 1),
  },
  '`--reap-groups` for groups with more than 1,000 pending references': {
    args: ['--reap-groups', 'group', '--stale-group-after', '1ms'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 1_100)
      await setTimeout(20)
    },
    works: ({ reaped }) => assert.equal((reaped as { groups: number }).groups, 1),
  },
  '`--reap-pending`': {
    args: ['--reap-pending'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 500)
    },
    works: ({ reaped }) => assert.equal((reaped as { pending: number }).pending, 500),
  },
  '`--delete-idle`': {
    args: ['--delete-idle', '1d', '--max-age', 'off'],
    prepare: async (redis) => {
      await redis.command('XADD', KEY, `${(await redisNow(redis)) - 48 * HOUR}-0`, 'a', 'b')
    },
    works: async ({ deletedStreams }, redis) => {
      assert.equal(deletedStreams, 1)
      assert.equal(await redis.command('EXISTS', KEY), 0)
    },
  },
  '`--delete-idle` for streams with dead groups': {
    args: ['--delete-idle', '1d', '--max-age', 'off', '--stale-group-after', '1ms'],
    prepare: async (redis) => {
      await redis.command('XADD', KEY, `${(await redisNow(redis)) - 48 * HOUR}-0`, 'a', 'b')
      await read(redis, 1)
      await setTimeout(20)
    },
    works: async ({ deletedStreams }, redis) => {
      assert.equal(deletedStreams, 1)
      assert.equal(await redis.callsOf('unlink'), 1)
    },
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
  '`xtrimd plan`, which does not need `+xtrim`': {
    command: 'plan',
    instead: ['+xtrim'],
    prepare: fill,
    works: planned,
  },
  'an exact count in `xtrimd plan`; without it long streams are estimated': {
    command: 'plan',
    instead: ['+xtrim'],
    isKnown: knowsEvalRo,
    args: ['--trim', 'exact'],
    prepare: fill,
    works: (report) => {
      planned(report)
      assert.equal('EVAL_RO' in (report.missing as object), false)
    },
  },
  'the unread entries that `xtrimd plan` shows': {
    command: 'plan',
    instead: ['+xtrim'],
    prepare: async (redis) => {
      await fill(redis)
      await read(redis, 500, 'NOACK')
    },
    works: (report) => {
      planned(report)
      assert.ok(Number(report.unread) > 0)
    },
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

SCENARIOS['`xtrimd explain`, which does not need `+scan +xtrim`'] = { ...EXPLAINS, works: explained }
SCENARIOS['an exact count in `xtrimd explain`; without it long streams are estimated'] = {
  ...EXPLAINS,
  isKnown: knowsEvalRo,
  args: ['--trim', 'exact'],
  works: (report) => {
    explained(report)
    assert.equal('EVAL_RO' in (report.missing as object), false)
  },
}
SCENARIOS['the groups that `xtrimd explain` shows, and the bytes of a stream that has groups'] = {
  ...EXPLAINS,
  prepare: async (redis) => {
    await fill(redis)
    await read(redis, 500)
  },
  works: (report) => {
    explained(report)
    const [group] = report.groups as {
      pending: number
      consumers: unknown[]
      dangling: number
      allPendingChecked: boolean
    }[]
    assert.deepEqual([group?.pending, group?.consumers.length], [500, 1])
    assert.equal('XPENDING' in (report.missing as object), false)
    assert.ok(Number(report.bytes) > 10_000)
  },
}
SCENARIOS['all dangling references in `xtrimd explain`; without it those to single deleted entries are left out'] = {
  ...EXPLAINS,
  isKnown: knowsEvalRo,
  prepare: async (redis) => {
    await fill(redis)
    await read(redis, 500)
    const [, second] = (await redis.command('XRANGE', KEY, '-', '+', 'COUNT', '2')) as [string][]
    await redis.command('XDEL', KEY, String(second?.[0]))
    await redis.command('XADD', KEY, '*', 'a', 'b')
  },
  works: (report) => {
    explained(report)
    const [group] = report.groups as { dangling: number; allPendingChecked: boolean; consumers: unknown[] }[]
    assert.deepEqual([group?.dangling, group?.allPendingChecked, group?.consumers.length], [1, true, 1])
  },
}
SCENARIOS['the bytes that `xtrimd explain` shows'] = {
  ...EXPLAINS,
  works: (report) => {
    explained(report)
    assert.ok(Number(report.bytes) > 10_000)
  },
}

/** The first row that top shows. */
function firstRow({ streams }: Report): Record<string, unknown> {
  return (streams as Record<string, unknown>[])[0] ?? {}
}

const TOPS = { command: 'top', instead: ['+xtrim'], args: ['--interval', '100ms'], prepare: fill } as const

SCENARIOS['`xtrimd top`, which does not need `+xtrim`'] = {
  ...TOPS,
  works: (report) => {
    const { entries, bytes, groups, oldestAgeSeconds } = firstRow(report)
    assert.deepEqual([entries, groups], [3_000, 0])
    assert.ok(Number(bytes) > 10_000 && Number(oldestAgeSeconds) > 100_000)
  },
}
SCENARIOS['the bytes that `xtrimd top` shows of a stream that has groups'] = {
  ...TOPS,
  prepare: async (redis) => {
    await fill(redis)
    await read(redis, 500)
  },
  works: (report) => {
    const { bytes, pending } = firstRow(report)
    assert.equal(pending, 500)
    assert.ok(Number(bytes) > 10_000)
  },
}
SCENARIOS['the memory of Redis in `xtrimd top`'] = {
  ...TOPS,
  works: ({ redis }) => assert.ok(Number((redis as { usedBytes: number }).usedBytes) > 0),
}

async function isServing(redis: RedisServer): Promise<boolean> {
  return /cluster_state:ok/.test(String(await redis.command('CLUSTER', 'INFO')))
}

test('docs/security.md shows exactly this list', () => {
  const page = readPage('docs/security.md')
  const section = sectionOf(page, 'What the ACL user needs')
  assert.ok(section.startsWith(`\n\n${aclTable()}\n\n`), `it must be:\n${aclTable()}`)
  // The control: an additional right would be noticed.
  const other = aclTable([...ACL_LINES.slice(1), { feature: BASE, rules: '+@all' }])
  assert.equal(page.includes(other), false)
})

test('the user shown in docs/security.md lets a daemon with default settings do everything', async (t) => {
  const [, shown = ''] = /^ACL SETUSER xtrimd on resetchannels -@all (.*)$/m.exec(readPage('docs/security.md')) ?? []
  const redis = await startRedis(t)
  await begin(redis, fill, shown.split(' '))
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER])
  const line = await daemon.waitForLog('sweep')
  assert.equal(line.result, 'success')
  assertTrimmed(line)
  // Redis has this command from 7.2 on, as the page says in words.
  assert.deepEqual(
    (await refusals(redis)).filter((name) => name !== 'client|no-touch'),
    [],
  )
  assert.equal((await daemon.stop()).code, 0)
})

for (const [feature, scenario] of Object.entries(SCENARIOS) as [Feature, Scenario][]) {
  test(`exactly these rules are needed for ${feature}`, async (t) => {
    const redis = await startRedis(t, { config: { ...scenario.config } })
    if (!((await scenario.isKnown?.(redis)) ?? true)) return t.skip('this server has no such command')
    const own = rulesOf(feature)
    const base = rulesOf(BASE).filter((rule) => !scenario.instead?.includes(rule))
    const rules = [...new Set([...base, ...own])]

    await begin(redis, scenario.prepare, rules)
    const { code, report } = await runProgram(redis, scenario)
    assert.deepEqual([code, report.result], [0, 'success'], JSON.stringify(report))
    await scenario.works(report, redis)
    const refused = await refusals(redis)
    const unexpected = refused.filter((name) => !DISPENSABLE.includes(name) || rules.includes(`+${name}`))
    assert.deepEqual(
      unexpected,
      [],
      'nothing was refused that this feature is said to need, or that is not said at all',
    )

    for (const rule of own) {
      await t.test(`without ${rule}`, async () => {
        await begin(
          redis,
          scenario.prepare,
          rules.filter((other) => other !== rule),
        )
        const without = await runHere(redis, scenario)
        const command = commandOf(rule)
        if (command !== null) {
          assert.ok((await refusals(redis)).includes(rule.slice(1)), 'Redis refused that command')
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

test('every line of the list is tested', () => {
  // Tested in acl_daemon.test.ts, and one in lease_cluster.test.ts.
  const elsewhere = [
    '`xtrimd_redis_memory_*`',
    'obeying a pause',
    '`xtrimd pause` (without the first row)',
    '`xtrimd pause` while Redis is out of memory (7.0 and newer, without the first row)',
    '`xtrimd resume` (without the first row)',
    '`xtrimd archive restore` (without the first row; `archive ls` and `archive cat` need no Redis)',
    '`--group-metrics`',
    '`--watch`',
    '`--watch-configure`',
    '`--pressure`',
    'the progress bar of `xtrimd sweep` on a terminal',
    '`--lease`, unless it is `false`',
    '`--lease` and the pause in a cluster, while their slots are being moved',
    '`--redis-mode sentinel`, on sentinels that require a login (without the first row)',
  ]
  const tried = [...Object.keys(SCENARIOS), ...elsewhere]
  assert.deepEqual(tried.sort(), ACL_LINES.map(({ feature }) => feature).sort())
})

/** Whether the report names the missing command, or, for a command in a script, a missing right: Redis before 7.2 does not name it. */
function assertSaid({ reason, missing }: Report, command: string): void {
  const names = Object.keys(missing as object)
  const isSaid =
    names.includes(command) ||
    String(reason).includes(`run the '${command.replace(' ', '|').toLowerCase()}' command`) ||
    names.includes('command inside EVAL')
  assert.ok(isSaid, `${command} is said to be missing: ${JSON.stringify([reason, names])}`)
}

/** Runs the program as an operator would. */
async function runProgram(redis: RedisServer, scenario: Scenario): Promise<{ code: number | null; report: Report }> {
  const { command = 'sweep', args = [] } = scenario
  const operand = command === 'explain' ? [KEY] : []
  const ended = await runXtrimd([
    command,
    ...operand,
    '--output',
    'json',
    '--redis-url',
    urlOf(redis, scenario.database),
    ...args,
  ])
  return { code: ended.code, report: readOutput(command, ended.stdout) }
}

/** Sweeps in this process, which saves the time to start a program. */
async function runHere(redis: RedisServer, { command = 'sweep', args = [], database }: Scenario): Promise<Report> {
  if (command === 'explain') return explainJson(await explainHere(urlOf(redis, database), KEY, args))
  if (command === 'top') return topJson(await topHere(urlOf(redis, database), args))
  const task = taskOf(urlOf(redis, database), args)
  const { signal } = new AbortController()
  return command === 'sweep'
    ? sweepJson(await sweep(task, signal))
    : planJson(await plan(task, signal), task.policies, [])
}

/** docs/managed-redis.md says what works on managed services. Here it is tried on a server that lacks the same commands. */

import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { ACL_LINES } from '../harness/acl.ts'
import { readPage, sectionOf, tableIn } from '../harness/documents.ts'
import { SERVICES, startLike, usedOf } from '../harness/managed_services.ts'
import { HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'

const PAGE = readPage('docs/managed-redis.md')
const KEY = 'stream:conversation:a'
const HOUR = 3_600_000

/** Adds entries that were written so many hours ago, by plain commands. */
async function add(redis: RedisServer, count: number, hoursAgo = 0): Promise<void> {
  const from = Date.now() - hoursAgo * HOUR
  await Promise.all(
    Array.from({ length: count }, (_, i) => redis.command('XADD', KEY, hoursAgo > 0 ? `${from + i}-0` : '*', 'f', 'v')),
  )
}

const lengthOf = async (redis: RedisServer): Promise<number> => Number(await redis.command('XLEN', KEY))

/** Sweeps once. @returns whether Redis refused nothing */
async function sweeps(redis: RedisServer, ...args: string[]): Promise<boolean> {
  return (await runXtrimd(['sweep', '--redis-url', redis.url, ...args])).code === 0
}

/**
 * Runs a daemon that sweeps only at its start, and adds entries.
 *
 * @returns whether it trims them without logging the complaint
 */
async function trimsBetween(
  t: TestContext,
  redis: RedisServer,
  complaint: RegExp,
  ...args: string[]
): Promise<boolean> {
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER, ...args])
  await daemon.waitForLog('sweep')
  await add(redis, 900)
  const isTrimmed = async (): Promise<boolean> => (await lengthOf(redis)) < 400
  const complains = (): boolean => daemon.logs.some((line) => complaint.test(JSON.stringify(line)))
  await waitUntil(async () => (await isTrimmed()) || complains(), {
    timeoutMs: 60_000,
    what: `${args[0]} to do or say something`,
  })
  // The watch looks at every stream once when it begins, whether Redis reports writes or not.
  const works = !complains() && (await isTrimmed())
  await daemon.stop()
  return works
}

/** What the page says of each feature, and how to try it on an empty server. Resolves to whether it works. */
const FEATURES: Readonly<Record<string, (t: TestContext, redis: RedisServer) => Promise<boolean>>> = {
  '`--max-age`, `--max-length`, `plan`': async (_, redis) => {
    await add(redis, 3000)
    const { code } = await runXtrimd(['plan', '--redis-url', redis.url])
    return code === 0 && (await sweeps(redis)) && (await lengthOf(redis)) < 1200
  },
  'the lease': async (t, redis) => {
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER])
    const isLeader =
      (await daemon.waitForLog('sweep')).result === 'success' && (await daemon.metric('xtrimd_leader')) === 1
    await daemon.stop()
    return isLeader
  },
  '`--trim exact`': async (_, redis) => {
    await add(redis, 3000)
    return (await sweeps(redis, '--trim', 'exact')) && (await lengthOf(redis)) === 1000
  },
  '`--protect`, `--acked-after`': async (_, redis) => {
    await add(redis, 3000)
    await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
    return (await sweeps(redis, '--protect', 'unacked', '--acked-after', '1h')) && (await lengthOf(redis)) === 3000
  },
  '`--max-bytes`': async (_, redis) => {
    await add(redis, 3000)
    return (await sweeps(redis, '--max-length', 'off', '--max-bytes', '16kb')) && (await lengthOf(redis)) < 2000
  },
  '`--reap-consumers-after`, `--reap-groups`': async (_, redis) => {
    await add(redis, 10)
    await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
    await redis.command('XREADGROUP', 'GROUP', 'group', 'gone', 'COUNT', '1', 'STREAMS', KEY, '>')
    const dead = ['--stale-group-after', '1ms', '--reap-groups', 'gr*', '--reap-consumers-after', '1ms']
    const isDone = await sweeps(redis, ...dead)
    return isDone && ((await redis.command('XINFO', 'GROUPS', KEY)) as unknown[]).length === 0
  },
  '`--reap-pending`': async (_, redis) => {
    await add(redis, 10)
    await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
    await redis.command('XREADGROUP', 'GROUP', 'group', 'me', 'COUNT', '5', 'STREAMS', KEY, '>')
    await redis.command('XTRIM', KEY, 'MAXLEN', '5')
    const isDone = await sweeps(redis, '--reap-pending')
    return isDone && ((await redis.command('XPENDING', KEY, 'group')) as unknown[])[0] === 0
  },
  '`--delete-idle`, `--delete-empty`': async (_, redis) => {
    await add(redis, 10, 48)
    const isDone = await sweeps(redis, '--max-age', 'off', '--delete-idle', '24h')
    return isDone && (await redis.command('EXISTS', KEY)) === 0
  },
  'an exact `plan` of long streams': async (_, redis) => {
    await add(redis, 12_000, 48)
    await add(redis, 300)
    const { stdout } = await runXtrimd(['plan', '--trim', 'exact', '--redis-url', redis.url])
    return /\b12000\b/.test(stdout) && !/≈12000/.test(stdout)
  },
  '`--watch`, once notifications are on': (t, redis) =>
    trimsBetween(t, redis, /watch lost/, '--watch', '--watch-every', '20', '--max-length', '50'),
  '`--pressure`, `xtrimd_redis_memory_*`': (t, redis) =>
    trimsBetween(
      t,
      redis,
      /INFO/,
      '--pressure',
      '512kb',
      '--pressure-max-length',
      '10',
      '--pressure-interval',
      '500ms',
    ),
  'a database other than 0': async (_, redis) => {
    const { code } = await runXtrimd(['sweep', '--redis-url', `${redis.url}/1`])
    return code === 0
  },
}

const WATCH_CONFIGURE = '`--watch-configure`'

test('the page names for each service the commands that it blocks and xtrimd could use', () => {
  const rules = ACL_LINES.map((line) => line.rules)
  assert.deepEqual(
    tableIn(sectionOf(PAGE, 'What do they block\\?')).map(([name, blocks]) => [name, blocks]),
    SERVICES.map((service) => [
      service.name,
      usedOf(service, rules)
        .map((name) => `\`${name}\``)
        .join(', '),
    ]),
  )
})

suite('the page says what works on each service', { concurrency: 2 }, () => {
  const section = sectionOf(PAGE, 'What works\\?')
  const [, head = ''] = /^\|(.*)\|\n\|-/m.exec(section) ?? []
  const columns = head.split('|').map((cell) => cell.trim())
  const rows = tableIn(section)

  test('for every service and every feature', () => {
    assert.deepEqual(columns, ['', ...SERVICES.map(({ name }) => name)])
    assert.deepEqual(
      rows.map(([feature]) => feature),
      [...Object.keys(FEATURES), WATCH_CONFIGURE],
    )
  })

  for (const [i, service] of SERVICES.entries()) {
    test(`on a server that lacks what ${service.name} blocks`, async (t) => {
      const redis = await startLike(t, service, true)
      const silent = await startLike(t, service, false)
      const found: Record<string, string> = {}
      for (const [feature, works] of Object.entries(FEATURES)) {
        await redis.command('FLUSHALL')
        found[feature] = (await works(t, redis)) ? 'yes' : 'no'
      }
      const watch = ['--watch', '--watch-configure', '--watch-every', '20', '--max-length', '50']
      found[WATCH_CONFIGURE] = (await trimsBetween(t, silent, /watch (?:limited|lost)/, ...watch)) ? 'yes' : 'no'
      const told = Object.fromEntries(rows.map(([feature = '', ...cells]) => [feature, cells[i]]))
      assert.deepEqual(found, told)
    })
  }
})

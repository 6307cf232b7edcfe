/** A dry run says what a sweep would do, with the numbers of a plan, and writes nothing. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { IDLE_CONFIG, makeIdle } from '../harness/idle_consumers.ts'
import { startMonitor, writesAmong } from '../harness/monitor.ts'
import { readOutput } from '../harness/output.ts'
import { runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillBurst } from '../harness/streams.ts'

const DAY = 86_400_000
const key = (name: string): string => `stream:conversation:${name}`

const ARGS = [
  ...['--max-length', '100', '--max-age', '2d', '--trim', 'exact', '--acked-after', '1h', '--delete-empty'],
  ...['--reap-consumers-after', '1d', '--reap-groups', 'jobs-*', '--reap-pending', '--delete-idle', '20d'],
  ...['--policy', 'stream:conversation:idle,max-age=off,delete-empty=false'],
]

/** Streams with something to remove for each reason, and something of everything that is left behind. */
async function startScene(t: TestContext): Promise<RedisServer> {
  const redis = await startRedis(t, { config: IDLE_CONFIG })
  const read = (name: string, group: string, consumer: string, count: number) =>
    redis.command('XREADGROUP', 'GROUP', group, consumer, 'COUNT', String(count), 'STREAMS', key(name), '>')
  await fillBurst(redis, key('long'), 130, 60_000)
  await fillBurst(redis, key('old'), 40, 3 * DAY)
  await fillBurst(redis, key('old'), 30, 60_000)
  await fillBurst(redis, key('read'), 50, DAY)
  for (const [name, group, from] of [
    ['long', 'slow', '0'],
    ['old', 'jobs-1', '0'],
    ['read', 'done', '0'],
  ] as const)
    await redis.command('XGROUP', 'CREATE', key(name), group, from)
  await read('long', 'slow', 'slow-alive', 10)
  await redis.command('XGROUP', 'CREATECONSUMER', key('long'), 'slow', 'slow-gone')
  await read('old', 'jobs-1', 'jobs-gone', 50)
  await read('read', 'done', 'done-alive', 50)
  const entries = (await redis.command('XRANGE', key('read'), '-', '+')) as [string][]
  await redis.command('XACK', key('read'), 'done', ...entries.slice(0, 20).map(([id]) => id))
  await makeIdle(redis, key('long'), { 'slow-gone': 5 * DAY })
  await makeIdle(redis, key('old'), { 'jobs-gone': 9 * DAY })
  await fillBurst(redis, key('idle'), 5, 30 * DAY)
  await fillBurst(redis, key('empty'), 1, 5 * DAY)
  await redis.command('XTRIM', key('empty'), 'MAXLEN', '0')
  return redis
}

interface Figures {
  readonly remove: Readonly<Record<string, unknown>>
  readonly unread: number
  readonly reap: Readonly<Record<string, number>>
}

test('a dry run and a plan foretell the same, the sweep then does it, and only the sweep writes', async (t) => {
  const redis = await startScene(t)
  const json = async (command: 'plan' | 'sweep', ...args: string[]): Promise<Record<string, unknown>> => {
    const { stdout } = await runXtrimd([command, '--redis-url', redis.url, '--output', 'json', ...ARGS, ...args])
    return readOutput(command, stdout)
  }
  const { remove, unread, reap } = (await json('plan')) as unknown as Figures
  const monitor = await startMonitor(t, redis)
  const dry = await json('sweep', '--dry-run')
  assert.deepEqual(await writesAmong(redis, await monitor.commands()), [])

  const { approximateBytes: _, exact, ...byReason } = remove
  assert.deepEqual(dry.foretold, { remove: byReason, exact, unread, reap })
  assert.deepEqual(byReason, { age: 40, length: 30, bytes: 0, acked: 20 })
  assert.deepEqual(reap, { consumers: 1, groups: 1, pending: 10, streams: 2 })
  assert.deepEqual(dry.removed, { age: 0, length: 0, bytes: 0, acked: 0 })
  assert.deepEqual(
    (dry.policies as { foretold: Figures }[]).map(({ foretold }) => foretold.reap.streams),
    [1, 1],
  )

  const swept = await json('sweep')
  assert.deepEqual([swept.removed, swept.unread], [byReason, unread])
  assert.deepEqual({ ...(swept.reaped as object), streams: swept.deletedStreams }, reap)
  assert.equal(swept.foretold, undefined)
})

test('people are told what a dry run foretells: in the summary, on the status page, and in the log of the daemon', async (t) => {
  const redis = await startScene(t)
  const { stdout } = await runXtrimd(['sweep', '--redis-url', redis.url, ...ARGS, '--dry-run'])
  const summary = stdout.replace(/\s+/g, ' ')
  assert.match(summary, /A dry run: a sweep would remove 40 by age, 30 by length, 0 by bytes, 20 by acked/)
  assert.match(summary, /It would also remove 1 consumer, 1 consumer group, 10 pending references and 2 streams\./)

  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...ARGS, '--cron', '0 0 1 1 *', '--dry-run'])
  const { foretold } = (await daemon.waitForLog('sweep')) as unknown as { foretold: Figures }
  assert.deepEqual(foretold.reap, { consumers: 1, groups: 1, pending: 10, streams: 2 })
  const page = (await (await daemon.get('/')).text()).replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')
  assert.match(page, /would remove 40 by age, 30 by length, 0 by bytes, 20 by acked/)
  assert.match(page, /would reap 1 consumer, 1 group, 10 pending references would delete 2 streams/)
  assert.equal(await daemon.metric('xtrimd_groups_reaped_total'), 0)
  await daemon.stop()

  const real = await startDaemon(t, ['--redis-url', redis.url, ...ARGS, '--cron', '0 0 1 1 *'])
  await real.waitForLog('sweep')
  const after = (await (await real.get('/')).text()).replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')
  assert.match(after, /reaped 1 consumer, 1 group, 10 pending references deleted 1 empty stream, 1 idle stream/)
  assert.doesNotMatch(after, /would/)
})

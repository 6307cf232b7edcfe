/** A service whose pods have restarted for a month: what they left behind in Redis, and what one sweep reaps of it. */

import { randomUUID } from 'node:crypto'
import { makeIdle } from './idle_consumers.ts'
import type { PrivateRedis } from './private_redis.ts'
import { runSweep } from './program.ts'
import type { Client } from './redis_client.ts'
import { type Columns, count, megabytes, quoted, say, sayCells, sayHead } from './say.ts'

const DAYS = 30
const RESTARTS_A_DAY = 8
/** Workers share a group, and each is a consumer of its own. */
const WORKERS = 12
const ORDERS_READ = 4
/** Each gateway makes a group of its own. */
const GATEWAYS = 3
const TASKS = 3_000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const ORDERS = 'stream:orders'
const NOTIFICATIONS = 'stream:notifications'

const LIMITS = ['--match', 'stream:*', '--max-age', 'off', '--max-length', '1000']
const REAPING = ['--reap-consumers-after', '1d', '--reap-groups', 'gateway-*', '--reap-pending', '--delete-idle', '7d']

/** @throws the signal's reason when it is aborted */
export async function demonstrateReaping(redis: PrivateRedis, interrupted: AbortSignal): Promise<void> {
  say(`A private redis-server ${redis.version}, and a service whose pods restarted`)
  say(`${RESTARTS_A_DAY} times a day for ${DAYS} days: ${WORKERS} workers, each a consumer of one group, and`)
  say(`${GATEWAYS} gateways, each with a group of its own. Each of ${count(TASKS)} tasks had a stream`)
  say('of its own. Nobody cleaned up.')
  say()
  const now = await redis.now()
  await workAMonth(redis.client, now, interrupted)
  await finishTasks(redis.client, now, interrupted)
  const before = await measure(redis)

  say(`$ xtrimd sweep ${quoted(LIMITS)} \\`)
  say(`             ${quoted(REAPING.slice(0, 4))} \\`)
  say(`             ${quoted(REAPING.slice(4))}`)
  say()
  const tally = await runSweep(['--redis-url', redis.url, ...LIMITS, ...REAPING], interrupted)
  if (tally.result !== 'success') throw new Error(`the sweep did not succeed: ${tally.cause}`)
  const { consumers, groups, pending } = tally.reaped
  say(
    `  reaped ${count(consumers)} consumers, ${count(groups)} groups and ${count(pending)} references to missing entries,`,
  )
  say(`  and deleted ${count(tally.deletedStreams)} idle streams, in ${tally.durationSeconds.toFixed(2)} s`)
  say()
  sayTable(before, await measure(redis))
}

/** Workers and gateways read for a while, then the next ones take their place. The last ones are alive. */
async function workAMonth(client: Client, nowMs: number, signal: AbortSignal): Promise<void> {
  await client.sendCommand(['XGROUP', 'CREATE', ORDERS, 'workers', '0', 'MKSTREAM'])
  const [workers, gateways] = [new Map<string, number>(), new Map<string, number>()]
  const generations = DAYS * RESTARTS_A_DAY
  const lifeMs = DAY_MS / RESTARTS_A_DAY
  for (let generation = 0; generation < generations; generation++) {
    signal.throwIfAborted()
    const startMs = nowMs - (generations - generation) * lifeMs
    const idleMs = nowMs - startMs - lifeMs
    const sent: Promise<unknown>[] = []
    for (let i = 0; i < WORKERS * ORDERS_READ; i++) {
      const ms = startMs + Math.floor((i * lifeMs) / (WORKERS * ORDERS_READ))
      for (const key of i % 4 === 0 ? [ORDERS, NOTIFICATIONS] : [ORDERS])
        sent.push(client.sendCommand(['XADD', key, `${ms}-0`, 'body', 'x'.repeat(200)]))
    }
    await Promise.all(sent)
    for (let i = 0; i < GATEWAYS; i++) {
      const name = `gateway-${randomUUID()}`
      await client.sendCommand(['XGROUP', 'CREATE', NOTIFICATIONS, name, '0'])
      await readAndAcknowledge(client, NOTIFICATIONS, name, `consumer of ${name}`, WORKERS, 0)
      gateways.set(`consumer of ${name}`, idleMs)
    }
    for (let i = 0; i < WORKERS; i++) {
      const name = `worker-${randomUUID()}`
      // Every third pod is killed with one order in hand.
      await readAndAcknowledge(client, ORDERS, 'workers', name, ORDERS_READ, i % 3 === 0 ? 1 : 0)
      workers.set(name, idleMs)
    }
  }
  // The service trims by length, and takes no care of what is pending.
  await client.sendCommand(['XTRIM', ORDERS, 'MAXLEN', '500'])
  await makeIdle(client, ORDERS, workers)
  await makeIdle(client, NOTIFICATIONS, gateways)
}

/** Reads some entries and acknowledges all but the last `left` of them. */
async function readAndAcknowledge(
  client: Client,
  key: string,
  group: string,
  consumer: string,
  entries: number,
  left: number,
): Promise<void> {
  const args = ['GROUP', group, consumer, 'COUNT', String(entries), 'STREAMS', key, '>']
  const reply: unknown = await client.sendCommand(['XREADGROUP', ...args])
  const ids = ((reply as [string, [string][]][] | null)?.[0]?.[1] ?? []).map(([id]) => id)
  if (ids.length > left) await client.sendCommand(['XACK', key, group, ...ids.slice(0, ids.length - left)])
}

/** Tasks were written at some time in the month, and nobody has touched them since. */
async function finishTasks(client: Client, nowMs: number, signal: AbortSignal): Promise<void> {
  for (let task = 0; task < TASKS; task++) {
    if (task % 100 === 0) signal.throwIfAborted()
    const key = `stream:task:${randomUUID()}`
    const startMs = Math.floor(nowMs - ((TASKS - task) / TASKS) * DAYS * DAY_MS)
    const steps = [0, 1, 2, 3].map((step) => `${startMs + step * 1000}-0`)
    await Promise.all(steps.map((id) => client.sendCommand(['XADD', key, id, 'body', 'x'.repeat(200)])))
  }
}

interface Measure {
  readonly streams: number
  readonly entries: number
  readonly groups: number
  readonly consumers: number
  readonly pending: number
  /** Of the pending references, those whose entry is gone: reading them gives a nil body. */
  readonly dangling: number
  readonly bytes: number
}

async function measure(redis: PrivateRedis): Promise<Measure> {
  const { client } = redis
  const lengths = await redis.streamLengths()
  let [groups, consumers, pending, dangling] = [0, 0, 0, 0]
  for (const key of [ORDERS, NOTIFICATIONS]) {
    const [[first] = ['0-0']] = (await client.sendCommand(['XRANGE', key, '-', '+', 'COUNT', '1'])) as unknown as [
      string,
    ][]
    for (const fields of (await client.sendCommand(['XINFO', 'GROUPS', key])) as unknown as (string | number)[][]) {
      const told = (name: string): string | number => fields[fields.indexOf(name) + 1] ?? 0
      groups++
      consumers += Number(told('consumers'))
      pending += Number(told('pending'))
      const gone = ['XPENDING', key, String(told('name')), '-', `(${first}`, '1000000']
      dangling += ((await client.sendCommand(gone)) as unknown as unknown[]).length
    }
  }
  const entries = lengths.reduce((sum, length) => sum + length, 0)
  return { streams: lengths.length, entries, groups, consumers, pending, dangling, bytes: await redis.memory() }
}

const COLUMNS: Columns = [
  ['', -32],
  ['before', 12],
  ['after', 12],
]

function sayTable(before: Measure, after: Measure): void {
  sayHead(COLUMNS)
  const row = (what: string, of: (now: Measure) => string): void => sayCells(COLUMNS, [what, of(before), of(after)])
  row('streams', ({ streams }) => count(streams))
  row('entries', ({ entries }) => count(entries))
  row('consumer groups', ({ groups }) => count(groups))
  row('consumers', ({ consumers }) => count(consumers))
  row('pending, the entry exists', ({ pending, dangling }) => count(pending - dangling))
  row('pending, the entry is gone', ({ dangling }) => count(dangling))
  row('memory', ({ bytes }) => megabytes(bytes))
}

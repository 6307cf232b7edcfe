/** Measures what reaping costs Redis where there is nothing to reap: the same sweeps with its flags and without them. */
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { daemon } from './contenders/ours.ts'
import { FASTEST } from './daemon.ts'
import { copyFirst, fillKeyspace, keyOf } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, mean, type Section, say } from './report.ts'
import { serverCpuMs } from './server_cpu.ts'

/** Everything that looks at groups. Nothing is old enough for any of it. */
const REAPING = [
  ...['--acked-after', '1h', '--delete-idle', '30d', '--reap-groups', '*'],
  ...['--reap-consumers-after', '1d', '--reap-pending'],
]
/** Taken alternately, so that other work on the machine affects both. A stream is asked for its groups once in at most eleven. */
const TURNS = 22

/** The groups of each stream. Each has read everything, and leaves its newest entries pending. */
interface Groups {
  readonly name: string
  readonly streams: number
  readonly groups: number
  readonly consumersEach: number
  readonly pendingEach: number
}

const KEYSPACES: readonly Groups[] = [
  { name: 'no groups', streams: 10_000, groups: 0, consumersEach: 0, pendingEach: 0 },
  { name: '1 group, 2 consumers, nothing pending', streams: 10_000, groups: 1, consumersEach: 2, pendingEach: 0 },
  { name: '1 group, 2 consumers, 3 entries pending', streams: 10_000, groups: 1, consumersEach: 2, pendingEach: 3 },
  {
    name: '3 groups, 5 consumers each, 3 entries pending in each',
    streams: 5_000,
    groups: 3,
    consumersEach: 5,
    pendingEach: 3,
  },
]

/** Adds groups to one stream, which is then copied to all others. */
const ADD_GROUPS = `
for g = 1, tonumber(ARGV[1]) do
  redis.call('XGROUP', 'CREATE', KEYS[1], 'group-' .. g, '0')
  for c = 1, tonumber(ARGV[2]) do
    redis.call('XREADGROUP', 'GROUP', 'group-' .. g, 'consumer-' .. c, 'COUNT', ARGV[4], 'STREAMS', KEYS[1], '>')
  end
  local pending = redis.call('XPENDING', KEYS[1], 'group-' .. g, '-', '+', 1000)
  for i = 1, #pending - tonumber(ARGV[3]) do redis.call('XACK', KEYS[1], 'group-' .. g, pending[i][1]) end
end`

export async function reapNothing(options: Options): Promise<Section> {
  say('\nReaping where there is nothing to reap')
  const rows: string[][] = []
  for (const keyspace of options.quick ? KEYSPACES.slice(-1) : KEYSPACES) {
    const streams = Math.min(options.streams, keyspace.streams)
    const redis = await startPrivateRedis()
    await fill(redis, streams, keyspace)
    const daemons = { without: daemon(...FASTEST), reaping: daemon(...FASTEST, ...REAPING) }
    await daemons.without.begin?.(redis, options)
    await daemons.reaping.begin?.(redis, options)
    const spent: { without: number[]; reaping: number[] } = { without: [], reaping: [] }
    for (let turn = 0; turn < (options.quick ? 1 : TURNS); turn++) {
      // The second of two sweeps takes Redis a little longer, so each comes first in every other turn.
      const order = turn % 2 === 0 ? (['without', 'reaping'] as const) : (['reaping', 'without'] as const)
      for (const name of order) spent[name].push(await cpuMsDuring(redis, () => daemons[name].run(redis, streams)))
    }
    await daemons.without.end?.()
    await daemons.reaping.end?.()
    await redis.stop()
    const [off, on] = [mean(spent.without), mean(spent.reaping)]
    const more = (on / off - 1) * 100
    const perStream = (ms: number): string => brief((ms * 1000) / streams)
    rows.push([count(streams), keyspace.name, perStream(off), perStream(on), brief(more)])
    say(`  ${rows.at(-1)?.join('  ')}`)
  }
  return {
    title: 'Reaping: what it costs where there is nothing to reap',
    text: `Streams of 20 entries × 100 bytes, with groups that have read everything; \`xtrimd run --pace 100\` with \`${REAPING.join(' ')}\` and without. CPU time of Redis in a whole sweep of a warm daemon: means of ${TURNS} turns each, taken alternately. Only each fifth to eleventh sweep asks for the groups of a stream.`,
    head: ['streams', 'each has', 'without, µs per stream', 'reaping, µs per stream', 'more, %'],
    rows,
    verdicts: rows.map(([, name, , , more]) => `${name}: ${more} % more CPU time of Redis (goal at most 25 %)`),
  }
}

async function fill(redis: PrivateRedis, streams: number, { groups, consumersEach, pendingEach }: Groups) {
  await fillKeyspace(redis, { streams: 1, entriesEach: 20, bytesEach: 100, stale: false })
  const args = [groups, consumersEach, pendingEach, Math.ceil(20 / Math.max(1, consumersEach))].map(String)
  await redis.client.eval(ADD_GROUPS, { keys: [keyOf(1)], arguments: args })
  await copyFirst(redis, streams)
}

async function cpuMsDuring(redis: PrivateRedis, work: () => Promise<unknown>): Promise<number> {
  const before = await serverCpuMs(redis)
  await work()
  return (await serverCpuMs(redis)) - before
}

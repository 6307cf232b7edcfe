/** Creates the streams of a case on a server. */

import type { OneServer } from '../cluster_as_one.ts'
import { IDLE_CONFIG, makeIdle } from '../idle_consumers.ts'
import type { Case, PlannedEntry, PlannedGroup, PlannedStream } from './generated.ts'

/** Settings of such a server: DUMP must not compress. */
export const PLANTING_CONFIG = { ...IDLE_CONFIG, rdbcompression: 'no' } as const

/** ARGV: milliseconds, sequence and bytes of each entry. */
const ADD = `
for i = 1, #ARGV, 3 do
  redis.call('XADD', KEYS[1], ARGV[i] .. '-' .. ARGV[i + 1], 'body', string.rep('x', tonumber(ARGV[i + 2])))
end`

/** Entries in one call of the script. */
const CHUNK = 5_000

export async function plant(redis: OneServer, { nodeEntries, nodeBytes, streams }: Case): Promise<void> {
  await Promise.all([
    redis.command('FLUSHALL'),
    redis.command('CONFIG', 'SET', 'stream-node-max-entries', String(nodeEntries)),
    redis.command('CONFIG', 'SET', 'stream-node-max-bytes', String(nodeBytes)),
  ])
  await Promise.all(streams.map((stream) => plantStream(redis, stream)))
}

async function plantStream(redis: OneServer, stream: PlannedStream): Promise<void> {
  const { key, entries, groups, trimmedTo } = stream
  await redis.command('XGROUP', 'CREATE', key, 'none', '0', 'MKSTREAM')
  await redis.command('XGROUP', 'DESTROY', key, 'none')
  for (let from = 0; from < entries.length; from += CHUNK) {
    const words = entries.slice(from, from + CHUNK).flatMap(({ ms, seq, bytes }) => [ms, seq, bytes])
    await redis.command('EVAL', ADD, '1', key, ...words.map(String))
  }
  await deleteEntries(redis, stream, stream.deletedFirst)
  await Promise.all(groups.map((group) => plantGroup(redis, stream, group)))
  await deleteEntries(redis, stream, stream.deletedLater)
  if (trimmedTo !== null) await redis.command('XTRIM', key, 'MAXLEN', '=', String(trimmedTo))
  await Promise.all(groups.map((group) => readOn(redis, stream, group, true)))
  for (const group of groups.filter(({ deserted }) => deserted)) {
    for (const { consumer } of group.reads) await redis.command('XGROUP', 'DELCONSUMER', key, group.name, consumer)
  }
  const idle = groups.filter(({ deserted }) => !deserted).flatMap(({ idleMs }) => [...idleMs])
  await makeIdle(redis, key, Object.fromEntries(idle))
}

async function deleteEntries(redis: OneServer, { key, entries }: PlannedStream, numbers: readonly number[]) {
  const ids = numbers.flatMap((number) => entries[number] ?? []).map(idOf)
  if (ids.length > 0) await redis.command('XDEL', key, ...ids)
}

async function plantGroup(redis: OneServer, stream: PlannedStream, group: PlannedGroup): Promise<void> {
  const { start, name } = group
  const entry = typeof start === 'number' ? stream.entries[start] : undefined
  const from = typeof start === 'string' ? start : entry === undefined ? '0' : idOf(entry)
  await redis.command('XGROUP', 'CREATE', stream.key, name, from)
  // A read that finds nothing does not create the consumer.
  for (const { consumer } of group.reads) await redis.command('XGROUP', 'CREATECONSUMER', stream.key, name, consumer)
  await readOn(redis, stream, group, false)
}

async function readOn(redis: OneServer, { key }: PlannedStream, group: PlannedGroup, late: boolean): Promise<void> {
  for (const { consumer, count, acked } of group.reads.filter((read) => read.late === late)) {
    const reply = (await redis.command(
      ...['XREADGROUP', 'GROUP', group.name, consumer, 'COUNT', String(count), 'STREAMS', key, '>'],
    )) as [string, [string, unknown][]][] | null
    const delivered = reply?.[0]?.[1] ?? []
    const ids = acked.flatMap((number) => delivered[number]?.[0] ?? [])
    if (ids.length > 0) await redis.command('XACK', key, group.name, ...ids)
  }
}

function idOf({ ms, seq }: Pick<PlannedEntry, 'ms' | 'seq'>): string {
  return `${ms}-${seq}`
}

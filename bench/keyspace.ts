/** A keyspace of many small streams, as a chat service with many quiet conversations has it. */
import type { PrivateRedis } from '../scripts/stage/private_redis.ts'

export interface Keyspace {
  readonly streams: number
  readonly entriesEach: number
  readonly bytesEach: number
  /** Whether three of ten streams have been silent for two days, so that all they hold is to go. */
  readonly stale: boolean
}

export const MATCH = 'stream:conversation:*'
export const DAY_MS = 86_400_000
/** The policy every contender holds the streams to is a day and this many entries. */
export const MAX_LENGTH = 1000

/** Streams made in one call of a script. */
const AT_ONCE = 1000

/** One stream is written entry by entry, and the others are its copies: writing all of them takes ten times as long. */
const WRITE = `
for i = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], ARGV[3] == '' and '*' or ARGV[3] .. '-' .. i, 'message', ARGV[2])
end`
const COPY = `
for s = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local isStale = ARGV[3] ~= '' and s % 10 >= 1 and s % 10 <= 3
  redis.call('COPY', isStale and 'written:stale' or 'written:fresh', 'stream:conversation:' .. s)
end`

/** Empties the server and fills it. */
export async function fillKeyspace(
  { client, now }: PrivateRedis,
  { streams, entriesEach, bytesEach, stale }: Keyspace,
): Promise<void> {
  await client.flushAll()
  const message = 'x'.repeat(bytesEach)
  const staleMs = stale ? String((await now()) - 2 * DAY_MS) : ''
  for (const [key, ms] of [
    ['written:fresh', ''],
    ['written:stale', staleMs],
  ] as const) {
    await client.eval(WRITE, { keys: [key], arguments: [String(entriesEach), message, ms] })
  }
  for (let from = 1; from <= streams; from += AT_ONCE) {
    const to = Math.min(streams, from + AT_ONCE - 1)
    await client.eval(COPY, { arguments: [String(from), String(to), staleMs] })
  }
  await client.unlink(['written:fresh', 'written:stale'])
}

export function keyOf(stream: number): string {
  return `stream:conversation:${stream}`
}

/** Whether a stream is stale, in a keyspace that has such. */
export function isStale(stream: number): boolean {
  return stream % 10 >= 1 && stream % 10 <= 3
}

/** How many of the first `streams` are. */
export function staleAmong(streams: number): number {
  return Math.floor(streams / 10) * 3 + Math.min(3, streams % 10)
}

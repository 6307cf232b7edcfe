/** A keyspace of many small streams, like a chat service with many quiet conversations. */
import type { PrivateRedis } from '../scripts/stage/private_redis.ts'

export interface Keyspace {
  readonly streams: number
  readonly entriesEach: number
  readonly bytesEach: number
  /** Whether three of ten streams are two days old, so that all their entries are removed. */
  readonly stale: boolean
}

export const MATCH = 'stream:conversation:*'
export const DAY_MS = 86_400_000
/** Every contender keeps one day and at most this many entries. */
export const MAX_LENGTH = 1000

/** Streams made per script call. */
const AT_ONCE = 1000

/** One stream is written entry by entry and then copied, because writing all of them takes ten times as long. */
const WRITE = `
for i = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], ARGV[3] == '' and '*' or ARGV[3] .. '-' .. i, 'message', ARGV[2])
end`
/** Copies the first key to all others. */
const COPY = `
for i = 2, #KEYS do redis.call('COPY', KEYS[1], KEYS[i]) end`

/** Empties the server and fills it. */
export async function fillKeyspace(
  { client, now }: PrivateRedis,
  { streams, entriesEach, bytesEach, stale }: Keyspace,
): Promise<void> {
  await client.flushAll()
  const message = 'x'.repeat(bytesEach)
  const staleMs = String((await now()) - 2 * DAY_MS)
  const [fresh, old] = ['written:fresh', 'written:stale']
  await client.eval(WRITE, { keys: [fresh], arguments: [String(entriesEach), message, ''] })
  await client.eval(WRITE, { keys: [old], arguments: [String(entriesEach), message, staleMs] })
  for (let from = 1; from <= streams; from += AT_ONCE) {
    const made = Array.from({ length: Math.min(AT_ONCE, streams - from + 1) }, (_, i) => from + i)
    const isOld = (stream: number): boolean => stale && isStale(stream)
    await client.eval(COPY, { keys: [fresh, ...made.filter((stream) => !isOld(stream)).map(keyOf)] })
    await client.eval(COPY, { keys: [old, ...made.filter(isOld).map(keyOf)] })
  }
  await client.unlink([fresh, old])
}

/** Copies the first stream, with its groups, to all others up to `streams`. */
export async function copyFirst({ client }: PrivateRedis, streams: number): Promise<void> {
  for (let from = 2; from <= streams; from += AT_ONCE) {
    const made = Array.from({ length: Math.min(AT_ONCE, streams - from + 1) }, (_, i) => from + i)
    await client.eval(COPY, { keys: [1, ...made].map(keyOf) })
  }
}

export function keyOf(stream: number): string {
  return `stream:conversation:${stream}`
}

/** Whether a stream is stale in a keyspace with stale streams. */
export function isStale(stream: number): boolean {
  return stream % 10 >= 1 && stream % 10 <= 3
}

/** How many of the first `streams` streams are stale. */
export function staleAmong(streams: number): number {
  return Math.floor(streams / 10) * 3 + Math.min(3, streams % 10)
}

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

/** Streams written in one call of a script. */
const AT_ONCE = 1000

const FILL = `
for s = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local key = 'stream:conversation:' .. s
  if ARGV[5] == '' or s % 10 < 1 or s % 10 > 3 then
    for i = 1, tonumber(ARGV[3]) do redis.call('XADD', key, '*', 'message', ARGV[4]) end
  else
    for i = 1, tonumber(ARGV[3]) do redis.call('XADD', key, ARGV[5] .. '-' .. i, 'message', ARGV[4]) end
  end
end`

/** Empties the server and fills it. */
export async function fillKeyspace(
  redis: PrivateRedis,
  { streams, entriesEach, bytesEach, stale }: Keyspace,
): Promise<void> {
  await redis.client.flushAll()
  const message = 'x'.repeat(bytesEach)
  const staleMs = stale ? String((await redis.now()) - 2 * DAY_MS) : ''
  for (let from = 1; from <= streams; from += AT_ONCE) {
    const to = Math.min(streams, from + AT_ONCE - 1)
    const range = [String(from), String(to), String(entriesEach), message, staleMs]
    await redis.client.eval(FILL, { arguments: range })
  }
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

/** A keyspace of many small streams, as a chat service with many quiet conversations has it. */
import type { PrivateRedis } from '../scripts/stage/private_redis.ts'

export interface Keyspace {
  readonly streams: number
  readonly entriesEach: number
  readonly bytesEach: number
}

/** Streams written in one call of a script. */
const AT_ONCE = 1000

const FILL = `
for s = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  for i = 1, tonumber(ARGV[3]) do redis.call('XADD', 'stream:conversation:' .. s, '*', 'message', ARGV[4]) end
end`

/** Empties the server and fills it. */
export async function fillKeyspace(
  { client }: PrivateRedis,
  { streams, entriesEach, bytesEach }: Keyspace,
): Promise<void> {
  await client.flushAll()
  const message = 'x'.repeat(bytesEach)
  for (let from = 1; from <= streams; from += AT_ONCE) {
    const to = Math.min(streams, from + AT_ONCE - 1)
    await client.eval(FILL, { arguments: [String(from), String(to), String(entriesEach), message] })
  }
}

export function keyOf(stream: number): string {
  return `stream:conversation:${stream}`
}

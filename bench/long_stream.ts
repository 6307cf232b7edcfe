/** A long stream that was never trimmed. */
import type { PrivateRedis } from '../scripts/stage/private_redis.ts'

const AT_ONCE = 50_000

/** Writes one entry per millisecond, with explicit IDs. */
const FILL = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('XADD', KEYS[1], string.format('%.0f-0', ARGV[3] + i), 'message', ARGV[4])
end`

const MESSAGE = 'x'.repeat(100)

/** Adds a stream of small entries from the last hours: too many, but none too old. */
export async function fillLongStream(redis: PrivateRedis, key: string, entries: number): Promise<void> {
  const firstMs = (await redis.now()) - entries - 1000
  for (let from = 1; from <= entries; from += AT_ONCE) {
    const to = Math.min(entries, from + AT_ONCE - 1)
    const args = [String(from), String(to), String(firstMs), MESSAGE]
    await redis.client.eval(FILL, { keys: [key], arguments: args })
  }
}

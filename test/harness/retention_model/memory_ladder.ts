/** What Redis would report for the memory of a stream as one of its oldest nodes after another goes. */
import type { RedisServer } from '../redis_server.ts'
import type { Snapshot } from './snapshot.ts'

const SHADOW = 'shadow'

/**
 * Tried on a copy: the memory as it is, and then with one node less each time, down to the last. The key is the number
 * of entries that are left. A copy has no room to spare in its last node: what that makes is added at every step.
 */
export async function memoryLadder(
  redis: RedisServer,
  key: string,
  { nodes, memoryBytes }: Pick<Snapshot, 'nodes' | 'memoryBytes'>,
): Promise<Map<number, number>> {
  await redis.command('COPY', key, SHADOW, 'REPLACE')
  const nodeSizes = nodes.map(({ live }) => live.length)
  let left = nodeSizes.reduce((sum, size) => sum + size, 0)
  const steps: Promise<[number, number]>[] = []
  for (const size of nodeSizes) {
    const length = left
    // One node at a time goes this way even where it holds no living entry at all.
    steps.push(redis.command('MEMORY', 'USAGE', SHADOW).then((bytes) => [length, Number(bytes)]))
    left -= size
    steps.push(redis.command('XTRIM', SHADOW, 'MAXLEN', '=', String(left)).then(() => [-1, 0]))
  }
  const ladder = new Map(await Promise.all(steps))
  ladder.delete(-1)
  const [whole = 0] = ladder.values()
  for (const [left, bytes] of ladder) ladder.set(left, bytes + memoryBytes - whole)
  await redis.command('UNLINK', SHADOW)
  return ladder
}

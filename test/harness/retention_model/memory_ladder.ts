/** The memory that Redis would report for a stream after each removal of its oldest node. */
import type { RedisServer } from '../redis_server.ts'
import type { Snapshot } from './snapshot.ts'

const SHADOW = 'shadow'

/**
 * Measured on a copy: first whole, then with one node less each time, by the number of entries left. The last node of a copy
 * has no spare room, so the difference to the original is added at every step.
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
    // This removes one node at a time, even one without live entries.
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

/** The memory that Redis would report for a stream after each removal of its oldest node. */
import type { OneServer } from '../cluster_as_one.ts'
import type { Snapshot } from './snapshot.ts'

/** A copy of a stream, which may be changed. In a cluster it has the same slot. */
const shadowOf = (key: string): string => `shadow of {${key}}`

/**
 * Measured on a copy: first whole, then with one node less each time, by the number of entries left. The last node of a copy
 * has no spare room, so the difference to the original is added at every step.
 */
export async function memoryLadder(
  redis: OneServer,
  key: string,
  { nodes, memoryBytes, groups }: Pick<Snapshot, 'nodes' | 'memoryBytes' | 'groups'>,
): Promise<Map<number, number>> {
  const shadow = shadowOf(key)
  await redis.command('COPY', key, shadow, 'REPLACE')
  await destroyGroups(redis, shadow, groups)
  const nodeSizes = nodes.map(({ live }) => live.length)
  let left = nodeSizes.reduce((sum, size) => sum + size, 0)
  const steps: Promise<[number, number]>[] = []
  for (const size of nodeSizes) {
    const length = left
    // This removes one node at a time, even one without live entries.
    steps.push(redis.command('MEMORY', 'USAGE', shadow).then((bytes) => [length, Number(bytes)]))
    left -= size
    steps.push(redis.command('XTRIM', shadow, 'MAXLEN', '=', String(left)).then(() => [-1, 0]))
  }
  const ladder = new Map(await Promise.all(steps))
  ladder.delete(-1)
  const [whole = 0] = ladder.values()
  for (const [left, bytes] of ladder) ladder.set(left, bytes + memoryBytes - whole)
  await redis.command('UNLINK', shadow)
  return ladder
}

/** What the groups add to the memory that Redis reports, told by a copy without them. */
export async function groupBytes(redis: OneServer, key: string, groups: Snapshot['groups']): Promise<number> {
  if (groups.length === 0) return 0
  const shadow = shadowOf(key)
  await redis.command('COPY', key, shadow, 'REPLACE')
  const whole = Number(await redis.command('MEMORY', 'USAGE', shadow))
  await destroyGroups(redis, shadow, groups)
  const entries = Number(await redis.command('MEMORY', 'USAGE', shadow))
  await redis.command('UNLINK', shadow)
  return whole - entries
}

async function destroyGroups(redis: OneServer, shadow: string, groups: Snapshot['groups']): Promise<void> {
  for (const { name } of groups) await redis.command('XGROUP', 'DESTROY', shadow, name)
}

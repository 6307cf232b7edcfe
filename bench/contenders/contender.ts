/** One way to apply the policy to every stream of a keyspace. */
import type { PrivateRedis } from '../../scripts/stage/private_redis.ts'
import type { Options } from '../options.ts'

export interface Turn {
  readonly ms: number
  /** CPU time of the contender itself, if it can be measured without its start. */
  readonly ownCpuMs?: number
  /** How many streams it handled if it was stopped early; the measurements are scaled to all streams. */
  readonly streams?: number
}

export interface Contender {
  readonly name: string
  /** How many streams it handles if it is too slow for all; the measurements are scaled to all streams. */
  readonly sample?: number
  /** It only reads, so it is not measured with stale streams. */
  readonly onlyReads?: boolean
  /** One measurement with nothing to remove is enough. */
  readonly steadyOnly?: boolean
  /** The missing package, or null if it can run. */
  missing?(): Promise<string | null>
  /** Handles the first `streams` streams: all of them, unless it has a sample. */
  run(redis: PrivateRedis, streams: number): Promise<Turn>
  /** `begin` runs before all turns, `end` after them. */
  begin?(redis: PrivateRedis, options: Options): Promise<void>
  end?(): Promise<void>
}

export async function timed(work: () => Promise<unknown>): Promise<Turn> {
  const start = performance.now()
  await work()
  return { ms: performance.now() - start }
}

/** The first ID that is not too old. */
export async function minId(redis: PrivateRedis): Promise<string> {
  return String((await redis.now()) - 86_400_000)
}

export function socketOf(redis: PrivateRedis): string {
  return redis.url.replace('unix://', '')
}

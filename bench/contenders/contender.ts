/** One way of holding every stream of a keyspace to the policy. */
import type { PrivateRedis } from '../../scripts/stage/private_redis.ts'
import type { Options } from '../options.ts'

/** One go at it. */
export interface Turn {
  readonly ms: number
  /** Processor time of the contender itself, where it is told apart from starting up. */
  readonly ownCpuMs?: number
  /** How many streams it got through, where it was stopped before the end: what is measured is scaled up to all. */
  readonly streams?: number
}

export interface Contender {
  readonly name: string
  /** How many streams it is let work on, if it is too slow for all: what is measured is scaled up to all. */
  readonly sample?: number
  /** It only reads, so there is no point in giving it something to remove. */
  readonly onlyReads?: boolean
  /** What it is like is told well enough where there is nothing to remove. */
  readonly steadyOnly?: boolean
  /** What it needs and is not installed; null if it can run. */
  missing?(): Promise<string | null>
  /** Works on the first `streams` streams, which for whoever takes no sample are all there are. */
  run(redis: PrivateRedis, streams: number): Promise<Turn>
  /** Before and after all its turns. */
  begin?(redis: PrivateRedis, options: Options): Promise<void>
  end?(): Promise<void>
}

export async function timed(work: () => Promise<unknown>): Promise<Turn> {
  const start = performance.now()
  await work()
  return { ms: performance.now() - start }
}

/** The first ID that is young enough. */
export async function minId(redis: PrivateRedis): Promise<string> {
  return String((await redis.now()) - 86_400_000)
}

export function socketOf(redis: PrivateRedis): string {
  return redis.url.replace('unix://', '')
}

/** Writers at full speed: `redis-benchmark`, which needs less CPU than a writer in Node. */

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, setPriority } from 'node:os'
import type { TestContext } from 'node:test'
import type { RedisServer } from './redis_server.ts'

export interface Burst {
  /** How many streams to write to, in random order. */
  readonly streams: number
  readonly writers?: number
  /** The prefix of all keys, with a hash tag to choose a primary of a cluster. */
  readonly prefix?: string
  /** Entries to write in total; unlimited by default. */
  readonly writes?: number
  /** How many entries a writer sends at once; 1 by default. */
  readonly atOnce?: number
}

export interface RunningBurst {
  /** Resolves once every entry is written. */
  readonly done: Promise<void>
  /** Stops the writers and resolves once Redis has processed everything they sent. */
  stop(): Promise<void>
}

const PREFIX = 'stream:conversation:'

/** The keys that a burst writes to. */
export function burstKeys(streams: number, prefix = PREFIX): string[] {
  return Array.from({ length: streams }, (_, i) => prefix + String(i).padStart(12, '0'))
}

/** Starts writing. It stops when the test ends, if not before. */
export function startBurst(t: TestContext, redis: RedisServer, burst: Burst): RunningBurst {
  const { streams, writers = 20, prefix = PREFIX, writes = 2 ** 31 - 1, atOnce = 1 } = burst
  const options = ['-s', redis.socketPath, '-c', String(writers), '-n', String(writes), '-r', String(streams), '-q']
  options.push('-P', String(atOnce))
  const command = ['XADD', `${prefix}__rand_int__`, '*', 'body', 'x'.repeat(40)]
  const child = spawn('redis-benchmark', [...options, ...command], { stdio: 'ignore' })
  // Real writers run on other machines. Here they must not take CPU time from Redis and the daemon.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  t.after(() => child.kill('SIGKILL'))
  const done = ended(child)
  // If a test fails before it awaits the end, that first failure is the one to report.
  done.catch(() => {})
  return {
    done,
    async stop() {
      if (child.exitCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      // Redis answers this after it has read all that the writers sent.
      await redis.command('PING')
    },
  }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`redis-benchmark ended with ${code ?? signal}`)),
    )
  })
}

/** The streams at one moment, in the order of their keys. */
export interface Look {
  /** By performance.now(). */
  readonly atMs: number
  readonly lengths: readonly number[]
  /** How many entries were ever added to each. */
  readonly added: readonly number[]
}

const LOOK = `
local looks = {}
for _, key in ipairs(KEYS) do
  local length, added = redis.call('XLEN', key), 0
  if length > 0 then
    local info = redis.call('XINFO', 'STREAM', key)
    for i = 1, #info, 2 do if info[i] == 'entries-added' then added = info[i + 1] end end
  end
  looks[#looks + 1] = length
  looks[#looks + 1] = added
end
return looks`

/** Looks at all streams in one script, so at the same moment. */
export async function lookAt(redis: RedisServer, keys: readonly string[]): Promise<Look> {
  const numbers = (await redis.command('EVAL', LOOK, String(keys.length), ...keys)) as number[]
  const every = (from: number): number[] => numbers.filter((_, i) => i % 2 === from)
  return { atMs: performance.now(), lengths: every(0), added: every(1) }
}

export function longestOf({ lengths }: Look): number {
  return Math.max(0, ...lengths)
}

export function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, n) => sum + n, 0)
}

/**
 * How far trimming lags behind the writers, in ms: the age, at the last look, of the oldest entry beyond the bound of any
 * stream. 0 if all streams are within the bound.
 */
export function behindMs(looks: readonly Look[], bound: number): number {
  const last = looks.at(-1)
  if (last === undefined) return 0
  const behind = last.lengths.map((length, i) => {
    if (length <= bound) return 0
    const unwritten = looks.findLast(({ added }) => (last.added[i] ?? 0) - (added[i] ?? 0) >= length - bound)
    return unwritten === undefined ? Number.POSITIVE_INFINITY : last.atMs - unwritten.atMs
  })
  return Math.max(0, ...behind)
}

/** Writers at full speed: `redis-benchmark`, which costs the machine less than any writer of our own. */

import { type ChildProcess, spawn } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import type { TestContext } from 'node:test'
import type { RedisServer } from './redis_server.ts'

export interface Burst {
  readonly streams: number
  /** Entries to write in all, spread over the streams at random. */
  readonly writes: number
  readonly writers?: number
}

export interface RunningBurst {
  /** Resolves with the milliseconds it took, once every entry is written. */
  readonly done: Promise<number>
}

/** The keys that a burst writes to. */
export function burstKeys(streams: number): string[] {
  return Array.from({ length: streams }, (_, i) => `stream:conversation:${String(i).padStart(12, '0')}`)
}

/** Begins to write. It ends with the test, at the latest. */
export function startBurst(t: TestContext, redis: RedisServer, { streams, writes, writers = 20 }: Burst): RunningBurst {
  const options = ['-s', redis.socketPath, '-c', String(writers), '-n', String(writes), '-r', String(streams), '-q']
  const command = ['XADD', 'stream:conversation:__rand_int__', '*', 'body', 'x'.repeat(40)]
  const begun = performance.now()
  const child = spawn('redis-benchmark', [...options, ...command], { stdio: 'ignore' })
  // Writers are on other machines as a rule: here they must not take the processor from what they are to be held against.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW)
  t.after(() => child.kill('SIGKILL'))
  const done = ended(child).then(() => performance.now() - begun)
  // Where a test fails before it waits for the end, that failure is the one to be told.
  done.catch(() => {})
  return { done }
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`redis-benchmark ended with ${code ?? signal}`)),
    )
  })
}

const LENGTHS = `
local longest, total = 0, 0
for _, key in ipairs(KEYS) do
  local length = redis.call('XLEN', key)
  longest, total = math.max(longest, length), total + length
end
return {longest, total}`

async function lengthsOf(redis: RedisServer, keys: readonly string[]): Promise<[longest: number, total: number]> {
  return (await redis.command('EVAL', LENGTHS, String(keys.length), ...keys)) as [number, number]
}

/** The length of the longest of these streams at this moment. */
export async function longestOf(redis: RedisServer, keys: readonly string[]): Promise<number> {
  return (await lengthsOf(redis, keys))[0]
}

/** How many entries these streams hold together at this moment. */
export async function totalOf(redis: RedisServer, keys: readonly string[]): Promise<number> {
  return (await lengthsOf(redis, keys))[1]
}

/** The pause: a key in Redis. While it exists, no copy of the daemon trims anything. */
import type { Command, Reach, Reply } from '../redis/connection.ts'
import type { Topology } from '../redis/primaries.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { KeyHome } from './key_home.ts'

/** What the key tells. Times are in ms since 1970, by the clock of the machine that paused. Null where it does not say. */
export interface Pause {
  readonly sinceMs: number | null
  /** When Redis removes the key by itself; null for never. */
  readonly untilMs: number | null
  readonly reason: string | null
  /** The name of the machine that paused. */
  readonly by: string | null
}

/** Most characters of a text that is read from the key: anybody may have written it. */
const LONGEST_TEXT = 500

/** Scripts may write while Redis is out of memory if they say so (Redis 7.0 and newer). */
const SET_OUT_OF_MEMORY_LUA = `#!lua flags=allow-oom
return redis.call('SET', KEYS[1], unpack(ARGV))`

export class PauseKey {
  readonly #key: string
  readonly #home: KeyHome

  constructor(key: string, topology: Topology, reach: Reach) {
    this.#key = key
    this.#home = new KeyHome(key, topology, reach)
  }

  /** Null if nobody paused. @throws Fault, also if the key is not a string */
  async read(stop?: AbortSignal): Promise<Pause | null> {
    return readPause(await this.#ask(['GET', this.#key], '+get', stop))
  }

  /** Replaces an earlier pause, and never a key of another type. @returns the earlier pause @throws Fault */
  async set(pause: Pause, stop?: AbortSignal): Promise<Pause | null> {
    const { sinceMs, untilMs } = pause
    const px = untilMs === null || sinceMs === null ? [] : ['PX', String(untilMs - sinceMs)]
    // With GET, Redis refuses to replace a key that is not a string.
    const set = [formatPause(pause), ...px, 'GET']
    try {
      return readPause(await this.#ask(['SET', this.#key, ...set], '+set', stop))
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'OOM') throw error
      return readPause(await this.#ask(['EVAL', SET_OUT_OF_MEMORY_LUA, '1', this.#key, ...set], '+set +eval', stop))
    }
  }

  /** @returns the pause that it ended, if any @throws Fault, also if the key is not a string */
  async delete(stop?: AbortSignal): Promise<Pause | null> {
    const pause = await this.read(stop)
    if (pause !== null) await this.#ask(['DEL', this.#key], '+get +del', stop)
    return pause
  }

  async #ask(command: Command, rights: string, stop?: AbortSignal): Promise<Reply> {
    const reply = await this.#home.ask(await this.#home.find(stop), command, stop)
    if (!(reply instanceof Refusal)) return reply
    if (reply.word === 'NOPERM')
      throw new Fault(
        'NOPERM',
        `the ACL forbids the pause on ${this.#key}: grant ~${this.#key} ${rights} (${reply.message})`,
      )
    // Redis before 7.0 reports an error inside a script as ERR, with the real word further on.
    if (/\bWRONGTYPE\b/.test(reply.message))
      throw new Fault('WRONGTYPE', `--pause-key ${this.#key} exists and is not a pause (${reply.message})`)
    throw Fault.of(reply)
  }
}

/** The pause as JSON, for people who look at the key and for `readPause`. */
export function pauseFields({ sinceMs, untilMs, reason, by }: Pause) {
  return { since: formatTime(sinceMs), until: formatTime(untilMs), reason, by }
}

function formatPause(pause: Pause): string {
  return JSON.stringify(pauseFields(pause))
}

/** Any string pauses, also one that somebody set by hand. */
function readPause(reply: Reply): Pause | null {
  if (reply === null) return null
  let told: Partial<Record<string, unknown>> = {}
  try {
    told = Object(JSON.parse(String(reply)))
  } catch {
    // Set by hand: it pauses, and says nothing.
  }
  const text = (value: unknown): string | null =>
    typeof value === 'string' ? value.replace(/[\p{Cc}\p{Cf}]/gu, ' ').slice(0, LONGEST_TEXT) : null
  return {
    sinceMs: parseTime(told.since),
    untilMs: parseTime(told.until),
    reason: text(told.reason),
    by: text(told.by),
  }
}

function formatTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}

function parseTime(value: unknown): number | null {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
  return Number.isNaN(ms) ? null : ms
}

/** Producers, and a record of the writes that Redis acknowledged, to check what must still be there. */

import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { isBefore, parseStreamId } from '../../src/entries/stream_id.ts'
import type { RedisServer } from './redis_server.ts'
import { redisNow, streamIds } from './streams.ts'

/** The part of a stream that no trim may remove. */
export type Kept = { readonly newest: number } | { readonly newestMs: number }

/** IDs to remember per stream: more than a stream holds between two sweeps. */
const REMEMBERED = 40_000
const BATCHES_PER_SECOND = 40

export class Ledger {
  readonly #redis: RedisServer
  readonly #keys: readonly string[]
  readonly #acknowledged = new Map<string, string[]>()
  #written = 0
  #writing = false
  #done: Promise<void> = Promise.resolve()

  constructor(redis: RedisServer, keys: readonly string[]) {
    this.#redis = redis
    this.#keys = keys
    for (const key of keys) this.#acknowledged.set(key, [])
  }

  /** How many writes Redis acknowledged. */
  get written(): number {
    return this.#written
  }

  /** Writes this many entries per second in total, until `stop()`. */
  start(entriesPerSecond: number): void {
    this.#writing = true
    this.#done = this.#write(Math.ceil(entriesPerSecond / BATCHES_PER_SECOND))
    this.#done.catch(() => {})
  }

  /** Resolves once the last write is answered. */
  stop(): Promise<void> {
    this.#writing = false
    return this.#done
  }

  async #write(batch: number): Promise<void> {
    let next = 0
    while (this.#writing) {
      const rest = pause(1_000 / BATCHES_PER_SECOND)
      await Promise.all(
        Array.from({ length: batch }, () => this.#add(this.#keys[next++ % this.#keys.length] as string)),
      )
      await rest
    }
  }

  async #add(key: string): Promise<void> {
    try {
      const id = String(await this.#redis.command('XADD', key, '*', 'body', 'x'.repeat(30)))
      const ids = this.#acknowledged.get(key) as string[]
      ids.push(id)
      this.#written++
      if (ids.length > 2 * REMEMBERED) ids.splice(0, REMEMBERED)
    } catch {
      // Redis may have executed it all the same. Without an acknowledgement the entry may be there or not.
    }
  }

  /** Asserts that the stream still has every acknowledged entry that must be kept. May be called during writes. */
  async verify(key: string, kept: Kept): Promise<void> {
    const acknowledged = [...(this.#acknowledged.get(key) as string[])]
    // Read before the stream: entries of that age now were younger at every earlier sweep.
    const since = 'newestMs' in kept ? (await redisNow(this.#redis)) - kept.newestMs : 0
    const present = await streamIds(this.#redis, key)
    const there = new Set(present)
    const missing = acknowledged.filter((id) => !there.has(id))
    const [oldest] = present
    // A trim removes the oldest entries, so everything missing must come before everything that is left.
    if (oldest !== undefined) {
      const amidst = missing.filter((id) => isBefore(parseStreamId(oldest), parseStreamId(id)))
      assert.deepEqual(amidst, [], `${key}: entries after the oldest one, ${oldest}, are missing`)
    }
    if ('newest' in kept) {
      const isEnough = missing.length === 0 || present.length >= kept.newest
      assert.ok(isEnough, `${key}: ${missing.length} are missing, and only ${present.length} are left`)
    } else {
      const young = missing.filter((id) => Number.parseInt(id, 10) >= since)
      assert.deepEqual(young, [], `${key}: missing of those acknowledged since ${since}`)
    }
  }
}

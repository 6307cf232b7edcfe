/** Producers, and a book of what Redis acknowledged to them: what must still be there is judged by it. */

import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { isBefore, parseStreamId } from '../../src/retention/stream_id.ts'
import type { RedisServer } from './redis_server.ts'
import { redisNow, streamIds } from './streams.ts'

/** What is kept of a stream, whatever else is trimmed. */
export type Kept = { readonly newest: number } | { readonly newestMs: number }

/** So many IDs are remembered of each stream: more than one holds between two sweeps. */
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

  /** How many writes were acknowledged. */
  get written(): number {
    return this.#written
  }

  /** Begins to write so many entries a second in all, until `stop()`. */
  start(entriesPerSecond: number): void {
    this.#writing = true
    this.#done = this.#write(Math.ceil(entriesPerSecond / BATCHES_PER_SECOND))
    this.#done.catch(() => {})
  }

  /** Returns when the last write is answered. */
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
      // It may have been carried out all the same: then it stands in the stream, and nobody was promised that it does.
    }
  }

  /** Asserts that everything acknowledged until now that is to be kept is in the stream. May be called while it is written to. */
  async verify(key: string, kept: Kept): Promise<void> {
    const acknowledged = [...(this.#acknowledged.get(key) as string[])]
    // Before the stream is read: what is of that age then was younger at every sweep of before.
    const since = 'newestMs' in kept ? (await redisNow(this.#redis)) - kept.newestMs : 0
    const present = await streamIds(this.#redis, key)
    const there = new Set(present)
    const missing = acknowledged.filter((id) => !there.has(id))
    const [oldest] = present
    // A trim takes the oldest: whatever went stood before all that is left, acknowledged or not.
    if (oldest !== undefined) {
      const amidst = missing.filter((id) => isBefore(parseStreamId(oldest), parseStreamId(id)))
      assert.deepEqual(amidst, [], `${key}: nothing is gone behind the oldest entry, ${oldest}`)
    }
    if ('newest' in kept) {
      const isEnough = missing.length === 0 || present.length >= kept.newest
      assert.ok(isEnough, `${key}: ${missing.length} are gone, and only ${present.length} left`)
    } else {
      const young = missing.filter((id) => Number.parseInt(id, 10) >= since)
      assert.deepEqual(young, [], `${key}: of those acknowledged since ${since}`)
    }
  }
}

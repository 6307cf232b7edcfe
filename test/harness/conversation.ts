/** A stream in use: numbered messages, and consumer groups that read them. */

import { setTimeout as pause } from 'node:timers/promises'
import type { RedisServer } from './redis_server.ts'

/** Publishes message `number`; resolves once Redis has it. */
export async function publish(redis: RedisServer, key: string, number: number): Promise<void> {
  await redis.command('XADD', key, '*', 'number', String(number))
}

export interface Delivered {
  readonly id: string
  readonly number: number
}

/** Delivers up to `count` new messages to a group; returns none if there is nothing new. */
export async function readNext(redis: RedisServer, key: string, group: string, count: number): Promise<Delivered[]> {
  const args = ['XREADGROUP', 'GROUP', group, `${group}-consumer`, 'COUNT', String(count), 'STREAMS', key, '>']
  const reply = (await redis.command(...args)) as [string, [string, string[]][]][] | null
  return (reply?.[0]?.[1] ?? []).map(([id, fields]) => ({ id, number: Number(fields[1]) }))
}

async function acknowledge(
  redis: RedisServer,
  key: string,
  group: string,
  delivered: readonly Delivered[],
): Promise<void> {
  if (delivered.length > 0) await redis.command('XACK', key, group, ...delivered.map(({ id }) => id))
}

export interface Reader {
  /** The numbers of the messages delivered so far, in order. */
  readonly delivered: number[]
  /** Reads and acknowledges the rest, then stops. */
  finish(): Promise<void>
}

/**
 * A group that reads until `finish()` is called: `count` messages at a time while `mayRead` allows it. It acknowledges each
 * batch only after it has received the next one.
 */
export function startReader(
  redis: RedisServer,
  key: string,
  group: string,
  count: number,
  mayRead: (delivered: number) => boolean = () => true,
): Reader {
  const delivered: number[] = []
  let finishing = false
  const work = async (): Promise<void> => {
    let batch: Delivered[] = []
    for (;;) {
      const last = finishing
      const next = finishing || mayRead(delivered.length) ? await readNext(redis, key, group, count) : []
      delivered.push(...next.map(({ number }) => number))
      if (next.length > 0 || last) {
        await acknowledge(redis, key, group, batch)
        batch = next
      }
      if (last && next.length === 0) return
      if (!last) await pause(2)
    }
  }
  const done = work()
  done.catch(() => {})
  return {
    delivered,
    finish() {
      finishing = true
      return done
    },
  }
}

/** How many delivered messages a group has not acknowledged. */
export async function pendingOf(redis: RedisServer, key: string, group: string): Promise<number> {
  return Number(((await redis.command('XPENDING', key, group)) as [number])[0])
}

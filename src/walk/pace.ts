/** Bounds the share of time in which one Redis has any work of ours, and how much of it Redis has at once. */
import { setMaxListeners } from 'node:events'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection, Reply } from '../redis/connection.ts'
import { Fault } from '../redis/refusal.ts'
import { LEAST_COST, together } from '../retention/bites.ts'
import { settledOrStopped } from './stoppable.ts'

/** How long Redis may have work of ours, time and again, before a pause. */
const BURST_MS = 5
/** Timers have a grain of 1 ms: smaller pauses are saved up. */
const LEAST_PAUSE_MS = 2
/**
 * What Redis is given at once, as a share of the most that it may be: it does all of it before it serves anybody else,
 * and who comes meanwhile waits for as long: less than 0.1 ms.
 */
const MOST_AT_ONCE = 20 * LEAST_COST
/** Beyond a pace of so many percent that grows with it. */
const GENTLE_PERCENT = 12.5
/** Addresses come and go over months; which of them is forgotten costs one burst. */
const MOST_PACES = 1000

export interface Pace {
  /** What of Redis's time commands should take at most that are one work, where they may be several. */
  readonly mostAtOnce: number
  /** Runs the work when it is its turn, or at once when `stop` fires. What it waits for does not count as its time. */
  run<T>(work: () => Promise<T>, cost: number, stop: AbortSignal): Promise<T>
}

/**
 * A pace of `percent` (1 to 100): over a sweep, the time with work outstanding stays within that cost, and none is begun
 * before the last is done, unless they are small and come together. At 100 nothing ever waits. `ownMs` tells how long
 * this thread has computed, in ms.
 */
export function makePace(percent: number, ownMs: () => number): Pace {
  if (percent === 100) return { mostAtOnce: Number.POSITIVE_INFINITY, run: (work) => work() }
  return new OneBatchAtATime((100 - percent) / percent, MOST_AT_ONCE * Math.max(1, percent / GENTLE_PERCENT), ownMs)
}

/** Somebody who waits for a turn. */
interface Waiting {
  readonly cost: number
  readonly come: () => void
}

class OneBatchAtATime implements Pace {
  readonly mostAtOnce: number
  readonly #restPerBusyMs: number
  readonly #ownMs: () => number
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiting>()
  #outstanding = 0
  /** What is outstanding takes so much of Redis's time; more may join it as long as nothing of it is written. */
  #cost = 0
  #isOpen = false
  #isPaused = false
  #busySince = 0
  #ownMsBefore = 0
  #idleSince = performance.now()
  /** Since the last pause. */
  #burstMs = 0
  /** Rest that is owed to Redis; less than 0 where it had more than that. */
  #owedMs = 0

  constructor(restPerBusyMs: number, mostAtOnce: number, ownMs: () => number) {
    this.#restPerBusyMs = restPerBusyMs
    this.mostAtOnce = mostAtOnce
    this.#ownMs = ownMs
  }

  async run<T>(work: () => Promise<T>, cost: number, stop: AbortSignal): Promise<T> {
    await this.#turn(cost, stop)
    try {
      return await work()
    } catch (error) {
      // How long nobody answered is no work of Redis, and the pause for it would be many times as long.
      this.#busySince = performance.now()
      throw error
    } finally {
      this.#end()
    }
  }

  async #turn(cost: number, stop: AbortSignal): Promise<void> {
    const { promise, resolve: come } = Promise.withResolvers<void>()
    const waiting = { cost, come }
    this.#waiting.add(waiting)
    this.#letIn()
    if (!this.#waiting.has(waiting)) return
    await settledOrStopped(promise, stop)
    if (this.#waiting.delete(waiting)) this.#begin(cost)
  }

  #letIn(): void {
    for (const waiting of this.#waiting) {
      if (this.#isPaused) return
      const mayJoin = this.#isOpen && this.#cost + waiting.cost <= this.mostAtOnce
      if (this.#outstanding > 0 && !mayJoin) return
      this.#waiting.delete(waiting)
      this.#begin(waiting.cost)
      waiting.come()
    }
  }

  #begin(cost: number): void {
    this.#outstanding++
    this.#cost += cost
    if (this.#outstanding > 1) return
    this.#isOpen = true
    // What is asked in this turn of the event loop is written at its end, behind this: Redis knows of none of it before.
    setImmediate(this.#close)
    this.#busySince = performance.now()
  }

  readonly #close = (): void => {
    this.#isOpen = false
    this.#busySince = performance.now()
    this.#ownMsBefore = this.#ownMs()
  }

  /** What we did in a turn of the event loop that left something outstanding, we did while Redis was at work. */
  readonly #goOn = (): void => {
    if (this.#outstanding > 0 && !this.#isOpen) this.#ownMsBefore = this.#ownMs()
  }

  #end(): void {
    this.#outstanding--
    if (this.#outstanding > 0) {
      setImmediate(this.#goOn)
      return
    }
    this.#cost = 0
    const now = performance.now()
    // We computed before it was written and when the replies had come, and Redis did nothing.
    const ownMs = this.#ownMs() - this.#ownMsBefore
    const busyMs = Math.max(0, now - this.#busySince - ownMs)
    // All other time is rest, what we were busy with ourselves as much as a pause. It is not saved up for long.
    const restMs = now - this.#idleSince - busyMs
    this.#idleSince = now
    this.#burstMs += busyMs
    this.#owedMs = Math.max(-BURST_MS, this.#owedMs - restMs) + busyMs * this.#restPerBusyMs
    if (this.#burstMs < BURST_MS || this.#owedMs < LEAST_PAUSE_MS) {
      this.#letIn()
      return
    }
    this.#burstMs = 0
    this.#isPaused = true
    setTimeout(() => {
      this.#isPaused = false
      this.#letIn()
    }, this.#owedMs)
  }
}

/** One pace for each primary, whoever asks: a sweep, and what is done between sweeps. `ownMs` is as for `makePace`. */
export function makePaces(percent: number, ownMs: () => number): (address: Address) => Pace {
  const paces = new Map<string, Pace>()
  return (address) => {
    const name = formatAddress(address)
    const pace = paces.get(name) ?? makePace(percent, ownMs)
    if (paces.size >= MOST_PACES) paces.clear()
    paces.set(name, pace)
    return pace
  }
}

/**
 * Asks over a connection, at a pace, which `stop` and the end of the connection put an end to; who has to hurry may ask
 * for so many `times` as much at once.
 */
export function paced({ ask, ended }: Connection, pace: Pace, stop: AbortSignal, times = 1): Ask {
  const end = new AbortController()
  ended.then(() => end.abort())
  // Nobody waits for a turn to ask a connection that is gone.
  const hurry = AbortSignal.any([stop, end.signal])
  setMaxListeners(0, hurry)
  return async (commands, costs = commands.length * LEAST_COST) => {
    if (typeof costs === 'number') return pace.run(() => ask(commands), costs / times, hurry)
    let replies: Reply[] = []
    for (const { from, to, cost } of together(costs, pace.mostAtOnce * times)) {
      try {
        const more = await pace.run(() => ask(commands.slice(from, to)), cost / times, hurry)
        replies = from === 0 ? more : replies.concat(more)
      } catch (error) {
        throw error instanceof Fault ? error.behind(replies) : error
      }
    }
    return replies
  }
}

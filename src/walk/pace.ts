/** Bounds the share of time in which one Redis has any of our work, and how much work it gets at once. */
import { setMaxListeners } from 'node:events'
import { batchesWithin, LEAST_COST } from '../entries/bites.ts'
import { type Address, formatAddress } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Connection, Reply } from '../redis/connection.ts'
import { Fault } from '../redis/refusal.ts'
import { settledOrStopped } from './stoppable.ts'

/** How much work adds up before a pause. */
const BURST_MS = 5
/** Timers have a resolution of 1 ms, so shorter pauses are saved up. */
const LEAST_PAUSE_MS = 2
/**
 * Highest cost of what Redis gets at once. Redis finishes all of it before it serves another client, so this bounds how
 * long others wait: less than 0.1 ms.
 */
const MOST_AT_ONCE = 20 * LEAST_COST
/** Above this pace, in percent, that cost grows with the pace. */
const GENTLE_PERCENT = 12.5
/** Most paces kept. Addresses come and go over months; forgetting one costs a single burst. */
const MOST_PACES = 1000

export interface Pace {
  /** Highest cost that one command should have where the work can be split. */
  readonly mostAtOnce: number
  /** Runs the work when its turn comes, or at once when `stop` fires. */
  run<T>(work: () => Promise<T>, cost: number, stop: AbortSignal): Promise<T>
}

/**
 * A pace of `percent` (1 to 100): over a sweep, the time with work outstanding stays within that share. A batch begins
 * only after the one before it, unless both are small and come together. At 100 nothing ever waits. `ownMs` returns how
 * long this thread has computed, in ms.
 */
export function makePace(percent: number, ownMs: () => number): Pace {
  if (percent === 100) return { mostAtOnce: Number.POSITIVE_INFINITY, run: (work) => work() }
  return new OneBatchAtATime((100 - percent) / percent, MOST_AT_ONCE * Math.max(1, percent / GENTLE_PERCENT), ownMs)
}

/** A batch that waits for its turn. */
interface Waiting {
  readonly cost: number
  readonly come: () => void
}

/**
 * Gives Redis one batch at a time, then a pause in proportion to the time that the batch took.
 *
 * States: *idle* (nothing outstanding; the next batch begins at once), *open* (a batch has begun but is not written yet:
 * small batches of the same turn of the event loop join it), *busy* (written, waiting for replies; others wait), *paused*
 * (Redis rests; others wait). A batch moves idle → open; `#close` moves open → busy at the end of the turn; the last reply
 * moves busy → idle, or → paused once enough work has added up; a timer moves paused → idle.
 *
 * The trade-off: more batches in flight would finish sooner, but other clients would wait for all of them.
 */
class OneBatchAtATime implements Pace {
  readonly mostAtOnce: number
  readonly #restPerBusyMs: number
  readonly #ownMs: () => number
  /** In order of arrival. */
  readonly #waiting = new Set<Waiting>()
  #outstanding = 0
  /** The cost of what is outstanding. More may join while nothing of it is written. */
  #cost = 0
  #isOpen = false
  #isPaused = false
  #busySince = 0
  #ownMsBefore = 0
  #idleSince = performance.now()
  /** Since the last pause. */
  #burstMs = 0
  /** The rest owed to Redis; below 0 where it had more than was owed. */
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
      // Silence is not work: a pause in proportion to it would be many times as long.
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
    // node-redis writes at the end of this turn of the event loop, after this callback: until then Redis knows of nothing.
    setImmediate(this.#close)
    this.#busySince = performance.now()
  }

  readonly #close = (): void => {
    this.#isOpen = false
    this.#busySince = performance.now()
    this.#ownMsBefore = this.#ownMs()
  }

  /** What we computed in a turn that left a batch outstanding overlapped with Redis's work, so it is not subtracted. */
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
    // Subtract what we computed ourselves before the write and after the replies: Redis did nothing then.
    const ownMs = this.#ownMs() - this.#ownMsBefore
    const busyMs = Math.max(0, now - this.#busySince - ownMs)
    // All other time is rest, our own computing included. Rest is not saved up for long.
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

/** One pace for each primary, shared by the sweep and the work between sweeps. `ownMs` as for `makePace`. */
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
 * Asks over a connection at a pace. When `stop` fires or the connection ends, nothing waits for its turn any longer. With
 * `times`, work that is urgent may send that many times as much at once.
 */
export function paced({ ask, ended }: Connection, pace: Pace, stop: AbortSignal, times = 1): Ask {
  const end = new AbortController()
  ended.then(() => end.abort())
  // Do not wait for a turn on a connection that is gone.
  const hurry = AbortSignal.any([stop, end.signal])
  setMaxListeners(0, hurry)
  return async (commands, costs = commands.length * LEAST_COST) => {
    if (typeof costs === 'number') return pace.run(() => ask(commands), costs / times, hurry)
    let replies: Reply[] = []
    for (const { from, to, cost } of batchesWithin(costs, pace.mostAtOnce * times)) {
      try {
        const more = await pace.run(() => ask(commands.slice(from, to)), cost / times, hurry)
        replies = from === 0 ? more : replies.concat(more)
      } catch (error) {
        throw error instanceof Fault ? error.withEarlierReplies(replies) : error
      }
    }
    return replies
  }
}

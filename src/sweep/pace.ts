/** Bounds the share of time in which one Redis has any work of ours. */
import { type Address, formatAddress } from '../redis/address.ts'
import type { Connection } from '../redis/connection.ts'
import { orStop } from './or_stop.ts'

/** How long work may go on before a pause: short, so that other clients wait for little; a page is a few ms. */
const BURST_MS = 5
/** Timers have a grain of 1 ms: smaller pauses are saved up. */
const LEAST_PAUSE_MS = 2
/** Addresses come and go over months; which of them is forgotten costs one burst. */
const MOST_PACES = 1000

export interface Pace {
  /** Runs the work when it is its turn, or at once when `stop` fires. What it waits for does not count as its time. */
  run<T>(work: () => Promise<T>, stop: AbortSignal): Promise<T>
}

/**
 * A pace of `percent` (1 to 100): over a sweep, the time with work outstanding stays within that share. At 100 nothing
 * ever waits.
 */
export function makePace(percent: number): Pace {
  if (percent === 100) return { run: (work) => work() }
  const pausePerBusyMs = (100 - percent) / percent
  let outstanding = 0
  let burstStart = 0
  let idleSince = performance.now()
  /** Rest that is owed to Redis; less than 0 where it had more than that. */
  let owedMs = 0
  /** Resolves when the pause under way, or about to be, is over; null while work may start. */
  let pause: PromiseWithResolvers<void> | null = null

  const begin = (): void => {
    burstStart = performance.now()
  }

  const end = (): void => {
    const over = pause
    pause = null
    over?.resolve()
  }

  return {
    async run(work, stop) {
      while (pause !== null && !stop.aborted) await orStop(pause.promise, stop)
      if (outstanding === 0) {
        begin()
        // All of the time without work is rest, the pause and what we were busy with ourselves. It is not saved up for long.
        owedMs = Math.max(-BURST_MS, owedMs - (burstStart - idleSince))
      }
      outstanding++
      try {
        const done = work()
        // Commands are encoded and written at the end of this turn: Redis knows of none before that.
        if (outstanding === 1) setImmediate(begin)
        return await done
      } finally {
        outstanding--
        const busyMs = performance.now() - burstStart
        // Who comes from now on waits, so that what is outstanding drains and the pause can begin.
        if (pause === null && busyMs >= BURST_MS) pause = Promise.withResolvers()
        if (outstanding === 0) {
          idleSince = performance.now()
          owedMs += busyMs * pausePerBusyMs
          if (owedMs >= LEAST_PAUSE_MS) {
            pause ??= Promise.withResolvers()
            setTimeout(end, owedMs)
          } else {
            end()
          }
        }
      }
    },
  }
}

/** One pace for each primary, whoever asks: a sweep, and what is done between sweeps. */
export function makePaces(percent: number): (address: Address) => Pace {
  const paces = new Map<string, Pace>()
  return (address) => {
    const name = formatAddress(address)
    const pace = paces.get(name) ?? makePace(percent)
    if (paces.size >= MOST_PACES) paces.clear()
    paces.set(name, pace)
    return pace
  }
}

/** Asks over a connection, at a pace. */
export function paced({ ask }: Connection, pace: Pace, stop: AbortSignal): Connection['ask'] {
  return (commands) => pace.run(() => ask(commands), stop)
}

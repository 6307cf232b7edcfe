/** Reads the pause key, so that this copy obeys a pause, and tells of it. */
import type { PauseTerms } from '../config/config.ts'
import { Fault } from '../redis/refusal.ts'
import { CLAIMS_PER_TERM } from '../shared_keys/lease.ts'
import { type Pause, type PauseKey, pauseFields } from '../shared_keys/pause_key.ts'
import type { Log } from '../telemetry/log.ts'

/** Answers that say that the key cannot tell: it is not a string, or we may not read it. */
const CANNOT_TELL = ['WRONGTYPE', 'NOPERM']

/**
 * Reads the key at regular intervals and before each sweep.
 *
 * - Unknown: the first state. Sweeps run, since they would meet the same error; other work waits. It becomes open or paused
 *   with the first answer, and open after failing for a whole term: on a cluster, the other nodes may need trimming.
 * - Open: nobody paused, or Redis refused to tell (the key is not a string, or the ACL forbids it), which the log says.
 * - Paused: nothing is trimmed. While Redis does not answer, a pause lasts, but not longer than it was meant to.
 */
export class Pausing {
  readonly #key: PauseKey
  readonly #readEveryMs: number
  readonly #log: Log
  readonly #stop: AbortSignal
  readonly #onChange: (hasEnded: boolean) => void
  #reading: Promise<void> | null = null
  #nextRead: NodeJS.Timeout | undefined
  #state: 'unknown' | 'open' | 'paused' = 'unknown'
  #pause: Pause | null = null
  /** Readings that failed since the last answer. */
  #failures = 0
  #lastLogged = ''

  /** Calls `onChange` whenever the state changes, and tells whether a pause has ended. */
  constructor(
    key: PauseKey,
    { readEveryMs }: PauseTerms,
    log: Log,
    stop: AbortSignal,
    onChange: (hasEnded: boolean) => void,
  ) {
    this.#key = key
    this.#readEveryMs = readEveryMs
    this.#log = log
    this.#stop = stop
    this.#onChange = onChange
  }

  /** The pause in force; null if there is none. */
  get pause(): Pause | null {
    return this.#pause
  }

  /** Whether it is known that nobody paused. */
  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Reads the key now; further readings follow by themselves until `stop` fires. Never throws what Redis did. */
  read(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  async #read(): Promise<void> {
    clearTimeout(this.#nextRead)
    const askedAt = performance.now()
    try {
      this.#take(await this.#key.read(this.#stop))
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (!this.#stop.aborted) this.#fail(error)
    }
    if (this.#stop.aborted) return
    const waitMs = askedAt + this.#readEveryMs - performance.now()
    this.#nextRead = setTimeout(() => void this.read(), Math.max(0, waitMs))
    this.#nextRead.unref()
  }

  #take(pause: Pause | null): void {
    this.#failures = 0
    this.#lastLogged = ''
    this.#become(pause === null ? 'open' : 'paused', pause)
  }

  #fail(fault: Fault): void {
    this.#failures++
    if (
      CANNOT_TELL.includes(fault.code) ||
      this.#isOver() ||
      (this.#state === 'unknown' && this.#failures >= CLAIMS_PER_TERM)
    )
      this.#become('open', null)
    if (fault.code === this.#lastLogged) return
    this.#lastLogged = fault.code
    const { code: cause, message: reason } = fault
    this.#log.warn({ cause, reason, paused: this.#pause !== null }, 'could not read --pause-key')
  }

  /** Whether the pause has ended by itself, by our clock. */
  #isOver(): boolean {
    const untilMs = this.#pause?.untilMs ?? null
    return untilMs !== null && Date.now() > untilMs
  }

  #become(state: 'open' | 'paused', pause: Pause | null): void {
    const before = this.#state
    this.#state = state
    this.#pause = pause
    if (state === before) return
    if (pause !== null) this.#log.warn(pauseFields(pause), 'paused: nothing is trimmed')
    else if (before === 'paused') this.#log.info({}, 'resumed')
    this.#onChange(before === 'paused')
  }
}

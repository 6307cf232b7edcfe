/** Runs one sweep at a time, and decides which sweep goes first when two are wanted. */
import assert from 'node:assert/strict'
import type { SweepReport, SweepTask } from '../sweep/sweep.ts'
import { PRESSURE } from '../walk/walk.ts'
import type { Trigger } from './sweep_line.ts'

/** Runs one sweep, which ends early when `cut` fires. Null if this copy does not lead, and so did not sweep. */
export type RunSweep = (why: Trigger, changes: Partial<SweepTask>, cut: AbortSignal) => Promise<SweepReport | null>

/** The running sweep. */
interface Turn {
  readonly why: Trigger
  readonly cut: AbortController
  /** A sweep that already had to wait is not cut short: pressure that keeps coming back would never let it finish. */
  readonly mayBeCut: boolean
  readonly done: Promise<SweepReport | null>
}

/**
 * Runs sweeps one at a time until `stop` fires. Ticks are never queued: a late sweep finds what an early one would have
 * found, so a tick during a sweep is skipped. Memory pressure cannot wait for a gentler sweep to end, so it may cut one
 * short; in return, the sweep that was cut is made up for afterwards and cannot be cut again.
 *
 * - Free: no sweep is running. A tick makes it sweeping, pressure makes it relieving.
 * - Sweeping: a scheduled sweep is running. A tick is skipped. Pressure with a tighter length limit cuts the sweep short,
 *   then makes it relieving; pressure without one waits, because this sweep frees as much. Otherwise it becomes free.
 * - Relieving: a sweep under pressure is running, perhaps on some primaries only. The first tick is remembered. Afterwards,
 *   a successful sweep of all primaries has done the work of the tick or of the sweep that was cut, and it becomes free;
 *   else it becomes making up, or free if there is nothing to make up for.
 * - Making up: sweeping, but not to be cut short.
 */
export class Turns {
  readonly #stop: AbortSignal
  readonly #runSweep: RunSweep
  readonly #onSkip: (why: Trigger) => void
  readonly #onFree: () => void
  #turn: Turn | null = null
  /** The first tick during a sweep under pressure. */
  #rememberedTick: Trigger | null = null

  /** Calls `onSkip` for each tick that is skipped, and `onFree` whenever a sweep has ended. */
  constructor(stop: AbortSignal, runSweep: RunSweep, onSkip: (why: Trigger) => void, onFree: () => void) {
    this.#stop = stop
    this.#runSweep = runSweep
    this.#onSkip = onSkip
    this.#onFree = onFree
  }

  get isTaken(): boolean {
    return this.#turn !== null
  }

  /** Resolves when the running sweep, if any, has ended. */
  async untilFree(): Promise<void> {
    await this.#turn?.done
  }

  /** Starts a sweep for a tick, or skips or remembers the tick while another sweep is running. */
  take(why: Trigger): void {
    assert(why !== 'pressure', 'a sweep under pressure must be started by takeUnderPressure')
    if (this.#turn === null) this.#start(why, {}, true)
    else if (this.#turn.why === 'pressure') this.#rememberedTick ??= why
    else this.#onSkip(why)
  }

  /**
   * Sweeps at once. `isTighter` says whether this sweep uses a tighter length limit than a scheduled one. Null if another
   * sweep had the turn and did the work.
   */
  async takeUnderPressure(changes: Partial<SweepTask>, isTighter: boolean): Promise<SweepReport | null> {
    const before = this.#turn
    if (before !== null) {
      assert(before.why !== 'pressure', 'a sweep under pressure must end before the next one is wanted')
      if (isTighter && before.mayBeCut) before.cut.abort(PRESSURE)
      if ((await before.done)?.cause !== PRESSURE) return null
    }
    const report = await this.#start('pressure', changes, false)
    const tick = this.#rememberedTick
    this.#rememberedTick = null
    const owed = before?.why ?? tick
    // A successful sweep of all primaries brought every stream inside its policy, and so did the owed work too.
    if (report?.result !== 'success' || !report.whole) {
      if (owed !== null) this.#start(owed, {}, false)
    } else if (tick !== null) this.#onSkip(tick)
    return report
  }

  #start(why: Trigger, changes: Partial<SweepTask>, mayBeCut: boolean): Promise<SweepReport | null> {
    if (this.#stop.aborted || this.#turn !== null) return Promise.resolve(null)
    const cut = new AbortController()
    const done = this.#runSweep(why, changes, cut.signal).finally(() => {
      this.#turn = null
      this.#onFree()
    })
    this.#turn = { why, cut, mayBeCut, done }
    return done
  }
}

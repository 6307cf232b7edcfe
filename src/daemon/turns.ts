/** One sweep at a time: whose turn it is, who goes before whom, and what comes behind. */
import type { SweepReport, SweepTask } from '../sweep/sweep.ts'
import { PRESSURE } from '../walk/walk.ts'
import type { Trigger } from './sweep_line.ts'

/** Makes one sweep, which ends early when `cut` fires; null where it was not for this copy to make. */
export type MakeSweep = (why: Trigger, changes: Partial<SweepTask>, cut: AbortSignal) => Promise<SweepReport | null>

/** The sweep under way. */
interface Turn {
  readonly why: Trigger
  readonly cut: AbortController
  /** One that had to wait for another is not cut short: pressure that comes back again and again would keep it from its end for ever. */
  readonly mayBeCut: boolean
  readonly done: Promise<SweepReport | null>
}

/** Gives turns until `stop` fires. */
export class Turns {
  readonly #stop: AbortSignal
  readonly #makeSweep: MakeSweep
  readonly #onSkip: (why: Trigger) => void
  readonly #onFree: () => void
  #turn: Turn | null = null
  /** A tick that fell into a sweep under pressure. */
  #tick: Trigger | null = null

  /** `onFree` is told whenever a turn has ended. */
  constructor(stop: AbortSignal, makeSweep: MakeSweep, onSkip: (why: Trigger) => void, onFree: () => void) {
    this.#stop = stop
    this.#makeSweep = makeSweep
    this.#onSkip = onSkip
    this.#onFree = onFree
  }

  get isTaken(): boolean {
    return this.#turn !== null
  }

  /** Resolves when the sweep under way, if any, has ended. */
  async over(): Promise<void> {
    await this.#turn?.done
  }

  /**
   * Starts a sweep unless one is under way: a tick that comes too early is skipped, never queued. Under pressure it is
   * remembered, since that sweep may be over some primaries alone.
   */
  take(why: Trigger): void {
    if (this.#turn === null) this.#start(why, {}, true)
    else if (this.#turn.why === 'pressure') this.#tick ??= why
    else this.#onSkip(why)
  }

  /**
   * Sweeps at once: where it is tighter than the sweep under way, that one is cut short, and made again behind it; else
   * that one is as good, and waited for. Null where another had the turn.
   */
  async takeUnderPressure(changes: Partial<SweepTask>, isTighter: boolean): Promise<SweepReport | null> {
    const before = this.#turn
    if (before !== null) {
      if (isTighter && before.mayBeCut) before.cut.abort(PRESSURE)
      if ((await before.done)?.cause !== PRESSURE) return null
    }
    const report = await this.#start('pressure', changes, false)
    const tick = this.#tick
    this.#tick = null
    const owed = before?.why ?? tick
    // A success over all of the primaries held every stream to its policy, and did what was owed.
    if (report?.result !== 'success' || !report.whole) {
      if (owed !== null) this.#start(owed, {}, false)
    } else if (tick !== null) this.#onSkip(tick)
    return report
  }

  #start(why: Trigger, changes: Partial<SweepTask>, mayBeCut: boolean): Promise<SweepReport | null> {
    if (this.#stop.aborted || this.#turn !== null) return Promise.resolve(null)
    const cut = new AbortController()
    const done = this.#makeSweep(why, changes, cut.signal).finally(() => {
      this.#turn = null
      this.#onFree()
    })
    this.#turn = { why, cut, mayBeCut, done }
    return done
  }
}

/** What is done between sweeps, by the copy that leads: writes are watched, memory is guarded. */
import type { Config } from '../config/config.ts'
import type { Status } from '../http/status.ts'
import type { SweepTask } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { PressureGuard, type SweepUnderPressure } from './pressure_guard.ts'
import { Watching } from './watching.ts'

/** What of the daemon it works with. */
export interface Surroundings {
  readonly task: SweepTask
  readonly sweepUnderPressure: SweepUnderPressure
  readonly status: Status
  readonly log: Log
  readonly metrics: Metrics
  readonly onBug: (error: unknown) => void
}

/** Begins and ends with leadership, any number of times. */
export class BetweenSweeps {
  readonly #config: Config
  readonly #around: Surroundings
  #end = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(config: Config, around: Surroundings) {
    this.#config = config
    this.#around = around
  }

  /** Begins when this copy leads, and ends when it leads no more. */
  lead(isLeader: boolean): void {
    this.#end.abort()
    if (!isLeader) return
    this.#end = new AbortController()
    const { signal } = this.#end
    const { onBug } = this.#around
    this.#running = this.#running.then(() => this.#run(signal)).catch(onBug)
  }

  /** Brings the metrics to what is now. */
  tellMetrics(): void {
    this.#around.status.watch?.tellMetrics()
  }

  /** Ends it all, and resolves when what was in hand is counted. */
  async end(): Promise<void> {
    this.#end.abort()
    await this.#running
  }

  async #run(stop: AbortSignal): Promise<void> {
    if (stop.aborted) return
    const { task, sweepUnderPressure, status, log, metrics, onBug } = this.#around
    const { watch, pressure } = this.#config
    const watching = watch && new Watching(watch, this.#config, task, log, metrics, onBug)
    const guard = pressure && new PressureGuard(pressure, task, sweepUnderPressure, log, metrics)
    status.watch = watching
    status.pressure = guard
    await Promise.all([watching?.run(stop), guard?.run(stop)])
    status.watch = null
    status.pressure = null
  }
}

/** What the leader does between sweeps: it watches writes (`--watch`) and guards memory (`--pressure`). */
import type { Config } from '../config/config.ts'
import type { Policy } from '../retention/policy.ts'
import type { Status } from '../status_page/status.ts'
import type { SweepTask } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { PressureGuard, type SweepUnderPressure } from './pressure_guard.ts'
import { Watching } from './watching.ts'

/** The parts of the daemon that this work needs. */
export interface DaemonParts {
  readonly task: SweepTask
  /** The policies in force now, as they apply between sweeps. */
  readonly policies: () => readonly Policy[]
  readonly sweepUnderPressure: SweepUnderPressure
  readonly status: Status
  readonly log: Log
  readonly metrics: Metrics
  readonly onBug: (error: unknown) => void
}

/** Runs while this copy leads and nobody pauses, and starts again each time that becomes so. */
export class BetweenSweeps {
  readonly #config: Config
  readonly #daemon: DaemonParts
  #isActive = false
  #end = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(config: Config, daemon: DaemonParts) {
    this.#config = config
    this.#daemon = daemon
  }

  /** Starts the work, or ends it. */
  setActive(isActive: boolean): void {
    if (isActive === this.#isActive) return
    this.#isActive = isActive
    this.#end.abort()
    if (!isActive) return
    this.#end = new AbortController()
    const { signal } = this.#end
    const { onBug } = this.#daemon
    this.#running = this.#running.then(() => this.#run(signal)).catch(onBug)
  }

  updateMetrics(): void {
    this.#daemon.status.watch?.updateMetrics()
  }

  /** Ends the work, and resolves once the streams in progress are counted. */
  async end(): Promise<void> {
    this.#end.abort()
    await this.#running
  }

  async #run(stop: AbortSignal): Promise<void> {
    if (stop.aborted) return
    const { task, policies, sweepUnderPressure, status, log, metrics, onBug } = this.#daemon
    const { watch, pressure } = this.#config
    const watching = watch && new Watching(watch, this.#config, task, policies, log, metrics, status, onBug)
    const guard = pressure && new PressureGuard(pressure, task, sweepUnderPressure, log, metrics)
    status.watch = watching
    status.pressure = guard
    await Promise.all([watching?.run(stop), guard?.run(stop)])
    status.watch = null
    status.pressure = null
  }
}

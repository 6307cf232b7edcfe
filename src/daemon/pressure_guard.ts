/** Reads Redis's memory between sweeps, and calls for one where it passes the threshold. */
import type { PressureTerms } from '../config/config.ts'
import type { PressureStatus } from '../http/status.ts'
import { type Address, formatAddress } from '../redis/address.ts'
import { withConnection } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { addMemory, type Memory, readMemory } from '../redis/server_state.ts'
import { type Load, PressureGauge, thresholdBytes } from '../retention/pressure.ts'
import type { SweepReport, SweepTask } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { sleep } from '../walk/stoppable.ts'

/** How soon to look again when a sweep was called for and another one was under way. */
const AFTER_ANOTHER_MS = 100

/** Sweeps the primaries that are under pressure; null where that was not the moment. */
export type SweepUnderPressure = (only: (address: Address) => boolean) => Promise<SweepReport | null>

type Task = Pick<SweepTask, 'findPrimaries' | 'reach' | 'dryRun'>

/** A primary whose memory calls for a sweep, by its address as text. */
interface Pressed {
  readonly name: string
  readonly gauge: PressureGauge
  readonly usedBytes: number
  readonly threshold: number
}

/** Reads memory and calls for sweeps while it runs; what it last read is for the status page. */
export class PressureGuard implements PressureStatus {
  readonly #terms: PressureTerms
  readonly #task: Task
  readonly #sweep: SweepUnderPressure
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #gauges = new Map<string, PressureGauge>()
  /** What was told already and has not changed since. */
  readonly #told = new Set<string>()
  loads: PressureStatus['loads'] = []
  sweeps = 0

  constructor(terms: PressureTerms, task: Task, sweep: SweepUnderPressure, log: Log, metrics: Metrics) {
    this.#terms = terms
    this.#task = task
    this.#sweep = sweep
    this.#log = log
    this.#metrics = metrics
  }

  /** Guards until `stop` fires. Never throws what Redis did. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const { pressed, nextMs } = await this.#look(stop)
      const swept = pressed.length === 0 || stop.aborted || (await this.#relieve(pressed, stop))
      await sleep(swept ? nextMs : AFTER_ANOTHER_MS, stop)
    }
    this.loads = []
  }

  async #look(stop: AbortSignal): Promise<{ pressed: Pressed[]; nextMs: number }> {
    const memories = await this.#readMemories(stop)
    const pressed: Pressed[] = []
    const loads: PressureStatus['loads'][number][] = []
    let nextMs = this.#terms.intervalMs
    for (const [name, memory] of memories) {
      const load = loadOf(memory)
      const threshold = thresholdBytes(this.#terms.threshold, load)
      this.#tellOnce(`no maximum ${name}`, threshold === null, () =>
        this.#log.error(
          { address: name },
          '--pressure is a share of maxmemory, and Redis has none: set it, or give a size such as 2gb',
        ),
      )
      if (threshold === null) continue
      this.#tellOnce(`too late ${name}`, load.maxBytes > 0 && threshold >= load.maxBytes, () =>
        this.#log.warn(
          { address: name, threshold, maxBytes: load.maxBytes },
          '--pressure is not below maxmemory: Redis refuses writes before it is passed',
        ),
      )
      const gauge = this.#gauges.get(name) ?? new PressureGauge(this.#terms.intervalMs)
      this.#gauges.set(name, gauge)
      const { judgement, nextMs: soon } = gauge.judge(load, threshold, performance.now())
      nextMs = Math.min(nextMs, soon)
      // A dry run finds nothing it may remove, which says nothing of what a sweep would.
      const isHelpless = gauge.isHelpless && !this.#task.dryRun
      this.#tellOnce(`helpless ${name}`, isHelpless, () =>
        this.#log.warn(
          { address: name, ...load, threshold },
          'memory stays above --pressure, and trimming does not bring it down',
        ),
      )
      loads.push({ address: name, usedBytes: load.usedBytes, threshold, isHelpless })
      if (judgement === 'sweep') pressed.push({ name, gauge, usedBytes: load.usedBytes, threshold })
    }
    this.loads = loads
    return { pressed, nextMs }
  }

  /** Sweeps what is under pressure. @returns whether it was the moment for it */
  async #relieve(pressed: readonly Pressed[], stop: AbortSignal): Promise<boolean> {
    const names = new Set(pressed.map(({ name }) => name))
    for (const { name, usedBytes, threshold } of pressed)
      this.#log.warn({ address: name, usedBytes, threshold }, 'memory pressure')
    const report = await this.#sweep((address) => names.has(formatAddress(address)))
    if (report === null) return false
    this.sweeps++
    this.#metrics.recordPressureSweep()
    const after = await this.#readMemories(stop)
    for (const { name, gauge, usedBytes } of pressed) {
      const now = after.get(name)
      gauge.swept(now ? loadOf(now).usedBytes : usedBytes, report.result === 'success', performance.now())
    }
    return true
  }

  /** Of those primaries that answer, by their addresses as text: what finds the primaries makes new ones each time. */
  async #readMemories(stop: AbortSignal): Promise<Map<string, Memory>> {
    const { findPrimaries, reach } = this.#task
    const memories = new Map<string, Memory>()
    const note = (error: unknown): void => {
      if (!(error instanceof Fault)) throw error
      const { code, message } = error
      this.#tellOnce('unread', true, () => this.#log.warn({ cause: code, reason: message }, 'memory not read'))
    }
    try {
      const { addresses } = await findPrimaries(stop)
      const read = async (address: Address): Promise<void> => {
        memories.set(formatAddress(address), await withConnection(address, reach, stop, ({ ask }) => readMemory(ask)))
      }
      await Promise.all(addresses.map((address) => read(address).catch(note)))
      if (memories.size === addresses.length) {
        this.#tellOnce('unread', false, () => {})
        this.#metrics.setMemory([...memories.values()].reduce(addMemory))
      }
    } catch (error) {
      if (!stop.aborted) note(error)
    }
    return memories
  }

  /** Tells when something begins to hold, and again only after it has not held. */
  #tellOnce(what: string, holds: boolean, tell: () => void): void {
    if (!holds) this.#told.delete(what)
    else if (!this.#told.has(what)) {
      this.#told.add(what)
      tell()
    }
  }
}

/** What counts against the maximum. */
function loadOf({ usedBytes, uncountedBytes, maxBytes }: Memory): Load {
  return { usedBytes: usedBytes - uncountedBytes, maxBytes }
}

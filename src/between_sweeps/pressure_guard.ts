/** Reads Redis's memory between sweeps, and starts a sweep where it passes the threshold of `--pressure`. */
import assert from 'node:assert/strict'
import type { PressureTerms } from '../config/config.ts'
import { type Address, formatAddress } from '../redis/address.ts'
import { withConnection } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import { addMemory, type Memory, readMemory } from '../redis/server_state.ts'
import { type Load, PressureGauge, thresholdBytes } from '../retention/pressure.ts'
import type { PressureStatus } from '../status_page/status.ts'
import type { SweepReport, SweepTask } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { sleep } from '../walk/stoppable.ts'

/** How soon to read memory again after a wanted sweep did not run because another one was running. */
const AFTER_ANOTHER_MS = 100

/** Sweeps the primaries under pressure; null if another sweep had its turn instead. */
export type SweepUnderPressure = (only: (address: Address) => boolean) => Promise<SweepReport | null>

type Task = Pick<SweepTask, 'findPrimaries' | 'reach' | 'dryRun'>

/** A primary to sweep because of its memory; `name` is its address as text. */
interface PrimaryUnderPressure {
  readonly name: string
  readonly gauge: PressureGauge
  readonly usedBytes: number
  readonly threshold: number
}

/**
 * Guards the memory of all primaries. Reading memory costs almost nothing and a sweep costs a lot, so it reads often, and
 * leaves it to one PressureGauge for each primary to say when a sweep is worthwhile.
 *
 * A primary is in one of these states:
 * - calm: memory is below the threshold. It becomes pressed when a reading is above.
 * - pressed: the gauge asks for a sweep now. All pressed primaries are swept together, then become relieved. If another
 *   sweep was running, they stay pressed and are read again after AFTER_ANOTHER_MS.
 * - relieved: memory was just swept. It becomes calm when memory falls below the threshold, and pressed again after the
 *   gauge's wait or when memory grows (see PressureGauge).
 * - helpless: relieved, but the sweep freed almost nothing. The log says so once; the gauge waits longer and longer.
 *
 * A primary that does not answer keeps its state and is left out of that round.
 */
export class PressureGuard implements PressureStatus {
  readonly #terms: PressureTerms
  readonly #task: Task
  readonly #sweep: SweepUnderPressure
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #gauges = new Map<string, PressureGauge>()
  /** Conditions that hold and have been logged. */
  readonly #logged = new Set<string>()
  loads: PressureStatus['loads'] = []
  sweeps = 0

  constructor(terms: PressureTerms, task: Task, sweep: SweepUnderPressure, log: Log, metrics: Metrics) {
    this.#terms = terms
    this.#task = task
    this.#sweep = sweep
    this.#log = log
    this.#metrics = metrics
  }

  /** Guards until `stop` fires. Never throws for what Redis did. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      const { pressed, nextMs } = await this.#judgeMemory(stop)
      const swept = pressed.length === 0 || stop.aborted || (await this.#relieve(pressed, stop))
      await sleep(swept ? nextMs : AFTER_ANOTHER_MS, stop)
    }
    this.loads = []
  }

  /** Reads the memory of every primary. @returns those to sweep now, and when to read again */
  async #judgeMemory(stop: AbortSignal): Promise<{ pressed: PrimaryUnderPressure[]; nextMs: number }> {
    const memories = await this.#readMemories(stop)
    const pressed: PrimaryUnderPressure[] = []
    const loads: PressureStatus['loads'][number][] = []
    let nextMs = this.#terms.intervalMs
    for (const [name, memory] of memories) {
      const load = loadOf(memory)
      const threshold = thresholdBytes(this.#terms.threshold, load)
      this.#logOnce(`no maxmemory ${name}`, threshold === null, () =>
        this.#log.error(
          { address: name },
          '--pressure is a percentage of maxmemory, but Redis has no maxmemory: set one, or give a size such as 2gb',
        ),
      )
      if (threshold === null) continue
      this.#logOnce(`too high ${name}`, load.maxBytes > 0 && threshold >= load.maxBytes, () =>
        this.#log.warn(
          { address: name, threshold, maxBytes: load.maxBytes },
          '--pressure is not below maxmemory: Redis refuses writes before memory reaches it',
        ),
      )
      const gauge = this.#gauges.get(name) ?? new PressureGauge(this.#terms.intervalMs)
      this.#gauges.set(name, gauge)
      const { judgement, nextMs: waitMs } = gauge.judge(load, threshold, performance.now())
      nextMs = Math.min(nextMs, waitMs)
      // A dry run frees nothing, which does not mean that a sweep would not.
      const isHelpless = gauge.isHelpless && !this.#task.dryRun
      this.#logOnce(`helpless ${name}`, isHelpless, () =>
        this.#log.warn(
          { address: name, ...load, threshold },
          'memory stays above --pressure although streams are trimmed',
        ),
      )
      loads.push({ address: name, usedBytes: load.usedBytes, threshold, isHelpless })
      if (judgement === 'sweep') pressed.push({ name, gauge, usedBytes: load.usedBytes, threshold })
    }
    this.loads = loads
    return { pressed, nextMs }
  }

  /** Sweeps the primaries under pressure. @returns false if another sweep had its turn instead */
  async #relieve(pressed: readonly PrimaryUnderPressure[], stop: AbortSignal): Promise<boolean> {
    assert(pressed.length > 0, 'a sweep under pressure needs a primary under pressure')
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

  /** The memory of each primary that answers, by its address as text: address objects are new at every search. */
  async #readMemories(stop: AbortSignal): Promise<Map<string, Memory>> {
    const { findPrimaries, reach } = this.#task
    const memories = new Map<string, Memory>()
    const note = (error: unknown): void => {
      if (!(error instanceof Fault)) throw error
      const { code, message } = error
      this.#logOnce('unread', true, () => this.#log.warn({ cause: code, reason: message }, 'could not read memory'))
    }
    try {
      const { addresses } = await findPrimaries(stop)
      const read = async (address: Address): Promise<void> => {
        memories.set(formatAddress(address), await withConnection(address, reach, stop, ({ ask }) => readMemory(ask)))
      }
      await Promise.all(addresses.map((address) => read(address).catch(note)))
      if (memories.size === addresses.length) {
        this.#logOnce('unread', false, () => {})
        this.#metrics.setMemory([...memories.values()].reduce(addMemory))
      }
    } catch (error) {
      if (!stop.aborted) note(error)
    }
    return memories
  }

  /** Logs a condition when it begins to hold, and not again until it has ceased to hold. */
  #logOnce(condition: string, holds: boolean, log: () => void): void {
    if (!holds) this.#logged.delete(condition)
    else if (!this.#logged.has(condition)) {
      this.#logged.add(condition)
      log()
    }
  }
}

/** The memory that counts towards maxmemory. */
function loadOf({ usedBytes, uncountedBytes, maxBytes }: Memory): Load {
  return { usedBytes: usedBytes - uncountedBytes, maxBytes }
}

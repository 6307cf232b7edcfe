/** The daemon: sweeps on a schedule, one at a time, and reports over HTTP. */

import { BetweenSweeps } from '../between_sweeps/between_sweeps.ts'
import type { Config } from '../config/config.ts'
import { plain, type Routes, serve } from '../http/server.ts'
import { Leadership } from '../leadership/leadership.ts'
import { Pausing } from '../leadership/pausing.ts'
import { ReapMemory } from '../reap/reap_memory.ts'
import type { Address } from '../redis/address.ts'
import { Fault } from '../redis/refusal.ts'
import { FutureIds } from '../remembered/future_ids.ts'
import { tightened } from '../retention/policy.ts'
import { startCron } from '../schedule/cron.ts'
import { PauseKey } from '../shared_keys/pause_key.ts'
import { makeStatus, recordInStatus, type Status } from '../status_page/status.ts'
import { STATUS_PAGE_POLICY, statusPage } from '../status_page/status_page.ts'
import { type SweepReport, type SweepTask, sweep } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import { type Metrics, makeMetrics } from '../telemetry/metrics.ts'
import { LEASE_LOST, PAUSED } from '../walk/walk.ts'
import { IdleGc } from './idle_gc.ts'
import { Liveness, whyWedged } from './liveness.ts'
import { PoliciesInForce } from './policies_in_force.ts'
import { logSweep, type Trigger } from './sweep_line.ts'
import { Turns } from './turns.ts'

/**
 * Runs until `stop` fires, then returns once the pages in flight are counted.
 * @throws the system's error if it cannot listen, and any unexpected error
 */
export async function runDaemon(
  config: Config,
  task: SweepTask,
  version: string,
  log: Log,
  stop: AbortSignal,
): Promise<void> {
  const daemon = new Daemon(config, task, version, log, stop)
  const server = await serve(config.httpBind, daemon.routes())
  log.info({ host: server.host, port: server.port }, 'listening')
  try {
    await daemon.run()
  } finally {
    await server.close()
  }
  log.info({}, 'stopped')
}

class Daemon {
  readonly #config: Config
  readonly #log: Log
  readonly #stop: AbortSignal
  readonly #metrics: Metrics
  readonly #status: Status
  readonly #turns: Turns
  /** Null if `--lease` is off: then every copy sweeps. */
  readonly #leadership: Leadership | null
  readonly #policies: PoliciesInForce
  #task: SweepTask
  readonly #between: BetweenSweeps
  readonly #idleGc = new IdleGc()
  readonly #liveness = new Liveness()
  readonly #pausing: Pausing
  /** Stops the running sweep when the lease is lost, or when somebody pauses. */
  #cut = new AbortController()
  /**
   * Whether to sweep as soon as this copy leads and nobody pauses: a sweep was stopped because the lease was lost or for a
   * pause, or a tick passed without the lease or in a pause. Without the lease we cannot know whether the holder has swept.
   */
  #isSweepOwed = false
  #scheduled = false
  #onBug: (error: unknown) => void = () => {}

  constructor(config: Config, task: SweepTask, version: string, log: Log, stop: AbortSignal) {
    this.#config = config
    this.#log = log
    this.#stop = stop
    this.#metrics = makeMetrics(version, config.policies, config.groupMetrics > 0)
    this.#status = makeStatus(config, version, Date.now())
    this.#policies = new PoliciesInForce(config, log, this.#metrics, () => this.#takePolicies())
    this.#turns = new Turns(
      stop,
      (why, changes, cut) => this.#sweepIfLeader(why, changes, cut),
      (why) => this.#skip(why),
      () => {
        this.#idleGc.schedule()
        this.#sweepIfOwed('takeover')
      },
    )
    this.#task = { ...task, onAnswer: () => this.#liveness.step() }
    this.#between = new BetweenSweeps(config, {
      task: this.#task,
      policies: () => this.#policies.betweenSweeps,
      sweepUnderPressure: (only) => this.#sweepUnderPressure(only),
      status: this.#status,
      log,
      metrics: this.#metrics,
      onBug: (error) => this.#onBug(error),
    })
    this.#leadership =
      config.lease && new Leadership(config.lease, config.redis, log, stop, (isLeader) => this.#setLeader(isLeader))
    this.#metrics.setLeader(this.#status.isLeader)
    const { topology, reach } = config.redis
    const pauseKey = new PauseKey(config.pause.key, topology, reach)
    this.#pausing = new Pausing(pauseKey, config.pause, log, stop, (hasEnded) => this.#setPaused(hasEnded))
  }

  /** Resolves after a stop; rejects on a bug. */
  async run(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#onBug = reject
      const endCron = startCron(this.#config.cron, () => {
        this.#expectNext()
        this.#turns.take('schedule')
      })
      this.#scheduled = true
      this.#idleGc.schedule()
      this.#expectNext()
      this.#leadership?.start()
      void this.#pausing.read()
      const end = (): void => {
        this.#scheduled = false
        endCron()
        this.#log.info({ sweeping: this.#turns.isTaken }, 'stopping')
        Promise.all([this.#turns.untilFree(), this.#between.end()])
          .then(() => this.#leadership?.end())
          .then(resolve, reject)
      }
      this.#stop.addEventListener('abort', end, { once: true })
      if (this.#stop.aborted) end()
      else if (this.#config.runOnStart) this.#turns.take('start')
    })
  }

  routes(): Routes {
    return {
      '/': () => {
        this.#status.anotherLeads = this.#leadership?.anotherLeads ?? false
        this.#status.policyFile = this.#policies.status
        this.#status.pause = this.#pausing.pause
        const body = statusPage(this.#status, Date.now())
        return { status: 200, type: 'text/html; charset=utf-8', body, policy: STATUS_PAGE_POLICY }
      },
      '/metrics': async () => {
        this.#between.updateMetrics()
        return { status: 200, type: this.#metrics.contentType, body: await this.#metrics.text() }
      },
      '/healthz': () => {
        const why = this.#whyWedged()
        return why === null ? plain(200, 'ok') : plain(503, why)
      },
      '/readyz': () => (this.#scheduled ? plain(200, 'ok') : plain(503, 'not scheduled')),
    }
  }

  #expectNext(): void {
    const next = this.#config.cron.nextAfter(Date.now())
    this.#liveness.expectTick(next)
    this.#status.nextSweepMs = next
    this.#metrics.setNextSweep(next ?? 0)
  }

  #whyWedged(): string | null {
    const { redis, pacePercent } = this.#config
    return whyWedged(this.#liveness.progress(this.#turns.isTaken), redis.reach.replyTimeoutMs, pacePercent)
  }

  #skip(why: Trigger): void {
    this.#metrics.recordSkippedSweep()
    this.#log.warn({ trigger: why }, 'sweep skipped: the previous one is still running')
  }

  #sweepUnderPressure(only: (address: Address) => boolean): Promise<SweepReport | null> {
    const isTighter = this.#policies.policies.some(({ maxLength }) => this.#pressureMaxLength < maxLength)
    return this.#turns.takeUnderPressure({ only }, isTighter)
  }

  get #pressureMaxLength(): number {
    return this.#config.pressure?.maxLength ?? Number.POSITIVE_INFINITY
  }

  /** Sweeps by the new policies from now on. */
  #takePolicies(): void {
    const { policies } = this.#policies
    // New policies may cover streams that no sweep has asked for IDs in the future, and reap what the old ones kept.
    this.#task = { ...this.#task, policies, futureIds: new FutureIds(), reapMemory: new ReapMemory() }
    this.#metrics.setPolicies(policies)
    this.#status.policies = policies
  }

  /** Null if this copy does not lead, or after an unexpected error, which ends the daemon. */
  async #sweepIfLeader(why: Trigger, changes: Partial<SweepTask>, cut: AbortSignal): Promise<SweepReport | null> {
    this.#idleGc.cancel()
    this.#liveness.step()
    try {
      // Copies that do not lead read the file too: one of them may have to take over.
      await this.#policies.reload(this.#stop)
      return await this.#claimAndSweep(why, changes, cut)
    } catch (error) {
      this.#onBug(error)
      return null
    } finally {
      this.#status.sweeping = false
    }
  }

  async #claimAndSweep(why: Trigger, changes: Partial<SweepTask>, cut: AbortSignal): Promise<SweepReport | null> {
    const [claim] = await Promise.all([this.#leadership?.claim(), this.#pausing.read()])
    if (claim instanceof Fault) {
      // The sweep would meet the same error, so count and report it as a failed sweep.
      const report = await this.#sweep(why, { findPrimaries: () => Promise.reject(claim) }, cut)
      this.#isSweepOwed = true
      return report
    }
    if (claim?.kind === 'other') {
      this.#isSweepOwed = true
      // Redis answered the claim. This copy makes no sweeps that would show that Redis is up.
      this.#metrics.setRedisUp()
      this.#metrics.recordSkippedSweep()
      this.#log.debug({ trigger: why }, 'sweep skipped: another copy holds the lease')
      return null
    }
    if (this.#pausing.pause !== null) {
      this.#isSweepOwed = true
      this.#metrics.recordSkippedSweep()
      this.#log.debug({ trigger: why }, 'sweep skipped: paused')
      return null
    }
    const leaseLeftMs = claim?.kind === 'held' ? Math.round(claim.untilMs - performance.now()) : undefined
    return this.#sweep(why, changes, cut, leaseLeftMs)
  }

  /** A new leader makes up for an owed sweep at once. A former leader stops the running sweep. */
  #setLeader(isLeader: boolean): void {
    this.#status.isLeader = isLeader
    this.#metrics.setLeader(isLeader)
    this.#between.setActive(isLeader && this.#pausing.isOpen)
    if (!isLeader) this.#cut.abort(LEASE_LOST)
    this.#sweepIfOwed('takeover')
  }

  /** In a pause nothing is trimmed, neither by the running sweep nor between sweeps. A leader then makes up for it. */
  #setPaused(hasEnded: boolean): void {
    const isPaused = this.#pausing.pause !== null
    this.#metrics.setPaused(isPaused)
    this.#between.setActive(this.#status.isLeader && this.#pausing.isOpen)
    if (isPaused) this.#cut.abort(PAUSED)
    this.#sweepIfOwed(hasEnded ? 'resume' : 'takeover')
  }

  #sweepIfOwed(why: Trigger): void {
    const maySweep = this.#status.isLeader && this.#pausing.isOpen && !this.#turns.isTaken
    if (this.#isSweepOwed && maySweep) this.#turns.take(why)
  }

  async #sweep(
    why: Trigger,
    changes: Partial<SweepTask>,
    cut: AbortSignal,
    leaseLeftMs?: number,
  ): Promise<SweepReport> {
    this.#cut = new AbortController()
    this.#status.sweeping = true
    this.#liveness.step()
    this.#log.debug({ trigger: why, leaseLeftMs }, 'sweep started')
    const stop = AbortSignal.any([this.#stop, this.#cut.signal, cut])
    // Under memory pressure, `--pressure-max-length` applies where it is tighter than the policy.
    const policies =
      why === 'pressure'
        ? this.#task.policies.map((policy) => tightened(policy, this.#pressureMaxLength))
        : this.#task.policies
    const report = await sweep({ ...this.#task, policies, ...changes }, stop)
    const endedAtMs = Date.now()
    if (why !== 'pressure') this.#isSweepOwed = report.cause === LEASE_LOST || report.cause === PAUSED
    recordInStatus(this.#status, report, endedAtMs)
    this.#metrics.recordSweep(report, endedAtMs)
    logSweep(report, why, this.#log)
    return report
  }
}

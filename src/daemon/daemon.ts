/** The daemon: a schedule, one sweep at a time, and what can be asked about it over HTTP. */
import type { Config } from '../config/config.ts'
import { plain, type Routes, serve } from '../http/server.ts'
import { makeStatus, recordInStatus, type Status } from '../http/status.ts'
import { STATUS_PAGE_POLICY, statusPage } from '../http/status_page.ts'
import type { Address } from '../redis/address.ts'
import { Fault } from '../redis/refusal.ts'
import { tightened } from '../retention/policy.ts'
import { startCron } from '../schedule/cron.ts'
import { type SweepReport, type SweepTask, sweep } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import { type Metrics, makeMetrics } from '../telemetry/metrics.ts'
import { LEASE_LOST } from '../walk/walk.ts'
import { BetweenSweeps } from './between_sweeps.ts'
import { Leadership } from './leadership.ts'
import { Liveness, whyWedged } from './liveness.ts'
import { Rest } from './rest.ts'
import { logSweep, type Trigger } from './sweep_line.ts'
import { Turns } from './turns.ts'

/**
 * Runs until `stop` fires, then returns when the page in hand is counted.
 * @throws the system's error where it cannot listen, and whatever is a bug
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
  /** Null where every copy may sweep. */
  readonly #leadership: Leadership | null
  readonly #task: SweepTask
  readonly #between: BetweenSweeps
  readonly #rest = new Rest()
  readonly #liveness = new Liveness()
  /** Ends the sweep under way when the lease is lost. */
  #lost = new AbortController()
  /**
   * A sweep is owed: one was ended for want of the lease, or a tick went by without it, and whether its holder swept then, only
   * that one knows.
   */
  #overdue = false
  #scheduled = false
  #onBug: (error: unknown) => void = () => {}

  constructor(config: Config, task: SweepTask, version: string, log: Log, stop: AbortSignal) {
    this.#config = config
    this.#log = log
    this.#stop = stop
    this.#metrics = makeMetrics(version, config.policies)
    this.#status = makeStatus(config, version, Date.now())
    this.#turns = new Turns(
      stop,
      (why, changes, cut) => this.#sweepIfLeader(why, changes, cut),
      (why) => this.#skip(why),
      () => {
        this.#rest.begin()
        this.#makeUp()
      },
    )
    this.#task = { ...task, onAnswer: () => this.#liveness.step() }
    this.#between = new BetweenSweeps(config, {
      task: this.#task,
      sweepUnderPressure: (only) => this.#sweepUnderPressure(only),
      status: this.#status,
      log,
      metrics: this.#metrics,
      onBug: (error) => this.#onBug(error),
    })
    this.#leadership =
      config.lease && new Leadership(config.lease, config.redis, log, stop, (isLeader) => this.#lead(isLeader))
    this.#metrics.setLeader(this.#status.isLeader)
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
      this.#rest.begin()
      this.#expectNext()
      this.#leadership?.start()
      if (this.#leadership === null) this.#between.lead(true)
      const end = (): void => {
        this.#scheduled = false
        endCron()
        this.#log.info({ sweeping: this.#turns.isTaken }, 'stopping')
        Promise.all([this.#turns.over(), this.#between.end()])
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
        const body = statusPage(this.#status, Date.now())
        return { status: 200, type: 'text/html; charset=utf-8', body, policy: STATUS_PAGE_POLICY }
      },
      '/metrics': async () => {
        this.#between.tellMetrics()
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
    this.#log.warn({ trigger: why }, 'sweep skipped: the one before is still running')
  }

  /** With the tighter length limit, where there is one. */
  #sweepUnderPressure(only: (address: Address) => boolean): Promise<SweepReport | null> {
    const maxLength = this.#config.pressure?.maxLength ?? Number.POSITIVE_INFINITY
    const policies = this.#config.policies.map((policy) => tightened(policy, maxLength))
    const isTighter = policies.some((policy) => policy.maxLength < policy.own.maxLength)
    return this.#turns.takeUnderPressure({ only, policies }, isTighter)
  }

  /** A bug ends the daemon, and is no sweep. */
  async #sweepIfLeader(why: Trigger, changes: Partial<SweepTask>, cut: AbortSignal): Promise<SweepReport | null> {
    this.#rest.end()
    this.#liveness.step()
    try {
      return await this.#claimAndSweep(why, changes, cut)
    } catch (error) {
      this.#onBug(error)
      return null
    } finally {
      this.#status.sweeping = false
    }
  }

  async #claimAndSweep(why: Trigger, changes: Partial<SweepTask>, cut: AbortSignal): Promise<SweepReport | null> {
    const standing = await this.#leadership?.claim()
    if (standing instanceof Fault) {
      // The sweep would meet the same: it fails with what the lease was refused for.
      const report = await this.#sweep(why, { findPrimaries: () => Promise.reject(standing) }, cut)
      this.#overdue = true
      return report
    }
    if (standing?.kind === 'other') {
      this.#overdue = true
      // Redis said who holds it. No sweep of this copy would ever tell.
      this.#metrics.setRedisUp()
      this.#metrics.recordSkippedSweep()
      this.#log.debug({ trigger: why }, 'sweep skipped: another holds the lease')
      return null
    }
    const leaseLeftMs = standing?.kind === 'held' ? Math.round(standing.untilMs - performance.now()) : undefined
    return this.#sweep(why, changes, cut, leaseLeftMs)
  }

  /** Becoming the leader is no reason to wait for the next tick where a sweep is owed; ceasing to be ends the one under way. */
  #lead(isLeader: boolean): void {
    this.#status.isLeader = isLeader
    this.#metrics.setLeader(isLeader)
    this.#between.lead(isLeader)
    if (!isLeader) this.#lost.abort(LEASE_LOST)
    this.#makeUp()
  }

  /** Sweeps if one is owed, and this is the copy and the moment for it. */
  #makeUp(): void {
    if (this.#overdue && this.#status.isLeader && !this.#turns.isTaken) this.#turns.take('takeover')
  }

  async #sweep(
    why: Trigger,
    changes: Partial<SweepTask>,
    cut: AbortSignal,
    leaseLeftMs?: number,
  ): Promise<SweepReport> {
    this.#lost = new AbortController()
    this.#status.sweeping = true
    this.#liveness.step()
    this.#log.debug({ trigger: why, leaseLeftMs }, 'sweep begins')
    const stop = AbortSignal.any([this.#stop, this.#lost.signal, cut])
    const report = await sweep({ ...this.#task, ...changes }, stop)
    const endedAtMs = Date.now()
    if (why !== 'pressure') this.#overdue = report.cause === LEASE_LOST
    recordInStatus(this.#status, report, endedAtMs)
    this.#metrics.recordSweep(report, endedAtMs)
    logSweep(report, why, this.#log)
    return report
  }
}

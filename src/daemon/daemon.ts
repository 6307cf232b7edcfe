/** The daemon: a schedule, one sweep at a time, and what can be asked about it over HTTP. */
import type { Config } from '../config/config.ts'
import { plain, type Routes, serve } from '../http/server.ts'
import type { Status } from '../http/status.ts'
import { statusPage } from '../http/status_page.ts'
import { formatAddress } from '../redis/address.ts'
import { sweepFields } from '../report/json.ts'
import { startCron } from '../schedule/cron.ts'
import { type SweepReport, sweep } from '../sweep/sweep.ts'
import type { Log } from '../telemetry/log.ts'
import { type Metrics, makeMetrics } from '../telemetry/metrics.ts'
import { whyWedged } from './liveness.ts'
import { sweepTask } from './task.ts'

/** Why a sweep was started. */
type Trigger = 'start' | 'schedule'

/**
 * Runs until `stop` fires, then returns when the page in hand is counted.
 * @throws the system's error where it cannot listen, and whatever is a bug
 */
export async function runDaemon(config: Config, version: string, log: Log, stop: AbortSignal): Promise<void> {
  const daemon = new Daemon(config, version, log, stop)
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
  /** The sweep under way. */
  #running: Promise<void> | null = null
  /** performance.now() of its last progress. */
  #stepAt = 0
  #scheduled = false

  constructor(config: Config, version: string, log: Log, stop: AbortSignal) {
    this.#config = config
    this.#log = log
    this.#stop = stop
    this.#metrics = makeMetrics(version, config.policies)
    this.#status = {
      version,
      startedAtMs: Date.now(),
      dryRun: config.dryRun,
      policies: config.policies,
      sweeping: false,
      last: null,
      nextSweepMs: null,
    }
  }

  /** Resolves after a stop; rejects on a bug. */
  async run(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const trigger = (why: Trigger): void => this.#trigger(why, reject)
      const endCron = startCron(this.#config.cron, () => {
        this.#expectNext()
        trigger('schedule')
      })
      this.#scheduled = true
      this.#expectNext()
      const end = (): void => {
        this.#scheduled = false
        endCron()
        this.#log.info({ sweeping: this.#running !== null }, 'stopping')
        Promise.resolve(this.#running).then(() => resolve(), reject)
      }
      this.#stop.addEventListener('abort', end, { once: true })
      if (this.#stop.aborted) end()
      else if (this.#config.runOnStart) trigger('start')
    })
  }

  routes(): Routes {
    return {
      '/': () => ({ status: 200, type: 'text/html; charset=utf-8', body: statusPage(this.#status, Date.now()) }),
      '/metrics': async () => ({ status: 200, type: this.#metrics.contentType, body: await this.#metrics.text() }),
      '/healthz': () => {
        const why = this.#whyWedged()
        return why === null ? plain(200, 'ok') : plain(503, why)
      },
      '/readyz': () => (this.#scheduled ? plain(200, 'ok') : plain(503, 'not scheduled')),
    }
  }

  #expectNext(): void {
    const next = this.#config.cron.nextAfter(Date.now())
    this.#status.nextSweepMs = next
    this.#metrics.setNextSweep(next ?? 0)
  }

  #whyWedged(): string | null {
    const { redis, pacePercent } = this.#config
    const progress = {
      nextTickMs: this.#status.nextSweepMs,
      sinceStepMs: this.#running === null ? null : performance.now() - this.#stepAt,
    }
    return whyWedged(progress, Date.now(), redis.reach.replyTimeoutMs, pacePercent)
  }

  /** Starts a sweep unless one is under way: a tick that comes too early is skipped and counted, never queued. */
  #trigger(why: Trigger, onBug: (error: unknown) => void): void {
    if (this.#stop.aborted) return
    if (this.#running !== null) {
      this.#metrics.recordSkippedSweep()
      this.#log.warn({ trigger: why }, 'sweep skipped: the one before is still running')
      return
    }
    this.#status.sweeping = true
    this.#running = this.#sweep(why)
      .catch(onBug)
      .finally(() => {
        this.#running = null
        this.#status.sweeping = false
      })
  }

  async #sweep(why: Trigger): Promise<void> {
    const step = (): void => {
      this.#stepAt = performance.now()
    }
    step()
    this.#log.debug({ trigger: why, redis: this.#config.redis.addresses.map(formatAddress) }, 'sweep begins')
    const report = await sweep({ ...sweepTask(this.#config, this.#log), onProgress: step }, this.#stop)
    const endedAtMs = Date.now()
    this.#status.last = { report, endedAtMs }
    this.#metrics.recordSweep(report, endedAtMs)
    logSweep(report, why, this.#log)
  }
}

/** A sweep's line is its tally. A failure is the operator's business at once; a stop was asked for. */
function logSweep(report: SweepReport, trigger: Trigger, log: Log): void {
  for (const [command, neededFor] of report.missing) {
    log.warn({ command, neededFor }, 'the ACL does not allow a command')
  }
  const fields = { trigger, ...sweepFields(report) }
  if (report.failure === null) log.info(fields, 'sweep')
  else if (report.result === 'partial') log.warn(fields, 'sweep')
  else log.error(fields, 'sweep')
}

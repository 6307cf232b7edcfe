/** The policies that hold the streams now. With `--policy-file` they can change while the daemon runs. */
import type { Config } from '../config/config.ts'
import { policyFields } from '../report/json.ts'
import { type Policy, sizeLimitsOnly } from '../retention/policy.ts'
import type { PolicyFileStatus } from '../status_page/status.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { sleep } from '../walk/stoppable.ts'

/**
 * A file that changed must read the same again after this time in ms, or it may be half written. Half a file may be valid
 * and hold streams to fewer policies, or to smaller numbers, than the whole.
 */
const SETTLE_MS = 500

/**
 * Reads the file again before each sweep. A valid version comes into force. While the file is invalid, the last valid version
 * stays in force, and the log tells of each set of problems once.
 */
export class PoliciesInForce {
  readonly #file: Config['policyFile']
  readonly #log: Log
  readonly #metrics: Metrics
  readonly #onChange: () => void
  #policies: readonly Policy[]
  #betweenSweeps: readonly Policy[]
  #status: PolicyFileStatus | null

  /** Calls `onChange` after the policies have changed. */
  constructor({ policies, policyFile }: Config, log: Log, metrics: Metrics, onChange: () => void) {
    this.#file = policyFile
    this.#log = log
    this.#metrics = metrics
    this.#onChange = onChange
    this.#policies = policies
    this.#betweenSweeps = policies.map(sizeLimitsOnly)
    this.#status = policyFile && { version: policyFile.version, sinceMs: Date.now(), problems: [] }
    metrics.recordReload(true, Date.now())
  }

  get policies(): readonly Policy[] {
    return this.#policies
  }

  /** The same policies, as they apply between sweeps. */
  get betweenSweeps(): readonly Policy[] {
    return this.#betweenSweeps
  }

  /** The version in force, and what is wrong with the file since then. Null without `--policy-file`. */
  get status(): PolicyFileStatus | null {
    return this.#status
  }

  /** Reads the file again. A change takes force only once the file stays as it is, or else at a later call. */
  async reload(stop: AbortSignal): Promise<void> {
    if (this.#file === null || this.#status === null) return
    const read = this.#file.readAgain()
    if (!this.#isKnown(read)) {
      await sleep(SETTLE_MS, stop)
      if (identityOf(this.#file.readAgain()) !== identityOf(read)) return
    }
    this.#metrics.recordReload(!('problems' in read), Date.now())
    if ('problems' in read) this.#keep(read.problems)
    else this.#take(read.policies, read.fileVersion ?? '')
  }

  /** Whether the last reading gave the same. */
  #isKnown(read: Reading): boolean {
    const { version, problems } = this.#status as PolicyFileStatus
    return identityOf(read) === (problems.length > 0 ? identityOf({ problems }) : version)
  }

  #keep(problems: readonly string[]): void {
    const status = this.#status as PolicyFileStatus
    if (identityOf({ problems }) === identityOf({ problems: status.problems })) return
    this.#status = { ...status, problems }
    this.#log.warn(
      { problems, version: status.version },
      'could not reload --policy-file: the last valid version stays in force',
    )
  }

  #take(policies: readonly Policy[], version: string): void {
    const status = this.#status as PolicyFileStatus
    if (version === status.version) {
      if (status.problems.length > 0) this.#log.info({ version }, '--policy-file is valid again, and unchanged')
      this.#status = { ...status, problems: [] }
      return
    }
    this.#policies = policies
    this.#betweenSweeps = policies.map(sizeLimitsOnly)
    this.#status = { version, sinceMs: Date.now(), problems: [] }
    this.#onChange()
    this.#log.info({ version, policies: policies.map(policyFields) }, 'reloaded --policy-file')
  }
}

type Reading = { readonly fileVersion: string | null } | { readonly problems: readonly string[] }

function identityOf(read: Reading): string {
  return 'problems' in read ? read.problems.join('\n') : (read.fileVersion ?? '')
}

/** How a sweep or a plan ended: its result, and why it was not a success. */
import { sumOfReasons } from '../retention/policy.ts'
import { entriesOf, type PolicyTally } from '../tally/tally.ts'
import { counted } from '../text/counted.ts'
import { LEASE_LOST, PAUSED, PRESSURE, type Walk } from '../walk/walk.ts'

export const RESULTS = ['success', 'partial', 'failed', 'stopped', 'skipped'] as const

/** How it ended. */
export interface Verdict {
  readonly result: Exclude<(typeof RESULTS)[number], 'skipped'>
  /** Why it failed or stopped: a code of FAULT_CODES, `stop`, `archive`, `lease-lost`, `pressure`, `paused` or `sweep-timeout`; null for a success. */
  readonly cause: string | null
  /** The same for people. */
  readonly message: string | null
  /** The label under which a failure is counted: a code of FAULT_CODES, or `archive`; null for a success and for a requested stop. */
  readonly failure: string | null
}

/** The verdict on a walk that did not see everything; null for one that did. */
export function verdictOn({ stopped, faults, primaries }: Walk): Verdict | null {
  // That the whole cluster is down says more than which of its primaries are down.
  const fault = faults.find(({ code }) => code === 'CLUSTERDOWN') ?? faults[0]
  if (stopped === 'stop') return { result: 'stopped', cause: stopped, message: 'asked to stop', failure: null }
  if (stopped === LEASE_LOST)
    return { result: 'stopped', cause: stopped, message: 'another holds the lease now, or may', failure: null }
  if (stopped === PRESSURE)
    return { result: 'stopped', cause: stopped, message: 'memory pressure calls for a sweep at once', failure: null }
  if (stopped === PAUSED)
    return { result: 'stopped', cause: stopped, message: 'somebody paused trimming', failure: null }
  if (stopped !== null) {
    return { result: 'stopped', cause: stopped, message: '--sweep-timeout passed', failure: 'timeout' }
  }
  if (fault === undefined) return null
  // A MOVED fault does not mean that a primary is down.
  const down = faults.filter(({ code }) => code !== 'MOVED').length
  const result = down < primaries || fault.code === 'MOVED' ? 'partial' : 'failed'
  const messages = new Set([fault, ...faults].map(({ message }) => message))
  return { result, cause: fault.code, message: [...messages].join('; '), failure: fault.code }
}

/** How a failure of the archive is counted. */
export const ARCHIVE_FAILED = 'archive'

/** The verdict on a walk whose archive failed; null where it did not. What was archived before that was trimmed too. */
export function verdictOnArchive(
  fault: Error | null,
  { archived, removed }: Pick<PolicyTally, 'archived' | 'removed'>,
): Verdict | null {
  if (fault === null) return null
  const result = archived + sumOfReasons(removed) > 0 ? 'partial' : 'failed'
  return { result, cause: ARCHIVE_FAILED, message: fault.message, failure: ARCHIVE_FAILED }
}

/** The verdict on a walk that saw everything: a success unless Redis refused streams; partial if it refused only some. */
export function verdictOnStreams(
  { errors, streams }: Pick<PolicyTally, 'errors' | 'streams'>,
  refusals: ReadonlyMap<string, string>,
): Verdict {
  const [worst] = entriesOf(errors).sort((a, b) => b[1] - a[1])
  if (worst === undefined) return { result: 'success', cause: null, message: null, failure: null }
  const refused = Object.values(errors).reduce((sum, n) => sum + n, 0)
  return {
    result: refused < streams ? 'partial' : 'failed',
    cause: worst[0],
    message: `Redis refused ${refused} of ${counted(streams, 'stream', 'streams')}, the first with ${refusals.get(worst[0])}`,
    failure: worst[0],
  }
}

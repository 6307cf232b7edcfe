/** One sweep: every primary, every matching stream, once. It always ends in a report. */
import type { Memory } from '../redis/server_state.ts'
import type { Policy } from '../retention/policy.ts'
import { counted } from '../text/counted.ts'
import type { LongStream } from './longest.ts'
import { sweepPage } from './page.ts'
import { entriesOf, type HeldStream, type Outcome, type PolicyTally, sumOf, Tally } from './tally.ts'
import { LEASE_LOST, PRESSURE, type Walk, type WalkTask, walk } from './walk.ts'

export const RESULTS = ['success', 'partial', 'failed', 'stopped', 'skipped'] as const

/** How it ended. */
export interface Verdict {
  readonly result: Exclude<(typeof RESULTS)[number], 'skipped'>
  /** Why it was no success: a code of FAULT_CODES, `stop`, `lease-lost`, `pressure` or `sweep-timeout`; null for a success. */
  readonly cause: string | null
  /** The same for people. */
  readonly message: string | null
  /** What a failure is counted under: a code of FAULT_CODES; null for a success, and for a stop that was asked for. */
  readonly failure: string | null
}

/** How a sweep ended and what it did. */
export interface SweepReport extends Verdict {
  readonly durationMs: number
  /** Whether every primary was seen to its end. */
  readonly whole: boolean
  /** Of the primaries that answered; null where none did. */
  readonly memory: Memory | null
  readonly policies: readonly PolicyTally[]
  readonly total: PolicyTally
  /** Commands an ACL does not allow, and what needs them. */
  readonly missing: ReadonlyMap<string, string>
  readonly longest: readonly LongStream[]
  /** Streams that a consumer group held back, the first few of them. */
  readonly held: readonly HeldStream[]
}

export interface SweepTask extends WalkTask {
  readonly longestStreams: number
  readonly dryRun: boolean
  readonly onProgress?: (tally: Tally) => void
  /** Told of every stream that was not simply inside its policy. */
  readonly onOutcome?: (policy: Policy, outcome: Outcome) => void
}

/** Sweeps once. When `stop` fires no new page is started, and the page in hand is counted. Never throws what Redis did. */
export async function sweep(task: SweepTask, stop: AbortSignal): Promise<SweepReport> {
  const tally = new Tally(task.policies, task.longestStreams)
  const { policies, dryRun, onOutcome = () => {} } = task
  const missing = (command: string, neededFor: string): void => {
    tally.missing.set(command, neededFor)
  }
  const walked = await walk(
    task,
    stop,
    async (page) => {
      await sweepPage({ ...page, policies, dryRun, tally, missing, onOutcome }).finally(() => task.onProgress?.(tally))
    },
    missing,
  )
  const total = sumOf(tally.policies)
  return {
    ...(verdictOn(walked) ?? verdictOnStreams(total, tally.refusals)),
    durationMs: walked.durationMs,
    whole: walked.whole,
    memory: walked.memory,
    policies: tally.policies,
    total,
    missing: tally.missing,
    longest: tally.longest.list(),
    held: tally.held,
  }
}

/** How a walk ended that did not see everything, or null for one that did. */
export function verdictOn({ stopped, faults, primaries }: Walk): Verdict | null {
  // That the whole cluster is down says more than which of its primaries are.
  const fault = faults.find(({ code }) => code === 'CLUSTERDOWN') ?? faults[0]
  if (stopped === 'stop') return { result: 'stopped', cause: stopped, message: 'asked to stop', failure: null }
  if (stopped === LEASE_LOST)
    return { result: 'stopped', cause: stopped, message: 'another holds the lease now, or may', failure: null }
  if (stopped === PRESSURE)
    return { result: 'stopped', cause: stopped, message: 'memory pressure calls for a sweep at once', failure: null }
  if (stopped !== null) {
    return { result: 'stopped', cause: stopped, message: '--sweep-timeout passed', failure: 'timeout' }
  }
  if (fault === undefined) return null
  // What moved is no primary that is down.
  const down = faults.filter(({ code }) => code !== 'MOVED').length
  const result = down < primaries || fault.code === 'MOVED' ? 'partial' : 'failed'
  const messages = new Set([fault, ...faults].map(({ message }) => message))
  return { result, cause: fault.code, message: [...messages].join('; '), failure: fault.code }
}

/** A success saw every stream through, as no word of `errors` says. Where some were refused and some were not, it is partial. */
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

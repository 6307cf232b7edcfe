/** One sweep: every primary, every matching stream, once. It always ends in a report. */

import type { Address } from '../redis/address.ts'
import { type Connection, connect, type Reach, type Reply } from '../redis/connection.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { type Policy, scanPattern } from '../retention/policy.ts'
import { pagesOfKeys } from './keys.ts'
import type { LongStream } from './longest.ts'
import { makePace } from './pace.ts'
import { sweepPage } from './page.ts'
import type { Ask } from './stream.ts'
import { type Outcome, type PolicyTally, sumOf, Tally } from './tally.ts'

export const RESULTS = ['success', 'partial', 'failed', 'stopped', 'skipped'] as const

/** Memory of one or all primaries, in bytes. A maximum of 0 is none. */
export interface Memory {
  readonly usedBytes: number
  readonly maxBytes: number
}

/** How a sweep ended and what it did. */
export interface SweepReport {
  readonly result: Exclude<(typeof RESULTS)[number], 'skipped'>
  /** Why it was no success: a code of FAULT_CODES, `stop` or `sweep-timeout`; null for a success. */
  readonly cause: string | null
  /** The same for people. */
  readonly message: string | null
  readonly durationMs: number
  /** What a failure is counted under: a code of FAULT_CODES; null for a success, and for a stop that was asked for. */
  readonly failure: string | null
  /** Whether every primary was seen to its end. */
  readonly whole: boolean
  /** Whether any primary answered at all. */
  readonly reached: boolean
  readonly memory: Memory | null
  readonly policies: readonly PolicyTally[]
  readonly total: PolicyTally
  readonly errors: ReadonlyMap<string, number>
  readonly missing: ReadonlyMap<string, string>
  readonly longest: readonly LongStream[]
}

export interface SweepTask {
  /** Finds the primaries as they are now. May throw a Fault. */
  readonly findPrimaries: (stop: AbortSignal) => Promise<readonly Address[]>
  readonly reach: Reach
  readonly policies: readonly Policy[]
  /** Streams in hand at a time. */
  readonly pageSize: number
  readonly pacePercent: number
  /** Milliseconds after which it stops by itself; Infinity for never. */
  readonly sweepTimeoutMs: number
  readonly longestStreams: number
  readonly dryRun: boolean
  readonly onProgress?: (tally: Tally) => void
  readonly onOutcome?: (policy: Policy, outcome: Outcome) => void
}

/** Pages in flight: while Redis answers one, another is on its way and a third is being counted. */
const PAGES_IN_FLIGHT = 4

/** Sweeps once. When `stop` fires no new page is started, and the page in hand is counted. Never throws what Redis did. */
export async function sweep(task: SweepTask, stop: AbortSignal): Promise<SweepReport> {
  const start = performance.now()
  const timeout = new AbortController()
  const timer = Number.isFinite(task.sweepTimeoutMs)
    ? setTimeout(() => timeout.abort(), task.sweepTimeoutMs)
    : undefined
  const ending = AbortSignal.any([stop, timeout.signal])
  const tally = new Tally(task.policies, task.longestStreams)
  const faults: Fault[] = []
  const memories: Memory[] = []
  let primaries: readonly Address[] = []
  try {
    primaries = await task.findPrimaries(ending)
    await Promise.all(
      primaries.map(async (address) => {
        const fault = await sweepPrimary(address, task, tally, ending, (memory) => memories.push(memory))
        if (fault !== null) faults.push(fault)
      }),
    )
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    faults.push(error)
  } finally {
    clearTimeout(timer)
  }
  const stopped = stop.aborted ? 'stop' : timeout.signal.aborted ? 'sweep-timeout' : null
  return {
    ...judge(tally, faults, primaries.length, stopped),
    whole: faults.length === 0 && stopped === null,
    durationMs: performance.now() - start,
    reached: memories.length > 0,
    memory: memories.length === 0 ? null : memories.reduce(addMemory),
    policies: tally.policies,
    total: sumOf(tally.policies),
    errors: tally.errors,
    missing: tally.missing,
    longest: tally.longest.list(),
  }
}

type Verdict = Pick<SweepReport, 'result' | 'cause' | 'message' | 'failure'>

/** A success held every stream to its policy. Where some were and some were not, it is partial. */
function judge(tally: Tally, faults: readonly Fault[], primaries: number, stopped: string | null): Verdict {
  const [fault] = faults
  if (stopped === 'stop') return { result: 'stopped', cause: stopped, message: 'asked to stop', failure: null }
  if (stopped !== null) {
    return { result: 'stopped', cause: stopped, message: '--sweep-timeout passed', failure: 'timeout' }
  }
  if (fault !== undefined) {
    const result = faults.length < primaries ? 'partial' : 'failed'
    return { result, cause: fault.code, message: fault.message, failure: fault.code }
  }
  const [worst] = [...tally.errors].sort((a, b) => b[1] - a[1])
  if (worst === undefined) return { result: 'success', cause: null, message: null, failure: null }
  const refused = [...tally.errors.values()].reduce((sum, n) => sum + n, 0)
  const { streams } = sumOf(tally.policies)
  return {
    result: refused < streams ? 'partial' : 'failed',
    cause: worst[0],
    message: `Redis refused ${refused} of ${streams} streams`,
    failure: worst[0],
  }
}

/** Sweeps one primary over a connection of its own. @returns the fault that ended it, or null */
async function sweepPrimary(
  address: Address,
  task: SweepTask,
  tally: Tally,
  stop: AbortSignal,
  onMemory: (memory: Memory) => void,
): Promise<Fault | null> {
  let connection: Connection | undefined
  try {
    connection = await connect(address, task.reach, stop)
    const { nowMs, memory } = await readServer(connection.ask, tally)
    onMemory(memory)
    await sweepPages(connection.ask, nowMs, task, tally, stop)
    return null
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  } finally {
    connection?.close()
  }
}

async function sweepPages(ask: Ask, nowMs: number, task: SweepTask, tally: Tally, stop: AbortSignal): Promise<void> {
  const pace = makePace(task.pacePercent, stop)
  const context = {
    ask: (commands: Parameters<Ask>[0]) => pace.run(() => ask(commands)),
    policies: task.policies,
    nowMs,
    stop,
    dryRun: task.dryRun,
    tally,
    onOutcome: task.onOutcome ?? (() => {}),
  }
  const inFlight = new Set<Promise<void>>()
  let failed: unknown
  const pageSize = Math.max(1, Math.ceil(task.pageSize / PAGES_IN_FLIGHT))
  for await (const keys of pagesOfKeys(context.ask, scanPattern(task.policies), pageSize)) {
    if (stop.aborted || failed !== undefined) break
    const page = sweepPage(keys, context)
      .catch((error: unknown) => {
        failed ??= error
      })
      .finally(() => {
        inFlight.delete(page)
        task.onProgress?.(tally)
      })
    inFlight.add(page)
    if (inFlight.size >= PAGES_IN_FLIGHT) await Promise.race(inFlight)
  }
  await Promise.all(inFlight)
  if (failed !== undefined) throw failed
}

/** Redis's clock, the only judge of age, and its memory. */
async function readServer(ask: Ask, tally: Tally): Promise<{ nowMs: number; memory: Memory }> {
  const [time, info] = await ask([['TIME'], ['INFO', 'memory']])
  if (time instanceof Refusal) throw Fault.of(time)
  const [seconds, microseconds] = (time as [Buffer, Buffer]).map(Number) as [number, number]
  if (info instanceof Refusal) tally.missing.set('INFO', 'xtrimd_redis_memory_used_bytes')
  return { nowMs: seconds * 1000 + Math.floor(microseconds / 1000), memory: readMemory(info ?? null) }
}

function readMemory(info: Reply): Memory {
  const text = info instanceof Refusal ? '' : String(info)
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return { usedBytes: field('used_memory'), maxBytes: field('maxmemory') }
}

function addMemory(a: Memory, b: Memory): Memory {
  return { usedBytes: a.usedBytes + b.usedBytes, maxBytes: a.maxBytes + b.maxBytes }
}

/**
 * Archives what is due on one primary before it is trimmed.
 *
 * A stream goes through rounds. In each, its oldest due entries go to the open segment of its policy, and the stream waits
 * until that segment is durable. Then it is looked at anew and trimmed, never beyond what is archived. Many streams wait for
 * one segment, because object stores charge for each. A stream with more entries than a segment holds goes through several
 * rounds, so that Redis gets smaller meanwhile.
 */

import type { StreamId } from '../entries/stream_id.ts'
import { isDue } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import type { Batching } from '../look/in_batches.ts'
import { lookAtPage } from '../look/look.ts'
import { lastIdIfIdle } from '../reap/reap_stream.ts'
import { NOTHING_REAPED } from '../reap/reaped.ts'
import { Fault } from '../redis/refusal.ts'
import { endingBy } from '../redis/refused.ts'
import { type Policy, sumOfReasons } from '../retention/policy.ts'
import { Budget } from '../spill/budget.ts'
import { OpenSegments } from '../spill/open_segments.ts'
import { spillStream } from '../spill/spill_stream.ts'
import { ArchiveFault, type Store } from '../store/store.ts'
import { trimDue } from '../trim/trim_due.ts'
import { leftAsFound, type Trimmed } from '../trim/trimmed.ts'
import { LEASE_LOST, PAUSED } from '../walk/walk.ts'
import { added, after, asFound, type SoFar, type Waiting } from './archive_rounds.ts'
import { countOutcome, countUnseen } from './count.ts'
import { desertedOf, type FinishContext, finishStream, firstFault, ifTrimmed } from './finish.ts'

/** The archive as a sweep uses it. */
export interface ArchiveTask {
  /** Opens the store, or returns the one that is open. */
  readonly openStore: () => Promise<Store>
  readonly segmentBytes: number
}

export interface ArchiveContext extends FinishContext {
  /** Highest cost that one command should have. */
  readonly mostAtOnce: number
  readonly batching?: Batching
}

/** Bytes of entries on their way from Redis at a time. */
const MOST_BYTES = 2 * 1024 * 1024
/** Most streams that wait for a segment. Each takes a few hundred bytes; beyond this the segment is stored as it is. */
const MOST_WAITING = 50_000
/** Streams trimmed together once they are archived. */
const PAGE_SIZE = 200
/** After a stop was asked for, a request to the archive gets as long as Redis does. */
const STOP_GRACE_MS = 2000

const NOTHING: StreamId = { ms: 0n, seq: 0n }

export class ArchiveFirst {
  readonly #context: ArchiveContext
  readonly #segments: OpenSegments
  readonly #budget = new Budget(MOST_BYTES)
  /** What was archived is removed even after a stop, until the connection closes; but not if nothing may be trimmed anymore. */
  readonly #halt = new AbortController()
  /** Whether a request to the archive was given up because of a stop. */
  #isCutOff = false
  #waiting: Waiting[] = []
  readonly #forgetStop: () => void

  constructor(task: ArchiveTask, context: ArchiveContext) {
    this.#context = context
    const { policies, tally, stop } = context
    const late = new AbortController()
    const startGrace = (): void => {
      if (stop.reason === LEASE_LOST || stop.reason === PAUSED) this.#halt.abort()
      setTimeout(() => {
        this.#isCutOff = this.#segments.fault === null
        late.abort()
      }, STOP_GRACE_MS).unref()
    }
    if (stop.aborted) startGrace()
    else stop.addEventListener('abort', startGrace, { once: true })
    this.#forgetStop = () => stop.removeEventListener('abort', startGrace)
    this.#segments = new OpenSegments(task.openStore, task.segmentBytes, late.signal, {
      stored: (name, { entries, bytes }) => {
        tally.addArchived(
          policies.findIndex((policy) => policy.name === name),
          entries,
          bytes,
        )
      },
    })
  }

  /** Why the archive failed; null if it did not, or was only not waited for after a stop. */
  get failure(): ArchiveFault | null {
    return this.#isCutOff ? null : this.#segments.fault
  }

  /** Takes streams that are due. They may still wait when this resolves. @returns a fault that ends the sweep, or null */
  async take(streams: readonly Found[]): Promise<Fault | null> {
    const begin = async (stream: Found): Promise<Fault | null> => {
      const deserted = await desertedOf(stream, this.#context)
      return this.#archive(stream, { length: stream.state.length, deserted, trimmed: null })
    }
    const faults = await Promise.all(streams.map(begin))
    return firstFault([...faults, await this.#goOn()])
  }

  /** Stores what is open, and finishes all streams. @throws Fault */
  async end(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#halt.signal.aborted) {
      await this.#flush()
      const fault = (await this.#goOn()) ?? (this.#segments.fault === null ? null : await this.#giveUp())
      if (fault !== null) throw fault
    }
  }

  /** Counts the streams that still wait, where the connection failed. What is not durable is dropped: nothing of it was removed. */
  async close(): Promise<void> {
    this.#forgetStop()
    await this.#segments.abandon()
    for (const waiting of this.#waiting.splice(0)) this.#countWaiting(waiting)
  }

  /** Counts a stream that nothing more happens to. */
  #countWaiting(waiting: Waiting): void {
    const stream = asFound(waiting)
    countOutcome(stream, added(waiting.soFar, leftAsFound(stream)), NOTHING_REAPED, this.#context)
  }

  /** One round of a stream, up to its wait. */
  async #archive(stream: Found, soFar: SoFar): Promise<Fault | null> {
    if (this.#segments.fault !== null) return this.#trimByHardLimits(stream, soFar)
    const { policies, nowMs, stop, ask, reapMemory, living, mostAtOnce } = this.#context
    const limits = policies[stream.policy] as Policy
    try {
      const deserted = ifTrimmed(soFar.deserted, soFar.trimmed)
      const reaping = { ask, limits, nowMs, stop, deserted, archivedBefore: NOTHING }
      const last = reapMemory && living ? await lastIdIfIdle(stream, { ...reaping, reapMemory, living }) : null
      const spilled =
        last === null && !isDue(stream, limits, nowMs)
          ? { before: null, hold: null }
          : await spillStream(
              stream,
              {
                ...{ ask, limits, nowMs, stop, mostAtOnce, budget: this.#budget },
                add: (...lines) => this.#segments.add(limits.name, ...lines),
                isDurable: (segment) => this.#segments.isDurable(limits.name, segment),
              },
              last,
            )
      if (spilled.before === null) {
        // It was looked at: a group may hold it, and approx may leave a node.
        const left = { ...leftAsFound(stream), hold: spilled.hold, attempted: !stop.aborted }
        return this.#finish({ ...stream, archivedBefore: NOTHING }, left, soFar)
      }
      const { key, policy, state, hasTimeIds } = stream
      this.#waiting.push({ key, policy, length: state.length, hasTimeIds, ...spilled, soFar })
      if (this.#waiting.length >= MOST_WAITING) await this.#flush()
      return null
    } catch (error) {
      if (error instanceof ArchiveFault) return this.#trimByHardLimits(stream, soFar)
      const left = { ...leftAsFound(stream), ...endingBy(error), attempted: true }
      return this.#finish({ ...stream, archivedBefore: NOTHING }, left, soFar)
    }
  }

  /** Trims the streams whose entries are durable, and archives on in those that have more. */
  async #goOn(): Promise<Fault | null> {
    for (let ready = this.#takeReady(); ready.length > 0; ready = this.#takeReady()) {
      for (let from = 0; from < ready.length; from += PAGE_SIZE) {
        const fault = await this.#trimArchived(ready.slice(from, from + PAGE_SIZE)).catch((error: unknown) => {
          if (!(error instanceof Fault)) throw error
          return error
        })
        if (fault === null) continue
        // They are counted when this is closed.
        this.#waiting.push(...ready.slice(from + PAGE_SIZE))
        return fault
      }
    }
    return null
  }

  #takeReady(): Waiting[] {
    const isReady = ({ policy, segment }: Waiting): boolean =>
      this.#segments.isDurable((this.#context.policies[policy] as Policy).name, segment)
    const { ready = [], not = [] } = Object.groupBy(this.#waiting, (one) => (isReady(one) ? 'ready' : 'not'))
    this.#waiting = not
    return ready
  }

  /** @throws Fault when the look fails */
  async #trimArchived(page: readonly Waiting[]): Promise<Fault | null> {
    const { ask, policies, nowMs, batching } = this.#context
    const waiting = new Map(page.map((one) => [one.key.toString('latin1'), one]))
    const of = ({ key }: { readonly key: Buffer }): Waiting => waiting.get(key.toString('latin1')) as Waiting
    const keys = page.map(({ key }) => key)
    const { found, unseen } = await lookAtPage(ask, keys, policies, nowMs, batching).catch((error: unknown) => {
      this.#waiting.push(...page)
      throw error
    })
    for (const stream of unseen) {
      if (of(stream).soFar.trimmed === null) countUnseen(stream, this.#context)
      else this.#countWaiting(of(stream))
    }
    // Exactly what is archived goes. Were part of a node left, it would be archived again by the next sweep.
    const exact = policies.map((policy): Policy => ({ ...policy, trim: 'exact' }))
    return trimDue(
      found.map((stream) => ({ ...stream, archivedBefore: of(stream).before })),
      {
        ...this.#context,
        stop: this.#halt.signal,
        policies: exact,
        onTrimmed: (stream, trimmed) => {
          const { isCutShort, soFar } = of(stream)
          return this.#hasMore(stream, trimmed, isCutShort)
            ? this.#archive(after(stream, trimmed), { ...soFar, trimmed: added(soFar, trimmed) })
            : this.#finish(stream, trimmed, soFar)
        },
      },
    )
  }

  /** Whether another round may remove more: one was cut short, or what goes for `--max-bytes` was estimated too low. */
  #hasMore({ policy }: Found, { removed, refused, fault, memoryBytes }: Trimmed, isCutShort: boolean): boolean {
    if (refused !== null || fault !== null || this.#context.stop.aborted || sumOfReasons(removed) === 0) return false
    return isCutShort || (removed.bytes > 0 && memoryBytes > (this.#context.policies[policy] as Policy).maxBytes)
  }

  async #flush(): Promise<void> {
    try {
      await this.#segments.flush()
    } catch (error) {
      if (!(error instanceof ArchiveFault)) throw error
    }
  }

  /** The archive does not work: only the hard limits apply to what waits for it. */
  async #giveUp(): Promise<Fault | null> {
    const waiting = this.#waiting.splice(0)
    const faults: (Fault | null)[] = []
    for (const one of waiting) faults.push(await this.#trimByHardLimits(asFound(one), one.soFar))
    return firstFault(faults)
  }

  async #trimByHardLimits(stream: Found, soFar: SoFar): Promise<Fault | null> {
    const { policies } = this.#context
    const { hardMaxAgeMs, hardMaxLength } = policies[stream.policy] as Policy
    const held = { ...stream, archivedBefore: NOTHING }
    if (![hardMaxAgeMs, hardMaxLength].some(Number.isFinite)) return this.#finish(held, leftAsFound(stream), soFar)
    const onTrimmed = (stream: Found, trimmed: Trimmed): Promise<Fault | null> => this.#finish(stream, trimmed, soFar)
    return trimDue([held], { ...this.#context, mayTrimUnarchived: true, onTrimmed })
  }

  #finish(stream: Found, trimmed: Trimmed, soFar: SoFar): Promise<Fault | null> {
    const counted = { ...stream, state: { ...stream.state, length: soFar.length } }
    return finishStream(counted, added(soFar, trimmed), soFar.deserted, this.#context)
  }
}

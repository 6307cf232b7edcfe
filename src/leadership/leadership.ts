/** Claims and renews the lease, and so decides whether this copy of the daemon is the leader, the one that sweeps. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { Fault } from '../redis/refusal.ts'
import { CLAIMS_PER_TERM, type Claim, Lease, type LeaseTerms } from '../shared_keys/lease.ts'
import type { Log } from '../telemetry/log.ts'

/** How long releasing the lease may delay the end of the process. */
const RELEASE_MS = 1000

/** The answer to a claim, or the error that came instead. */
export type ClaimResult = Claim | Fault

/**
 * Holds the lease for one copy, from the first claim to the release.
 *
 * The trade-off: two leaders only do the same work twice, while no leader lets streams grow. So a leader that gets no answer
 * stays leader for as long as Redis cannot have given the lease to another, and every copy leads when nobody can hold it.
 *
 * - Follower: the first state; this copy does not sweep. It becomes holder when a claim succeeds, and leads without a lease
 *   when a claim is answered `open`.
 * - Holder: leads until the term is over, counted on the monotonic clock from before the claim was sent. Each successful
 *   renewal extends it. It becomes a follower when another copy has the lease or when the term ends without a renewal, and
 *   leads on without a lease after the answer `open`.
 * - Leading without a lease: nobody can hold it (Redis is out of memory, or the lease's node is down). It becomes holder
 *   or follower with the next answer, and a follower if no answer comes for a whole term.
 * - Over: after `end`, from any state. The lease is released, so that another copy can take it at once.
 *
 * Independent of the state, a claim whose answer was lost may have succeeded; then `end` releases the lease as well.
 */
export class Leadership {
  readonly #lease: Lease
  readonly #ttlMs: number
  readonly #log: Log
  readonly #stop: AbortSignal
  readonly #onChange: (isLeader: boolean) => void
  #claiming: Promise<ClaimResult> | null = null
  #isLeader = false
  /** Whether the last answer was that we hold the lease. */
  #isHeld = false
  /** Whether a claim without an answer may have succeeded. */
  #mayBeHeld = false
  /** The end of the term on the monotonic clock. A process that was frozen may find that it has passed. */
  #untilMs = 0
  #nextClaim: NodeJS.Timeout | undefined
  #isOver = false
  #expiry: NodeJS.Timeout | undefined
  /** The kind of the last result, to log only changes. */
  #lastLogged = ''

  /** Calls `onChange` whenever this copy becomes the leader or ceases to be. */
  constructor(
    terms: LeaseTerms,
    { topology, reach }: Config['redis'],
    log: Log,
    stop: AbortSignal,
    onChange: (isLeader: boolean) => void,
  ) {
    this.#lease = new Lease(terms, randomUUID(), topology, reach)
    this.#ttlMs = terms.ttlMs
    this.#log = log
    this.#stop = stop
    this.#onChange = onChange
  }

  /** Whether the last answer was that another copy holds the lease. */
  get anotherLeads(): boolean {
    return this.#lastLogged === 'other'
  }

  /** Sends the first claim; further ones follow by themselves. */
  start(): void {
    void this.claim()
  }

  /** Claims or renews the lease now. Returns a Fault instead of throwing it. */
  claim(): Promise<ClaimResult> {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = null
    })
    return this.#claiming
  }

  /** Stops claiming and releases the lease. */
  async end(): Promise<void> {
    assert(!this.#isOver, 'leadership must end only once')
    this.#isOver = true
    clearTimeout(this.#nextClaim)
    await this.#claiming
    clearTimeout(this.#expiry)
    const wasHeld = this.#isHeld
    if (!wasHeld && !this.#mayBeHeld) return
    this.#setLeader(false)
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Fault('timeout', `no reply within ${RELEASE_MS} ms`)), RELEASE_MS)
    })
    await Promise.race([this.#lease.release(), timeout]).then(
      (wasOurs) => {
        if (wasOurs) this.#log.info({}, 'released the lease')
        else if (wasHeld) this.#log.info({}, 'did not release the lease: it was no longer ours')
      },
      (error: unknown) => {
        const { message } = error as Error
        if (wasHeld) this.#log.warn({ reason: message }, 'could not release the lease: it will expire by itself')
      },
    )
    clearTimeout(timer)
  }

  async #claim(): Promise<ClaimResult> {
    clearTimeout(this.#nextClaim)
    const askedAt = performance.now()
    let result: ClaimResult
    try {
      result = await this.#lease.claim(this.#stop)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      result = error
    }
    this.#logChange(result)
    this.#scheduleNextClaim(result, askedAt)
    if (result instanceof Fault) {
      this.#mayBeHeld ||= result.code === 'connect' || result.code === 'timeout'
      // A lease that could not be renewed is still ours until its term ends.
      if (this.#isLeader && performance.now() < this.#untilMs) return { kind: 'held', untilMs: this.#untilMs }
      this.#setLeader(false)
    } else if (result.kind === 'held') {
      this.#untilMs = result.untilMs
      this.#isHeld = true
      clearTimeout(this.#expiry)
      this.#expiry = setTimeout(() => this.#setLeader(false), result.untilMs - performance.now())
      this.#setLeader(true)
    } else {
      clearTimeout(this.#expiry)
      // If the answer was `open`, it counts for one term: without a newer answer, this copy then stops leading.
      this.#untilMs = performance.now() + this.#ttlMs
      this.#isHeld = false
      this.#mayBeHeld = false
      this.#setLeader(result.kind === 'open')
    }
    return result
  }

  /** Claims again after a third of the term, or sooner if another copy's term ends before. */
  #scheduleNextClaim(result: ClaimResult, askedAt: number): void {
    if (this.#isOver) return
    const regularMs = askedAt + this.#ttlMs / CLAIMS_PER_TERM - performance.now()
    const isOthers = !(result instanceof Fault) && result.kind === 'other'
    // Redis keeps a key until its last millisecond is over.
    const waitMs = isOthers ? Math.min(regularMs, result.leftMs + 1) : regularMs
    this.#nextClaim = setTimeout(() => void this.claim(), Math.max(0, waitMs))
  }

  #setLeader(isLeader: boolean): void {
    if (isLeader === this.#isLeader) return
    this.#isLeader = isLeader
    this.#onChange(isLeader)
  }

  /** Logs one line when the result differs from the last one. */
  #logChange(result: ClaimResult): void {
    // With a prefix, because a fault's code may be `other` too.
    const kind = result instanceof Fault ? `fault ${result.code}` : result.kind
    if (kind === this.#lastLogged) return
    this.#lastLogged = kind
    if (result instanceof Fault)
      this.#log.warn({ cause: result.code, reason: result.message }, 'could not acquire the lease')
    else if (result.kind === 'held') this.#log.info({}, 'acquired the lease')
    else if (result.kind === 'other') this.#log.info({}, 'another copy holds the lease')
    else this.#log.warn({ reason: result.why }, 'sweeping without the lease')
  }
}

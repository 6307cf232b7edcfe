/** Whether this copy of the daemon is the one that sweeps: it asks for the lease again and again, and says when that changes. */
import { randomUUID } from 'node:crypto'
import type { Config } from '../config/config.ts'
import { type Claim, Lease, type LeaseTerms } from '../redis/lease.ts'
import { Fault } from '../redis/refusal.ts'
import type { Log } from '../telemetry/log.ts'

/** The lease is asked for three times in its term: two answers may be lost before it is. */
const CLAIMS_PER_TERM = 3
/** How long giving the lease up may take while the process ends. */
const RELEASE_MS = 1000

/** What came of asking for the lease. */
export type Standing = Claim | Fault

/** The lease of one copy, from the first asking to giving it up. */
export class Leadership {
  readonly #lease: Lease
  readonly #ttlMs: number
  readonly #log: Log
  readonly #stop: AbortSignal
  readonly #onChange: (isLeader: boolean) => void
  #claiming: Promise<Standing> | null = null
  #isLeader = false
  /** Whether the key is ours, and not only open to all. */
  #isHeld = false
  /** Whether a claim may have been carried out though no answer came. */
  #mayBeHeld = false
  /** Ours by the monotonic clock until then: a process that was frozen may find it passed. */
  #untilMs = 0
  #next: NodeJS.Timeout | undefined
  #isOver = false
  #expiry: NodeJS.Timeout | undefined
  #told = ''

  /** `onChange` is told whenever this copy becomes the leader or ceases to be. */
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

  /** Whether the last answer was that another copy holds it. */
  get anotherLeads(): boolean {
    return this.#told === 'other'
  }

  /** Begins to ask; the first answer is on its way when this returns. */
  start(): void {
    void this.claim()
  }

  /** Asks for the lease now. Never throws: a fault is a standing too. */
  claim(): Promise<Standing> {
    this.#claiming ??= this.#claim().finally(() => {
      this.#claiming = null
    })
    return this.#claiming
  }

  /** Stops asking, and gives the lease up so that another may have it at once. */
  async end(): Promise<void> {
    this.#isOver = true
    clearTimeout(this.#next)
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
        if (wasOurs) this.#log.info({}, 'lease released')
        else if (wasHeld) this.#log.info({}, 'lease not released: it was no longer ours')
      },
      (error: unknown) => {
        const { message } = error as Error
        if (wasHeld) this.#log.warn({ reason: message }, 'lease not released: it runs out by itself')
      },
    )
    clearTimeout(timer)
  }

  async #claim(): Promise<Standing> {
    clearTimeout(this.#next)
    const askedAt = performance.now()
    let standing: Standing
    try {
      standing = await this.#lease.claim(this.#stop)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      standing = error
    }
    this.#tell(standing)
    this.#askAgain(standing, askedAt)
    if (standing instanceof Fault) {
      this.#mayBeHeld ||= standing.code === 'connect' || standing.code === 'timeout'
      // A lease that could not be renewed is still ours until it runs out.
      if (this.#isLeader && performance.now() < this.#untilMs) return { kind: 'held', untilMs: this.#untilMs }
      this.#setLeader(false)
    } else if (standing.kind === 'held') {
      this.#untilMs = standing.untilMs
      this.#isHeld = true
      clearTimeout(this.#expiry)
      this.#expiry = setTimeout(() => this.#setLeader(false), standing.untilMs - performance.now())
      this.#setLeader(true)
    } else {
      clearTimeout(this.#expiry)
      // Nothing is held; after a term without an answer nobody may go on as if it still were open.
      this.#untilMs = performance.now() + this.#ttlMs
      this.#isHeld = false
      this.#mayBeHeld = false
      this.#setLeader(standing.kind === 'open')
    }
    return standing
  }

  /** Three times in a term; and where another holds it, when its term is over. */
  #askAgain(standing: Standing, askedAt: number): void {
    if (this.#isOver) return
    const regularMs = askedAt + this.#ttlMs / CLAIMS_PER_TERM - performance.now()
    const isOthers = !(standing instanceof Fault) && standing.kind === 'other'
    // A key is gone when its last millisecond is.
    const waitMs = isOthers ? Math.min(regularMs, standing.leftMs + 1) : regularMs
    this.#next = setTimeout(() => void this.claim(), Math.max(0, waitMs))
  }

  #setLeader(isLeader: boolean): void {
    if (isLeader === this.#isLeader) return
    this.#isLeader = isLeader
    this.#onChange(isLeader)
  }

  /** One line when the answer is another than before. */
  #tell(standing: Standing): void {
    // A word of its own: a fault may be called `other` as well.
    const told = standing instanceof Fault ? `fault ${standing.code}` : standing.kind
    if (told === this.#told) return
    this.#told = told
    if (standing instanceof Fault)
      this.#log.warn({ cause: standing.code, reason: standing.message }, 'lease not to be had')
    else if (standing.kind === 'held') this.#log.info({}, 'lease held')
    else if (standing.kind === 'other') this.#log.info({}, 'lease held by another')
    else this.#log.warn({ reason: standing.why }, 'sweeping without the lease')
  }
}

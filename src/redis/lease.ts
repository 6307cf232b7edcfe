/** The lease: a key that one of several daemons holds, so that one sweeps. Own code, since no lease library is safe on node-redis. */
import type { Address } from './address.ts'
import type { Command, Reach, Reply } from './connection.ts'
import { findPrimaries, movedTo, type Topology, withConnection } from './primaries.ts'
import { Fault, Refusal } from './refusal.ts'

/**
 * `held` until `untilMs` of this process's monotonic clock; `other`: another daemon holds it; `open`: nobody can hold
 * it, so everybody may sweep, since double work is harmless and none may not be.
 */
export type Claim =
  | { readonly kind: 'held'; readonly untilMs: number }
  | { readonly kind: 'other' }
  | { readonly kind: 'open'; readonly why: string }

/** What the lease is: the key, and how long it lasts without being renewed. */
export interface LeaseTerms {
  readonly key: string
  readonly ttlMs: number
}

const CLAIM_LUA = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1 end
if holder then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`

const RELEASE_LUA = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

/** A slot moves at most a few times while it is being looked for. */
const MOST_REDIRECTIONS = 3

/** The lease as one daemon sees it, which is known by its `token`. */
export class Lease {
  readonly #terms: LeaseTerms
  readonly #token: string
  readonly #topology: Topology
  readonly #reach: Reach
  /** The node that held the key when it was last asked for. */
  #home: Address | null = null

  constructor(terms: LeaseTerms, token: string, topology: Topology, reach: Reach) {
    this.#terms = terms
    this.#token = token
    this.#topology = topology
    this.#reach = reach
  }

  /**
   * Takes the lease if it is free, and renews it if it is ours.
   * @throws Fault where Redis cannot be reached or does not allow it
   */
  async claim(stop?: AbortSignal): Promise<Claim> {
    // Judged from before it is asked for: however late the answer, Redis's clock for it cannot have begun earlier.
    const askedAt = performance.now()
    try {
      const reply = await this.#ask(
        ['EVAL', CLAIM_LUA, '1', this.#terms.key, this.#token, String(this.#terms.ttlMs)],
        stop,
      )
      if (reply !== 1) return { kind: 'other' }
      const untilMs = askedAt + this.#terms.ttlMs
      if (performance.now() >= untilMs)
        throw new Fault('timeout', '--lease-ttl: the lease ran out before the reply came')
      return { kind: 'held', untilMs }
    } catch (error) {
      if (error instanceof Fault && /\bOOM\b/.test(error.message))
        return { kind: 'open', why: 'Redis is out of memory, and trimming is the cure' }
      if (error instanceof Fault && this.#topology.mode === 'cluster' && isDown(error)) {
        return { kind: 'open', why: `the node that holds the lease is down (${error.message})` }
      }
      throw error
    }
  }

  /** Gives the lease up if it is ours. @returns whether it was @throws Fault */
  async release(): Promise<boolean> {
    return (await this.#ask(['EVAL', RELEASE_LUA, '1', this.#terms.key, this.#token])) === 1
  }

  async #ask(command: Command, stop?: AbortSignal): Promise<Reply> {
    let address = this.#home ?? (await findPrimaries(this.#topology, this.#reach, stop)).addresses[0]
    for (let redirections = 0; address !== undefined; redirections++) {
      const asked: Address = address
      this.#home = null
      const [reply] = await withConnection(asked, this.#reach, stop, ({ ask }) => ask([command]))
      if (!(reply instanceof Refusal)) {
        // A cluster is asked where it was found; a sentinel is asked again, since the primary may have changed.
        if (this.#topology.mode === 'cluster') this.#home = asked
        return reply ?? null
      }
      const moved = movedTo(reply, asked)
      if (moved === null || redirections === MOST_REDIRECTIONS) throw refused(reply, this.#terms.key)
      address = moved
    }
    throw new Fault('CLUSTERDOWN', 'the cluster has no primary')
  }
}

function isDown({ code }: Fault): boolean {
  return code === 'connect' || code === 'timeout' || code === 'LOADING' || code === 'CLUSTERDOWN' || code === 'BUSY'
}

function refused(refusal: Refusal, key: string): Fault {
  if (refusal.word === 'NOPERM')
    return new Fault(
      'NOPERM',
      `--lease: the ACL does not allow it on ${key}: grant it ~${key} with +eval +get +set +pexpire +del, or turn the lease off (${refusal.message})`,
    )
  // Redis before 7.0 tells of what a script met as ERR.
  if (/\bWRONGTYPE\b/.test(refusal.message))
    return new Fault('WRONGTYPE', `--lease-key: ${key} holds what is no lease (${refusal.message})`)
  return Fault.of(refusal)
}

/** The lease: a key that one of several daemons holds, so that one sweeps. Own code, since no lease library is safe on node-redis. */
import type { Address } from './address.ts'
import type { Command, Reach, Reply } from './connection.ts'
import { findPrimaries, primaryOf, type Topology, withConnection } from './primaries.ts'
import { Fault, isOfServer, Refusal } from './refusal.ts'
import { redirectionOf } from './slots.ts'

/**
 * `held` until `untilMs` of this process's monotonic clock; `other`: another daemon holds it, for `leftMs` more unless it
 * renews it; `open`: nobody can hold it, so everybody may sweep, since double work is harmless and none may not be.
 */
export type Claim =
  | { readonly kind: 'held'; readonly untilMs: number }
  | { readonly kind: 'other'; readonly leftMs: number }
  | { readonly kind: 'open'; readonly why: string }

/** What the lease is: the key, and how long it lasts without being renewed. */
export interface LeaseTerms {
  readonly key: string
  readonly ttlMs: number
}

/** Answers 'held', or for how many milliseconds another still holds it: below 0 is for ever. */
const CLAIM_LUA = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 'held' end
if holder then return redis.call('PTTL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'held'`

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
  /** Of a cluster: since when that node alone has failed whenever it was asked, on the monotonic clock. */
  #downSince: number | null = null

  constructor(terms: LeaseTerms, token: string, topology: Topology, reach: Reach) {
    this.#terms = terms
    this.#token = token
    this.#topology = topology
    this.#reach = reach
  }

  /**
   * Takes the lease if it is free, and renews it if it is ours. In a cluster it is open once its node has failed for a whole
   * term, in which whoever held it has ceased to.
   * @throws Fault where Redis cannot be reached or does not allow it
   */
  async claim(stop?: AbortSignal): Promise<Claim> {
    // Judged from before it is asked for: however late the answer, Redis's clock for it cannot have begun earlier.
    const askedAt = performance.now()
    const downSince = this.#downSince
    // Whatever else fails says nothing of that node: it may be our own network.
    this.#downSince = null
    const node = await this.#findNode(stop)
    let reply: Reply
    try {
      const { key, ttlMs } = this.#terms
      reply = await this.#ask(node, ['EVAL', CLAIM_LUA, '1', key, this.#token, String(ttlMs)], stop)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (/\bOOM\b/.test(error.message))
        return { kind: 'open', why: 'Redis is out of memory, and trimming is the cure' }
      if (this.#topology.mode !== 'cluster' || !isOfServer(error)) throw error
      this.#downSince = downSince ?? performance.now()
      if (performance.now() - this.#downSince < this.#terms.ttlMs) throw error
      return { kind: 'open', why: `the node that holds the lease is down (${error.message})` }
    }
    if (typeof reply === 'number') return { kind: 'other', leftMs: reply < 0 ? Number.POSITIVE_INFINITY : reply }
    const untilMs = askedAt + this.#terms.ttlMs
    if (performance.now() >= untilMs) throw new Fault('timeout', '--lease-ttl: the lease ran out before the reply came')
    return { kind: 'held', untilMs }
  }

  /** Gives the lease up if it is ours. @returns whether it was @throws Fault */
  async release(): Promise<boolean> {
    const node = await this.#findNode()
    return (await this.#ask(node, ['EVAL', RELEASE_LUA, '1', this.#terms.key, this.#token])) === 1
  }

  /** Undefined where nobody serves the slot of the key. */
  async #findNode(stop?: AbortSignal): Promise<Address | undefined> {
    return this.#home ?? primaryOf(this.#terms.key, await findPrimaries(this.#topology, this.#reach, stop))
  }

  async #ask(node: Address | undefined, command: Command, stop?: AbortSignal): Promise<Reply> {
    let next = node && { address: node, asking: false }
    for (let redirections = 0; next !== undefined; redirections++) {
      const { address, asking } = next
      this.#home = null
      const commands = asking ? [['ASKING'], command] : [command]
      const replies = await withConnection(address, this.#reach, stop, ({ ask }) => ask(commands))
      const reply = replies.find((one) => one instanceof Refusal) ?? replies.at(-1) ?? null
      if (!(reply instanceof Refusal)) {
        // A cluster is asked where it was found; a sentinel is asked again, since the primary may have changed.
        if (this.#topology.mode === 'cluster' && !asking) this.#home = address
        return reply
      }
      const redirection = redirectionOf(reply, address)
      if (redirection === null || redirections === MOST_REDIRECTIONS) throw refused(reply, this.#terms.key)
      next = redirection
    }
    throw new Fault('CLUSTERDOWN', 'the cluster has no primary')
  }
}

function refused(refusal: Refusal, key: string): Fault {
  if (refusal.word === 'NOPERM')
    return new Fault(
      'NOPERM',
      `--lease: the ACL does not allow it on ${key}: grant it ~${key} with +eval +get +set +pttl +pexpire +del (and +asking in a cluster), or turn the lease off (${refusal.message})`,
    )
  // Redis before 7.0 tells of what a script met as ERR.
  if (/\bWRONGTYPE\b/.test(refusal.message))
    return new Fault('WRONGTYPE', `--lease-key: ${key} holds what is no lease (${refusal.message})`)
  return Fault.of(refusal)
}

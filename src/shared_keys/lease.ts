/**
 * The lease: a key that one of several daemons holds, so that only this one sweeps. Own code: redis-semaphore let two
 * holders in with node-redis, and the redlock packages do not run on it.
 */
import type { Address } from '../redis/address.ts'
import type { Command, Reach, Reply } from '../redis/connection.ts'
import type { Topology } from '../redis/primaries.ts'
import { Fault, isServerFault, Refusal } from '../redis/refusal.ts'
import { KeyHome } from './key_home.ts'

/**
 * The result of a claim.
 * - `held`: we hold it until `untilMs` of this process's monotonic clock.
 * - `other`: another daemon holds it for another `leftMs`, unless it renews it.
 * - `open`: nobody can hold it, so every copy may sweep. Sweeping twice is harmless; not sweeping at all may not be.
 */
export type Claim =
  | { readonly kind: 'held'; readonly untilMs: number }
  | { readonly kind: 'other'; readonly leftMs: number }
  | { readonly kind: 'open'; readonly why: string }

export interface LeaseTerms {
  readonly key: string
  /** How long it lasts without being renewed. */
  readonly ttlMs: number
}

/** Claims within one term of the lease: two in a row may fail before it is lost. */
export const CLAIMS_PER_TERM = 3

/** Replies 'held', or the milliseconds for which another daemon still holds it; below 0 means forever. */
const CLAIM_LUA = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 'held' end
if holder then return redis.call('PTTL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'held'`

const RELEASE_LUA = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`

/** The lease from the view of one daemon, which writes its `token` into the key. */
export class Lease {
  readonly #terms: LeaseTerms
  readonly #token: string
  readonly #topology: Topology
  readonly #home: KeyHome
  /** In a cluster: since when the node of the key has failed at every claim, on the monotonic clock. */
  #downSince: number | null = null

  constructor(terms: LeaseTerms, token: string, topology: Topology, reach: Reach) {
    this.#terms = terms
    this.#token = token
    this.#topology = topology
    this.#home = new KeyHome(terms.key, topology, reach)
  }

  /**
   * Takes the lease if it is free, and renews it if it is ours. In a cluster it becomes `open` once its node has been down
   * for a whole term: by then the last holder has lost it.
   * @throws Fault if Redis cannot be reached or refuses
   */
  async claim(stop?: AbortSignal): Promise<Claim> {
    // Count the term from before the request: however late the reply, Redis cannot have started counting earlier.
    const askedAt = performance.now()
    const downSince = this.#downSince
    // A failure to find the node does not say that it is down: our own network may be.
    this.#downSince = null
    const node = await this.#home.find(stop)
    let reply: Reply
    try {
      const { key, ttlMs } = this.#terms
      reply = await this.#ask(node, ['EVAL', CLAIM_LUA, '1', key, this.#token, String(ttlMs)], stop)
    } catch (error) {
      if (!(error instanceof Fault)) throw error
      if (/\bOOM\b/.test(error.message)) return { kind: 'open', why: 'Redis is out of memory; trimming can free some' }
      if (this.#topology.mode !== 'cluster' || !isServerFault(error)) throw error
      this.#downSince = downSince ?? performance.now()
      if (performance.now() - this.#downSince < this.#terms.ttlMs) throw error
      return { kind: 'open', why: `the node that holds the lease is down (${error.message})` }
    }
    if (typeof reply === 'number') return { kind: 'other', leftMs: reply < 0 ? Number.POSITIVE_INFINITY : reply }
    const untilMs = askedAt + this.#terms.ttlMs
    if (performance.now() >= untilMs)
      throw new Fault('timeout', 'the lease expired before Redis replied: raise --lease-ttl')
    return { kind: 'held', untilMs }
  }

  /** Deletes the lease if it is ours. @returns whether it was @throws Fault */
  async release(): Promise<boolean> {
    const node = await this.#home.find()
    return (await this.#ask(node, ['EVAL', RELEASE_LUA, '1', this.#terms.key, this.#token])) === 1
  }

  async #ask(node: Address | undefined, command: Command, stop?: AbortSignal): Promise<Reply> {
    const reply = await this.#home.ask(node, command, stop)
    if (reply instanceof Refusal) throw refused(reply, this.#terms.key)
    return reply
  }
}

function refused(refusal: Refusal, key: string): Fault {
  if (refusal.isUnknownCommand) {
    // Of a command inside the script Redis does not say the name.
    const command = /'(\w+)'/.exec(refusal.message)?.[1] ?? 'one of GET, SET, PTTL, PEXPIRE and DEL'
    return new Fault(
      refusal.word,
      `the server does not know ${command}, which --lease needs: set --lease=false if only one copy runs`,
    )
  }
  if (refusal.word === 'NOPERM')
    return new Fault(
      'NOPERM',
      `the ACL forbids the lease on ${key}: grant ~${key} +eval +get +set +pttl +pexpire +del (in a cluster also +asking), or set --lease=false (${refusal.message})`,
    )
  // Redis before 7.0 reports an error inside a script as ERR, with the real word further on.
  if (/\bWRONGTYPE\b/.test(refusal.message))
    return new Fault('WRONGTYPE', `--lease-key ${key} exists and is not a lease (${refusal.message})`)
  return Fault.of(refusal)
}

/** Brings one stream inside its policy: bites of whole nodes first, one exact cut last, and counts what Redis replied. */

import type { Command, Reply } from '../redis/connection.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { biteOf, largerBite } from '../retention/bites.ts'
import { type Group, type Hold, holdOf, type Reach, reachOf, unreadAmong } from '../retention/groups.ts'
import type { Limits, Reason } from '../retention/policy.ts'
import { earlierOf, formatStreamId, isBefore, parseStreamId, type StreamId, timeId } from '../retention/stream_id.ts'
import { readGroup, readGroups } from './group_state.ts'
import type { Found } from './look.ts'
import { cutToLength, deleteIfEmpty, shrink } from './scripts.ts'
import {
  type Ask,
  accepted,
  ageLimitMs,
  lengthLimit,
  memoryCommand,
  oldestCommand,
  Refused,
  readIds,
  readOldest,
  type State,
} from './stream.ts'

/** What trimming needs to know beside the stream. */
export interface TrimContext {
  readonly ask: Ask
  readonly limits: Limits
  /** Redis's own clock when the sweep began. */
  readonly nowMs: number
  /** Ends the work between two bites. */
  readonly stop: AbortSignal
  /** Told of a command that an ACL refused where the work could go on without it. */
  readonly missing: (command: string, neededFor: string) => void
}

/** What became of one stream. Complete also when a refusal, a fault or a stop cut the work short. */
export interface Trimmed {
  state: State
  memoryBytes: number
  readonly removed: Record<Reason, number>
  /** Of those, how many some group had not been delivered. */
  unread: number
  deleted: boolean
  hold: Hold | null
  /** The command Redis refused, which ended the work on this stream. */
  refused: Refused | null
  /** The end of the connection. */
  fault: Fault | null
  /** Whether trimming was tried at all. */
  attempted: boolean
}

/** The outcome of leaving a stream as it was found. */
export function untrimmed({ state, memoryBytes }: Found): Trimmed {
  return {
    state,
    memoryBytes,
    removed: { age: 0, length: 0, bytes: 0 },
    unread: 0,
    deleted: false,
    hold: null,
    refused: null,
    fault: null,
    attempted: false,
  }
}

/** Entries of one cut within a node. They are counted by reading them, inside Redis: 100 take it about 0.1 ms. */
const ENTRIES_AT_ONCE = 100

/** A node that goes for its memory takes Redis about 0.03 ms, most of it to find out how many entries it holds. */
const NODES_AT_ONCE = 10

/**
 * Where a bite may go beyond what a group has been delivered, its oldest entries are read to count to the entry: all of
 * a smaller bite where the group is among them, and where it has read none of them, so many that it still has not when
 * it reads on at that moment.
 */
const HEAD_ENTRIES: Readonly<Record<Reach, number>> = { delivered: 0, partly: 1000, undelivered: 100 }
const HEAD_BYTES = 256 * 1024

/** Trims a stream. Never throws what Redis or the connection did: that is in the outcome, beside what was done before. */
export async function trimStream(stream: Found, context: TrimContext): Promise<Trimmed> {
  const work = new StreamWork(stream, context)
  try {
    await work.run()
  } catch (error) {
    if (error instanceof Refused) work.outcome.refused = error
    else if (error instanceof Fault) work.outcome.fault = error
    else throw error
  }
  return work.outcome
}

class StreamWork {
  readonly outcome: Trimmed
  readonly #key: Buffer
  readonly #byAge: boolean
  readonly #context: TrimContext
  readonly #limits: Limits
  /** The groups as they were last seen, while what they had not read is counted. */
  #groups: readonly Group[] = []
  #mayQueue = true

  constructor(stream: Found, context: TrimContext) {
    this.#key = stream.key
    this.#byAge = stream.byAge
    this.#context = context
    this.#limits = context.limits
    this.outcome = { ...untrimmed(stream), attempted: true }
  }

  async run(): Promise<void> {
    const { nowMs } = this.#context
    const { maxAgeMs, hardMaxAgeMs, maxLength, hardMaxLength } = this.#limits
    if (this.#state.length > 0) {
      if (this.#state.oldest === undefined) await this.#look()
      this.outcome.hold = holdOf(await this.#readGroups(), this.#limits, nowMs)
      if (this.#byAge) {
        const cutOff = timeId(nowMs - maxAgeMs)
        const hold = this.outcome.hold
        await this.#removeOlder(hold === null ? cutOff : earlierOf(cutOff, hold.floor))
        await this.#removeOlder(timeId(nowMs - hardMaxAgeMs))
      }
      await this.#shortenTo(maxLength, 'length', this.outcome.hold)
      await this.#shortenTo(hardMaxLength, 'length', null)
      await this.#shrinkTo(this.#limits.maxBytes)
    }
    if (this.#limits.deleteEmpty && this.#state.length === 0) await this.#deleteIfEmpty()
  }

  get #state(): State {
    return this.outcome.state
  }

  /** The consumer groups. Without protection they only tell what was unread, and a missing permission costs that count alone. */
  async #readGroups(): Promise<readonly Group[]> {
    try {
      const groups = await readGroups(this.#context.ask, this.#key, this.#limits.protect)
      this.#groups = groups
      return groups
    } catch (error) {
      if (!(error instanceof Refused) || this.#limits.protect !== 'none' || error.refusal.word !== 'NOPERM') throw error
      this.#context.missing(error.command, 'xtrimd_entries_trimmed_unread_total')
      return []
    }
  }

  /** Removes what is before `id`: by whole nodes, and where the policy is exact, to the entry. */
  async #removeOlder(id: StreamId): Promise<void> {
    const before = formatStreamId(id)
    const isOlder = (): boolean => {
      const oldest = this.#state.oldest
      return oldest !== null && oldest !== undefined && isBefore(parseStreamId(oldest.id), id)
    }
    await this.#bite(
      'age',
      () => (isOlder() ? this.#state.length : 0),
      (limit) => ['XTRIM', this.#key, 'MINID', '~', before, 'LIMIT', String(limit)],
    )
    if (this.#limits.trim === 'exact') await this.#cutEntries('age', () => (isOlder() ? this.#state.length : 0), 0, id)
  }

  /** Keeps the newest `length` entries, and with a hold everything from its floor on. */
  async #shortenTo(length: number, reason: 'length', hold: Hold | null): Promise<void> {
    const excess = (): number => {
      const { oldest } = this.#state
      if (hold !== null && oldest && !isBefore(parseStreamId(oldest.id), hold.floor)) return 0
      return Math.max(0, this.#state.length - length)
    }
    await this.#bite(reason, excess, (limit) =>
      hold === null
        ? ['XTRIM', this.#key, 'MAXLEN', '~', String(length), 'LIMIT', String(limit)]
        : cutToLength(this.#key, length, hold.floor, limit, 'nodes'),
    )
    if (this.#limits.trim !== 'exact') return
    if (hold !== null) await this.#cutEntries(reason, excess, length, hold.floor)
    else if (excess() > 0 && !this.#context.stop.aborted) {
      await this.#cut(reason, ['XTRIM', this.#key, 'MAXLEN', '=', String(length)], excess())
    }
  }

  /** Removes what is below the floor entry by entry, down to the length: what is left of one node behind the bites. */
  async #cutEntries(reason: Reason, candidates: () => number, length: number, floor: StreamId): Promise<void> {
    while (candidates() > 0 && !this.#context.stop.aborted) {
      const most = Math.min(ENTRIES_AT_ONCE, biteOf(this.#state.oldest?.bytes ?? 0))
      if ((await this.#cut(reason, cutToLength(this.#key, length, floor, most, 'entries'), most)) === 0) break
    }
  }

  /** Brings the memory Redis reports under `maxBytes`, node by node. The newest entry stays. */
  async #shrinkTo(maxBytes: number): Promise<void> {
    if (maxBytes === Number.POSITIVE_INFINITY) return
    const { removed } = this.outcome
    // What went for another limit took its memory along.
    if (removed.age + removed.length > 0) this.outcome.memoryBytes = await this.#readMemory()
    const most = this.#state.length - 1
    while (this.outcome.memoryBytes > maxBytes && removed.bytes < most && !this.#context.stop.aborted) {
      const command = shrink(this.#key, maxBytes, this.outcome.hold?.floor ?? null, NODES_AT_ONCE)
      const gone = await this.#cut('bytes', command, this.#state.length - 1)
      this.outcome.memoryBytes = await this.#readMemory()
      if (gone === 0) break
    }
  }

  async #readMemory(): Promise<number> {
    const command = memoryCommand(this.#key)
    const [reply] = await this.#context.ask([command])
    return Number(accepted(reply, command))
  }

  /**
   * Repeats a bite until nothing is left that whole nodes can give: `candidates` says how many entries may still go.
   * What producers add meanwhile is for the next sweep, or one that adds faster than we trim would keep us here.
   */
  async #bite(reason: Reason, candidates: () => number, command: (limit: number) => Command): Promise<void> {
    let limit: number | null = null
    let due = candidates()
    while (due > 0 && candidates() > 0 && !this.#context.stop.aborted) {
      limit ??= this.#firstBite(candidates())
      const removed = await this.#cut(reason, command(limit), limit)
      due -= removed
      limit = removed > 0 ? null : largerBite(limit, candidates())
      if (removed === 0 && limit === null) break
    }
  }

  #firstBite(candidates: number): number {
    const limit = biteOf(this.#state.oldest?.bytes ?? 0)
    const most = Math.min(limit, candidates)
    return this.#reach(most) === 'partly' ? Math.min(limit, this.#head(most)) : limit
  }

  #reach(most: number): Reach {
    const { length, oldest } = this.#state
    return reachOf(Math.min(most, length), length, oldest ? parseStreamId(oldest.id) : null, this.#groups)
  }

  /** How many of the oldest entries to read beside a command that removes at most `most`. */
  #head(most: number): number {
    const affordable = Math.max(1, Math.floor(HEAD_BYTES / Math.max(1, this.#state.oldest?.bytes ?? 0)))
    return Math.min(most, HEAD_ENTRIES[this.#reach(most)], affordable)
  }

  /** One command that removes at most `most` entries, and a fresh look behind it. @returns how many Redis says are gone */
  async #cut(reason: Reason, command: Command, most: number): Promise<number> {
    const look = this.#lookCommands()
    const replies = this.#groups.some(({ lag }) => lag !== null)
      ? await this.#askAtomically(command, look, this.#head(most))
      : await this.#context.ask([command, ...look])
    const removed = Number(accepted(replies[0], command))
    this.outcome.removed[reason] += removed
    this.#seen(replies.slice(1), look)
    return removed
  }

  async #look(): Promise<void> {
    const look = this.#lookCommands()
    this.#seen(await this.#context.ask(look), look)
  }

  #lookCommands(): Command[] {
    return [['XLEN', this.#key], oldestCommand(this.#key)]
  }

  #seen(replies: readonly Reply[], look: readonly Command[]): void {
    const [length, oldest] = look.map((command, i) => accepted(replies[i], command))
    this.outcome.state = { length: Number(length), oldest: readOldest(oldest ?? null) }
  }

  /** The same in a transaction with the groups' progress, so that what they had not read is exact while they read on. */
  async #askAtomically(command: Command, look: readonly Command[], head: number): Promise<readonly Reply[]> {
    const before: Command[] = [
      ['XINFO', 'GROUPS', this.#key],
      ['XLEN', this.#key],
      ['XRANGE', this.#key, '-', '+', 'COUNT', String(head)],
    ]
    const inside = [...before, command, ...look]
    if (!this.#mayQueue) return this.#countUnread(await this.#context.ask(inside))
    const replies = await this.#context.ask([['MULTI'], ...inside, ['EXEC']])
    const executed = replies.at(-1) ?? null
    if (replies.some((reply) => reply instanceof Refusal && reply.word === 'OOM')) {
      // Queueing takes memory, so a Redis that has none discards every transaction. One by one its commands run.
      this.#mayQueue = false
      return this.#countUnread(await this.#context.ask(inside))
    }
    if (replies[0] instanceof Refusal && replies[0].word === 'NOPERM') {
      // The commands ran all the same, one by one: what they removed counts, what was unread among it is not certain.
      this.#context.missing('MULTI', 'xtrimd_entries_trimmed_unread_total')
      this.#groups = []
      return replies.slice(1 + before.length, -1)
    }
    if (executed instanceof Refusal && executed.word === 'NOPERM') {
      // Nothing of it ran.
      this.#context.missing('EXEC', 'xtrimd_entries_trimmed_unread_total')
      this.#groups = []
      return this.#context.ask([command, ...look])
    }
    if (!Array.isArray(executed)) {
      // A command that may not even be queued discards the transaction; its own reply tells why.
      for (const [i, queued] of inside.entries()) accepted(replies[i + 1], queued)
      accepted(executed, ['EXEC'])
    }
    return this.#countUnread(executed as Reply[])
  }

  /** Counts what was unread among the removed, from what was asked before the command. @returns the replies from the command on */
  #countUnread([groups, length, oldest, ...rest]: readonly Reply[]): readonly Reply[] {
    const removed = rest[0]
    if (Array.isArray(groups) && typeof removed === 'number') {
      this.#groups = groups.map(readGroup)
      this.outcome.unread += unreadAmong(removed, Number(length), this.#groups, readIds(oldest ?? null))
    }
    return rest
  }

  async #deleteIfEmpty(): Promise<void> {
    const command = deleteIfEmpty(this.#key, this.#context.nowMs - this.#limits.maxAgeMs)
    const [reply] = await this.#context.ask([command])
    this.outcome.deleted = accepted(reply, command) === 1
  }
}

/** Whether trimming is called for at all: cheap, for the many streams where it is not. */
export function isDue({ state, memoryBytes, byAge }: Found, limits: Limits, nowMs: number): boolean {
  return (
    state.length > lengthLimit(limits) ||
    (byAge && !!state.oldest && state.oldest.ms < nowMs - ageLimitMs(limits)) ||
    (memoryBytes > limits.maxBytes && state.length > 1) ||
    (limits.deleteEmpty && state.length === 0)
  )
}

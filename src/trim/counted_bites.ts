/** The bites taken from one stream: each followed by a fresh look, with a count of the removed entries that a group had not read. */

import { biteOf, bitesAtOnce, costOfBite, costOfReading, LEAST_COST } from '../entries/bites.ts'
import { parseStreamId } from '../entries/stream_id.ts'
import { readGroup } from '../groups/consumer_groups.ts'
import { oldestCommand, readIds, readOldest, type State } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault, Refusal } from '../redis/refusal.ts'
import { accepted, isMissing, type Missing, whyMissing } from '../redis/refused.ts'
import { type Delivery, deliveryOf, type Group, unreadAmong } from '../retention/groups.ts'
import { forEachReason, type Reason } from '../retention/policy.ts'
import { GROUPS_CHANGED, type Guard, guarded } from './group_guard.ts'

/** What needs the commands for counting unread entries, named where one of them is denied. */
export const UNREAD_COUNT = 'xtrimd_entries_trimmed_unread_total'

/**
 * How many of the oldest entries to read beside a bite that may remove unread entries, so that the count is exact. Where a
 * group's position lies among the entries of the bite, the bite is smaller and all of it is read. Where the group has read
 * none of them, a hundred are enough, even if it reads on at that moment.
 */
const HEAD_ENTRIES: Readonly<Record<Delivery, number>> = { delivered: 0, partly: 1000, undelivered: 100 }
const HEAD_BYTES = 256 * 1024

/** The stream's state after the last bite, and the sums of all bites. */
export class CountedBites {
  readonly removed: Record<Reason, number> = forEachReason(0)
  /** How many of them some group had not been delivered. */
  unread = 0
  state: State
  readonly #key: Buffer
  readonly #ask: Ask
  readonly #missing: Missing
  /** The groups whose unread entries are counted, as last seen. */
  #groups: readonly Group[] = []
  /** Whether the guard stopped a bite because the groups have changed. */
  areGroupsOutdated = false
  /** Redis's reply to the last bite. A script may reply with a list, of which the first is the number removed. */
  reply: Reply = null
  #mayQueue = true

  constructor(key: Buffer, state: State, ask: Ask, missing: Missing) {
    this.#key = key
    this.state = state
    this.#ask = ask
    this.#missing = missing
  }

  /** Starts to count what these groups have not been delivered. */
  countUnreadOf(groups: readonly Group[]): void {
    this.#groups = groups
    this.areGroupsOutdated = false
  }

  /**
   * Sends one command that removes at most `most` entries, then looks again. With a guard, the command does nothing once
   * the groups have changed. @returns how many entries Redis removed
   */
  async make(reason: Reason, bite: Command, most: number, guard: Guard | null): Promise<number> {
    if (!this.#countsUnread) return this.makeSeveral(reason, bite, most, 1, guard)
    const look = this.#lookCommands()
    const command = guarded(bite, guard)
    const replies = await this.#askAtomically(command, look, most)
    const removed = this.#count(reason, command, replies.slice(0, 1))
    this.#seen(replies.slice(1), look)
    return removed
  }

  /** Sends the same command several times in one round trip. Only where no unread entries are counted. */
  async makeSeveral(reason: Reason, bite: Command, most: number, times: number, guard: Guard | null): Promise<number> {
    const command = guarded(bite, guard)
    const look = this.#lookCommands()
    const bites = Array<Command>(times).fill(command)
    // The look costs nothing extra: it goes with the last bite.
    const costs = [...Array<number>(times).fill(this.#costOf(most)), ...look.map(() => 0)]
    let replies: readonly Reply[]
    try {
      replies = await this.#ask([...bites, ...look], costs)
    } catch (error) {
      if (error instanceof Fault) this.#count(reason, command, error.answered.slice(0, times))
      throw error
    }
    const removed = this.#count(reason, command, replies.slice(0, times))
    this.#seen(replies.slice(times), look)
    return removed
  }

  /** Counts the bites before a refused one, too. @throws Refused */
  #count(reason: Reason, command: Command, replies: readonly Reply[]): number {
    let removed = 0
    for (const reply of replies) {
      this.reply = accepted(reply, command)
      const gone = removedBy(this.reply)
      if (gone === GROUPS_CHANGED) {
        this.areGroupsOutdated = true
        continue
      }
      this.removed[reason] += gone
      removed += gone
    }
    return removed
  }

  async look(): Promise<void> {
    const look = this.#lookCommands()
    this.#seen(await this.#ask(look), look)
  }

  /** How many bites of `limit`, out of `candidates` entries, may go in one round trip. */
  bitesAtOnce(limit: number, candidates: number): number {
    return this.#countsUnread ? 1 : bitesAtOnce(limit, this.state.oldest?.bytes ?? 0, candidates)
  }

  get #countsUnread(): boolean {
    return this.#groups.some(({ lag }) => lag !== null)
  }

  /** The LIMIT of a bite out of `candidates` entries: smaller where each of its entries must be read for the unread count. */
  biteOutOf(candidates: number): number {
    const limit = biteOf(this.state.oldest?.bytes ?? 0)
    const most = Math.min(limit, candidates)
    return this.#deliveryOf(most) === 'partly' ? Math.min(limit, this.#head(most)) : limit
  }

  #costOf(most: number): number {
    return costOfBite(Math.min(most, this.state.length), this.state.oldest?.bytes ?? 0)
  }

  #deliveryOf(most: number): Delivery {
    const { length, oldest } = this.state
    return deliveryOf(Math.min(most, length), length, oldest ? parseStreamId(oldest.id) : null, this.#groups)
  }

  /** How many of the oldest entries to read with a command that removes at most `most`. */
  #head(most: number): number {
    const affordable = Math.max(1, Math.floor(HEAD_BYTES / Math.max(1, this.state.oldest?.bytes ?? 0)))
    return Math.min(most, HEAD_ENTRIES[this.#deliveryOf(most)], affordable)
  }

  #lookCommands(): Command[] {
    return [['XLEN', this.#key], oldestCommand(this.#key)]
  }

  #seen(replies: readonly Reply[], look: readonly Command[]): void {
    const [length, oldest] = look.map((command, i) => accepted(replies[i], command))
    this.state = { length: Number(length), oldest: readOldest(oldest ?? null) }
  }

  /** Sends a bite in one transaction with the groups' positions, so that the unread count is exact while groups read on. */
  async #askAtomically(command: Command, look: readonly Command[], most: number): Promise<readonly Reply[]> {
    const head = this.#head(most)
    const before: Command[] = [
      ['XINFO', 'GROUPS', this.#key],
      ['XLEN', this.#key],
      ['XRANGE', this.#key, '-', '+', 'COUNT', String(head)],
    ]
    const inside = [...before, command, ...look]
    // The bite and the head have costs of their own; the other commands cost the least.
    const cost = this.#costOf(most) + costOfReading(head) + (inside.length - 2) * LEAST_COST
    if (!this.#mayQueue) return this.#countUnread(await this.#ask(inside, cost))
    const replies = await this.#ask([['MULTI'], ...inside, ['EXEC']], cost)
    const executed = replies.at(-1) ?? null
    if (replies.some((reply) => reply instanceof Refusal && reply.word === 'OOM')) {
      // Queueing takes memory, so a Redis that is out of memory discards transactions. It still runs the commands one by one.
      this.#mayQueue = false
      return this.#countUnread(await this.#ask(inside, cost))
    }
    if (replies[0] instanceof Refusal && isMissing(replies[0])) {
      // The commands ran one by one. What they removed counts, but the number of unread entries is not certain.
      this.#missing('MULTI', UNREAD_COUNT, whyMissing(replies[0]))
      this.#groups = []
      return replies.slice(1 + before.length, -1)
    }
    if (executed instanceof Refusal && isMissing(executed)) {
      // None of the commands ran. A server that does not know EXEC would queue all further ones.
      this.#missing('EXEC', UNREAD_COUNT, whyMissing(executed))
      this.#groups = []
      if (executed.isUnknownCommand) await this.#ask([['DISCARD']], LEAST_COST)
      return this.#ask([command, ...look], cost)
    }
    if (!Array.isArray(executed)) {
      // A command that cannot be queued discards the transaction; its own reply says why.
      for (const [i, queued] of inside.entries()) accepted(replies[i + 1], queued)
      accepted(executed, ['EXEC'])
    }
    return this.#countUnread(executed as Reply[])
  }

  /** Counts the unread among the removed entries from the replies before the bite. @returns the replies from the bite on */
  #countUnread([groups, length, oldest, ...rest]: readonly Reply[]): readonly Reply[] {
    const removed = rest[0]
    if (Array.isArray(groups) && removed !== undefined && !(removed instanceof Refusal)) {
      this.#groups = groups.map(readGroup)
      const next = readIds(rest[2] ?? null)[0] ?? null
      this.unread += unreadAmong(removedBy(removed), Number(length), this.#groups, readIds(oldest ?? null), next)
    }
    return rest
  }
}

function removedBy(reply: Reply): number {
  return Number(Array.isArray(reply) ? reply[0] : reply)
}

/** Brings one stream inside its policy: bites of whole nodes first, one exact cut last, and counts what Redis replied. */

import { biteOf, largerBite } from '../entries/bites.ts'
import { earlierOf, formatStreamId, isBefore, parseStreamId, type StreamId, timeId } from '../entries/stream_id.ts'
import { type Judging, readGroups } from '../groups/consumer_groups.ts'
import { LivingGroups } from '../groups/living_groups.ts'
import { isOlderThan } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import type { State } from '../look/stream_state.ts'
import type { Command } from '../redis/connection.ts'
import { endingOf, isMissing, Refused, whyMissing } from '../redis/refused.ts'
import {
  ackedFloor,
  type Group,
  groupDetail,
  type Hold,
  holdOf,
  mayHoldBack,
  withEarlierSigns,
} from '../retention/groups.ts'
import { type Limits, type Reason, sumOfReasons } from '../retention/policy.ts'
import { CountedBites, UNREAD_COUNT } from './counted_bites.ts'
import { type Guard, guardOf } from './group_guard.ts'
import { readBytes, type StreamBytes, shrinkStream } from './shrink_stream.ts'
import { cutToLength } from './trim_scripts.ts'
import type { TrimContext, Trimmed } from './trimmed.ts'

/** Entries of one cut within a node. The script reads them to count them: 100 take Redis about 0.1 ms. */
const ENTRIES_AT_ONCE = 100

/** How often the groups of one stream are judged anew while they change; after that the next sweep does the rest. */
const MOST_JUDGED = 5

/** Trims a stream. Never throws what Redis or the connection did: the result holds that, beside what was done before. */
export async function trimStream(stream: Found, context: TrimContext): Promise<Trimmed> {
  const work = new StreamWork(stream, context)
  const ending = await endingOf(work.run())
  const { bites, memoryBytes, hold, unarchived } = work
  const { state, removed, unread } = bites
  return { state, memoryBytes, removed, unread, unarchived, hold, ...ending, attempted: true }
}

class StreamWork {
  readonly bites: CountedBites
  hold: Hold | null = null
  unarchived = 0
  readonly #key: Buffer
  readonly #hasTimeIds: boolean
  /** Keeps what the archive has not confirmed; null where nothing is archived. */
  readonly #archiveHold: Hold | null
  readonly #context: TrimContext
  readonly #limits: Limits
  #bytes: StreamBytes
  #hasGroups = false
  /** Guards bites that groups may hold back; null where nothing is protected. */
  #guard: Guard | null = null
  /** The groups as last judged. */
  #groups: readonly Group[] = []

  constructor(stream: Found, context: TrimContext) {
    const { key, state, hasTimeIds, archivedBefore } = stream
    this.bites = new CountedBites(key, state, context.ask, context.missing)
    this.#bytes = stream
    this.#key = key
    this.#hasTimeIds = hasTimeIds
    this.#archiveHold = archivedBefore ? { floor: archivedBefore, group: 'the archive', lastAliveMs: null } : null
    this.#context = context
    this.#limits = context.limits
  }

  async run(): Promise<void> {
    const { nowMs } = this.#context
    const { maxAgeMs, hardMaxAgeMs, maxLength, hardMaxLength, maxBytes } = this.#limits
    if (this.#state.length > 0) {
      if (this.#state.oldest === undefined) await this.bites.look()
      await this.#judgeGroups()
      if (this.#hasTimeIds) {
        const cutOff = timeId(nowMs - maxAgeMs)
        await this.#respectingGroups((hold, guard) =>
          this.#removeBefore('age', hold === null ? cutOff : earlierOf(cutOff, hold.floor), guard),
        )
        await this.#inSpiteOfGroups((hold) => {
          const hardCutOff = timeId(nowMs - hardMaxAgeMs)
          return this.#removeBefore('age', hold === null ? hardCutOff : earlierOf(hardCutOff, hold.floor), null)
        })
      }
      await this.#respectingGroups((hold, guard) => this.#shortenTo(maxLength, hold, guard))
      await this.#inSpiteOfGroups((hold) => this.#shortenTo(hardMaxLength, hold, null))
      if (maxBytes !== Number.POSITIVE_INFINITY)
        await this.#respectingGroups((hold, guard) => this.#shrinkTo(maxBytes, hold, guard))
      await this.#removeAcked()
    }
  }

  get memoryBytes(): number {
    return this.#bytes.memoryBytes
  }

  get #state(): State {
    return this.bites.state
  }

  get #mayGoOn(): boolean {
    return !this.#context.stop.aborted && !this.bites.areGroupsOutdated
  }

  /** Trims as far as the groups allow. Where they change meanwhile, judges them again and goes on. */
  async #respectingGroups(trim: (hold: Hold | null, guard: Guard | null) => Promise<void>): Promise<void> {
    for (let judged = 0; judged < MOST_JUDGED; judged++) {
      if (this.bites.areGroupsOutdated) await this.#judgeGroups()
      await trim(stricter(this.hold, this.#archiveHold), this.#guard)
      if (!this.bites.areGroupsOutdated) return
    }
  }

  /** Trims by a hard limit: what is archived; while the archive fails, also what is not, which is counted. */
  async #inSpiteOfGroups(trim: (hold: Hold | null) => Promise<void>): Promise<void> {
    if (this.#archiveHold !== null) await trim(this.#archiveHold)
    if (this.#archiveHold !== null && !this.#context.mayTrimUnarchived) return
    const before = sumOfReasons(this.bites.removed)
    await trim(null)
    if (this.#archiveHold !== null) this.unarchived += sumOfReasons(this.bites.removed) - before
  }

  async #judgeGroups(): Promise<void> {
    const groups = withEarlierSigns(await this.#readGroups(), this.#groups)
    this.#groups = groups
    const { protect, staleGroupAfterMs } = this.#limits
    this.#hasGroups = groups.length > 0
    this.hold = holdOf(groups, this.#limits, this.#context.nowMs)
    this.#guard = protect === 'none' ? null : guardOf(groups, staleGroupAfterMs, this.#context.nowMs)
    this.bites.countUnreadOf(groups)
  }

  /** Reads the consumer groups. Without protection only the unread count needs them, so a denied command costs that count alone. */
  async #readGroups(): Promise<readonly Group[]> {
    try {
      return await readGroups(this.#context.ask, this.#key, groupDetail(this.#limits), this.#judging())
    } catch (error) {
      const isNeeded = groupDetail(this.#limits) !== 'none'
      if (!(error instanceof Refused) || isNeeded || !isMissing(error.refusal)) throw error
      this.#context.missing(error.command, UNREAD_COUNT, whyMissing(error.refusal))
      return []
    }
  }

  /** Asks for the life of a group only where it may keep what the limits would remove. */
  #judging(): Judging {
    const { nowMs, living = new LivingGroups() } = this.#context
    const { maxAgeMs, staleGroupAfterMs, maxBytes, ackedAfterMs } = this.#limits
    const cutOff = timeId(nowMs - maxAgeMs)
    const pressed = {
      length: this.#state.length,
      cutOff: this.#hasTimeIds && isOlderThan(this.#state, cutOff) ? cutOff : null,
      isTooBig: this.#bytes.memoryBytes > maxBytes,
    }
    // Every living group has a say in what is acknowledged.
    const matters = (group: Group): boolean =>
      Number.isFinite(ackedAfterMs) || mayHoldBack(group, pressed, this.#limits)
    return { living, staleGroupAfterMs, nowMs, matters }
  }

  /** Removes what every living group has acknowledged. Custom IDs tell no age: only an age of 0 covers them. */
  async #removeAcked(): Promise<void> {
    const { ackedAfterMs, staleGroupAfterMs } = this.#limits
    const { nowMs } = this.#context
    if (ackedAfterMs === Number.POSITIVE_INFINITY || (ackedAfterMs > 0 && !this.#hasTimeIds)) return
    // Entries that went for another reason may have been the ones that a group had pending.
    if (sumOfReasons(this.bites.removed) > 0) await this.#judgeGroups()
    await this.#respectingGroups(async (hold) => {
      const acked = ackedFloor(this.#groups, staleGroupAfterMs, nowMs)
      if (acked === null || !this.#mayGoOn) return
      const floor = hold === null ? acked : earlierOf(acked, hold.floor)
      const id = ackedAfterMs === 0 ? floor : earlierOf(floor, timeId(nowMs - ackedAfterMs))
      await this.#removeBefore('acked', id, guardOf(this.#groups, staleGroupAfterMs, nowMs))
    })
  }

  /** Removes entries before `id`: whole nodes, and with `exact` the rest one entry at a time. */
  async #removeBefore(reason: Reason, id: StreamId, guard: Guard | null): Promise<void> {
    const before = formatStreamId(id)
    const isOlder = (): boolean => isOlderThan(this.#state, id)
    await this.#bite(
      reason,
      () => (isOlder() ? this.#state.length : 0),
      (limit) => ['XTRIM', this.#key, 'MINID', '~', before, 'LIMIT', String(limit)],
      guard,
    )
    if (this.#limits.trim === 'exact')
      await this.#cutEntries(reason, () => (isOlder() ? this.#state.length : 0), 0, id, guard)
  }

  /** Keeps the newest `length` entries, and with a hold everything from its floor onwards. */
  async #shortenTo(length: number, hold: Hold | null, guard: Guard | null): Promise<void> {
    const excess = (): number => {
      const { oldest } = this.#state
      if (hold !== null && oldest && !isBefore(parseStreamId(oldest.id), hold.floor)) return 0
      return Math.max(0, this.#state.length - length)
    }
    await this.#bite(
      'length',
      excess,
      (limit) =>
        hold === null
          ? ['XTRIM', this.#key, 'MAXLEN', '~', String(length), 'LIMIT', String(limit)]
          : cutToLength(this.#key, length, hold.floor, limit, 'nodes'),
      guard,
    )
    if (this.#limits.trim !== 'exact') return
    if (hold !== null) await this.#cutEntries('length', excess, length, hold.floor, guard)
    else if (excess() > 0 && this.#mayGoOn) {
      await this.bites.make('length', ['XTRIM', this.#key, 'MAXLEN', '=', String(length)], excess(), guard)
    }
  }

  /** Removes single entries before the floor, down to the length: the part of one node that whole-node bites left. */
  async #cutEntries(
    reason: Reason,
    candidates: () => number,
    length: number,
    floor: StreamId,
    guard: Guard | null,
  ): Promise<void> {
    while (candidates() > 0 && this.#mayGoOn) {
      const most = Math.min(ENTRIES_AT_ONCE, biteOf(this.#state.oldest?.bytes ?? 0))
      const command = cutToLength(this.#key, length, floor, most, 'entries')
      if ((await this.bites.make(reason, command, most, guard)) === 0) break
    }
  }

  async #shrinkTo(maxBytes: number, hold: Hold | null, guard: Guard | null): Promise<void> {
    const { removed } = this.bites
    const [ask, key] = [this.#context.ask, this.#key]
    const mayBeOutdated =
      sumOfReasons(removed) > 0 ||
      (this.#bytes.memoryBytes > maxBytes && this.#hasGroups !== Boolean(this.#bytes.contents))
    if (mayBeOutdated) this.#bytes = await readBytes(ask, key, maxBytes)
    const mayGoOn = (): boolean => this.#mayGoOn
    const context = { ask, key, bites: this.bites, maxBytes, hold, guard, mayGoOn }
    this.#bytes = { ...this.#bytes, memoryBytes: await shrinkStream(this.#bytes, context) }
  }

  /**
   * Repeats a bite until whole nodes can give nothing more; `candidates` says how many entries may still go. Entries added
   * meanwhile are left to the next sweep: a producer that adds faster than we trim would keep us here for ever.
   */
  async #bite(
    reason: Reason,
    candidates: () => number,
    command: (limit: number) => Command,
    guard: Guard | null,
  ): Promise<void> {
    let limit: number | null = null
    let due = candidates()
    while (due > 0 && candidates() > 0 && this.#mayGoOn) {
      limit ??= this.bites.biteOutOf(candidates())
      // A node holds at most the whole stream, so after a bite this large no whole node is left to remove.
      const isLast = limit >= this.#state.length
      const times = this.bites.bitesAtOnce(limit, due)
      const removed: number =
        times > 1
          ? await this.bites.makeSeveral(reason, command(limit), limit, times, guard)
          : await this.bites.make(reason, command(limit), limit, guard)
      if (isLast) return
      due -= removed
      limit = removed > 0 ? null : largerBite(limit, candidates())
      if (removed === 0 && limit === null) break
    }
  }
}

/** The hold that keeps more. */
function stricter(a: Hold | null, b: Hold | null): Hold | null {
  if (a === null || b === null) return a ?? b
  return isBefore(b.floor, a.floor) ? b : a
}

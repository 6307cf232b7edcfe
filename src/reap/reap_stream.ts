/** Removes what one stream leaves behind: dead groups, dead consumers, references to missing entries, and the stream itself. */

import { LEAST_COST } from '../entries/bites.ts'
import type { StreamId } from '../entries/stream_id.ts'
import { costOfConsumers, groupsIn, readGroupsToReap } from '../groups/consumer_groups.ts'
import { missingRange } from '../groups/missing_references.ts'
import type { Found } from '../look/found.ts'
import { endsCommand, readEnds, type StreamEnds } from '../look/stream_ends.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { accepted, endingOf } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import { reapsGroups } from '../retention/policy.ts'
import {
  type Consumer,
  judgesLife,
  MOST_LIVING_REFERENCES,
  msToNextReapable,
  reapableConsumers,
} from '../retention/reaping.ts'
import { CONSUMERS_CHECKED_AT_ONCE, inBatches, REFERENCES_DESTROYED_AT_ONCE } from './destroy_batches.ts'
import { GroupJudge, nameOf } from './group_judge.ts'
import { deleteConsumers, deleteStream, destroyGroups } from './reap_scripts.ts'
import type { DeleteReason, ReapContext, ReapCounts, Reaped } from './reaped.ts'
import { goThroughReferences } from './reference_bites.ts'
import { rememberQuiet } from './remember_quiet.ts'
import { countUnread } from './unread_entries.ts'

/** Consumers checked and deleted by one script: each takes Redis 3 to 5 microseconds. */
const CONSUMERS_AT_ONCE = 100

/** Reaps one stream. Never throws what Redis or the connection did: the result holds that, beside what was done before. */
export async function reapStream(stream: Found, context: ReapContext): Promise<Reaped> {
  const work = new ReapWork(stream, context)
  const ending = await endingOf(work.run())
  const { counts, deleted, unread } = work
  return { counts, deleted, unread, ...ending }
}

/**
 * The last ID of a stream that reaping would unlink with its entries, or null for one that stays. Those entries must be
 * archived first. @throws Refused, Fault
 */
export async function lastIdIfIdle(stream: Found, context: ReapContext): Promise<StreamId | null> {
  return new ReapWork(stream, context).lastIdIfIdle()
}

class ReapWork {
  readonly counts: ReapCounts = { consumers: 0, groups: 0, pending: 0 }
  deleted: DeleteReason | null = null
  unread = 0
  readonly #stream: Found
  readonly #key: Buffer
  readonly #context: ReapContext
  #ends: StreamEnds | null = null
  readonly #judge: GroupJudge
  /** What groups lost, in bites, before they were to be destroyed. */
  readonly #lostFirst = new Map<string, { references: number; consumers: number }>()

  constructor(stream: Found, context: ReapContext) {
    this.#stream = stream
    this.#key = stream.key
    this.#context = context
    this.#judge = new GroupJudge(stream.key, context)
  }

  /** Groups first, since they keep the stream; then the stream, since all the rest goes with it. */
  async run(): Promise<void> {
    const { limits, ask } = this.#context
    const { hasGroups, groups: told, isQuiet = false } = this.#stream.state
    const isIdle = this.#mayDeleteIdle && (hasGroups === false || (await this.#isIdle()))
    const readsGroups = hasGroups !== false && (isIdle || (reapsGroups(limits) && !isQuiet))
    let groups = told !== undefined ? groupsIn(told) : readsGroups ? await readGroupsToReap(ask, this.#key) : []
    if (limits.reapGroups !== null) groups = await this.#destroyDead(groups)
    if (this.#mayDeleteEmpty && groups.length === 0) await this.#unlink('empty', limits.maxAgeMs, [])
    if (this.deleted === null && isIdle) await this.#deleteIdle(groups)
    if (this.deleted !== null) return
    // A dead consumer often has nothing but references to missing entries.
    if (limits.reapPending) groups = await this.#dropPending(groups)
    if (Number.isFinite(limits.reapConsumersAfterMs)) for (const group of groups) await this.#deleteConsumers(group)
    const { consumers, groups: destroyed, pending } = this.counts
    if (readsGroups && this.#mayGoOn && consumers + destroyed + pending === 0)
      rememberQuiet(this.#stream, groups, this.#context)
  }

  async lastIdIfIdle(): Promise<StreamId | null> {
    const { length, hasGroups } = this.#stream.state
    if (!this.#mayDeleteIdle || length === 0 || !(await this.#isIdle())) return null
    const groups = hasGroups === false ? [] : await readGroupsToReap(this.#context.ask, this.#key)
    const dead = await Promise.all(groups.map((group) => this.#judge.ifDead(group)))
    return dead.every((group) => group !== null) ? (await this.#readEnds()).last : null
  }

  get #mayGoOn(): boolean {
    return !this.#context.stop.aborted
  }

  get #mayDeleteEmpty(): boolean {
    return this.#context.limits.deleteEmpty && this.#stream.state.length === 0
  }

  /** A stream whose oldest entry is younger, or was not asked for because of that, was written since. Custom IDs do not tell when. */
  get #mayDeleteIdle(): boolean {
    const { limits, nowMs } = this.#context
    const { state, hasTimeIds } = this.#stream
    if (limits.deleteIdleMs === Number.POSITIVE_INFINITY || !hasTimeIds) return false
    const { length, oldest } = state
    return length === 0 || (!!oldest && oldest.ms < nowMs - limits.deleteIdleMs)
  }

  /** Whether the last ID is older than `--delete-idle`. */
  async #isIdle(): Promise<boolean> {
    const { limits, nowMs } = this.#context
    const { last } = await this.#readEnds()
    return last !== null && Number(last.ms) < nowMs - limits.deleteIdleMs
  }

  /** Destroys dead groups whose name matches. @returns the groups that are left */
  async #destroyDead(groups: readonly Group[]): Promise<readonly Group[]> {
    const { limits } = this.#context
    const matching = groups.filter(({ rawName }) => limits.reapGroups?.matches(rawName))
    const judged = await Promise.all(matching.map((group) => this.#judge.ifDead(group)))
    const destroyed = new Set<string>()
    const dead = await this.#withoutMany(judged.filter((group) => group !== null))
    for (const batch of inBatches(dead, groups.length)) {
      if (!this.#mayGoOn) break
      const command = destroyGroups(this.#key, batch.groups, limits.staleGroupAfterMs)
      const replies = (await this.#send(command, batch.cost)) as number[]
      batch.groups.forEach(({ rawName }, i) => {
        if (replies[i] !== 1) return
        const name = nameOf(rawName)
        this.counts.groups++
        destroyed.add(name)
        // That went with its group after all.
        this.counts.pending -= this.#lostFirst.get(name)?.references ?? 0
        this.counts.consumers -= this.#lostFirst.get(name)?.consumers ?? 0
      })
    }
    return groups.filter(({ rawName }) => !destroyed.has(nameOf(rawName)))
  }

  /** The dead groups that can be destroyed in short steps, once they have lost in bites what nobody needs. */
  async #withoutMany(dead: readonly Group[]): Promise<readonly Group[]> {
    const few: Group[] = []
    for (const group of dead) {
      const light = group.pending > REFERENCES_DESTROYED_AT_ONCE ? await this.#withoutMissing(group) : group
      if (light !== null) few.push(await this.#withoutIdle(light))
    }
    return few
  }

  /**
   * `XGROUP DESTROY` frees all references of a group in one step. So a group with many first loses those to missing entries:
   * nobody needs them, even if the group wakes up meanwhile. Null if it has many references to entries that exist.
   */
  async #withoutMissing(group: Group): Promise<Group | null> {
    const missing = await this.#throughReferences('count', group)
    if (group.pending - missing > MOST_LIVING_REFERENCES || !this.#mayGoOn) return null
    const references = await this.#throughReferences('drop', group)
    this.#lostFirst.set(nameOf(group.rawName), { references, consumers: 0 })
    return { ...group, pending: group.pending - references }
  }

  /**
   * The script that destroys a group asks for all its consumers in one step. So a group with many first loses those with
   * nothing pending: if it wakes up meanwhile, whoever reads exists again. The one that was active last stays, since it tells
   * that the group is dead.
   */
  async #withoutIdle(group: Group): Promise<Group> {
    if (group.consumers <= CONSUMERS_CHECKED_AT_ONCE) return group
    const consumers = await this.#delete(group, reapableConsumers(await this.#judge.consumersOf(group), 0, true))
    const { references = 0 } = this.#lostFirst.get(nameOf(group.rawName)) ?? {}
    this.#lostFirst.set(nameOf(group.rawName), { references, consumers })
    return { ...group, consumers: group.consumers - consumers }
  }

  /** Unlinks the stream if no group on it is alive. */
  async #deleteIdle(groups: readonly Group[]): Promise<void> {
    const { limits } = this.#context
    const dead = (await Promise.all(groups.map((group) => this.#judge.ifDead(group)))).filter((group) => group !== null)
    if (dead.length === groups.length) await this.#unlink('idle', limits.deleteIdleMs, dead)
  }

  async #unlink(kind: DeleteReason, idleMs: number, dead: readonly Group[]): Promise<void> {
    if (!this.#mayGoOn) return
    const { limits, nowMs, ask } = this.#context
    const { length, oldest } = this.#stream.state
    const unread = await countUnread(ask, this.#key, dead, length, oldest?.bytes ?? 0)
    const command = deleteStream(
      this.#key,
      kind,
      nowMs - idleMs,
      dead,
      limits.staleGroupAfterMs,
      this.#context.archivedBefore,
    )
    const cost = dead.reduce((sum, { consumers }) => sum + costOfConsumers(consumers), 4 * LEAST_COST)
    const [unlinked, entries] = (await this.#send(command, cost)) as [number, number]
    if (unlinked === 0) return
    this.deleted = kind
    this.unread = Math.min(unread, entries)
  }

  async #deleteConsumers(group: Group): Promise<void> {
    const { limits, nowMs, reapMemory } = this.#context
    const { quietGroups } = reapMemory
    const { rawName, consumers } = group
    if (!this.#mayGoOn || consumers === 0 || quietGroups.has(this.#key, group, nowMs)) return
    const all = await this.#judge.consumersOf(group)
    const reapable = reapableConsumers(all, limits.reapConsumersAfterMs, judgesLife(limits, rawName))
    const deleted = await this.#delete(group, reapable)
    if (deleted < reapable.length) return
    const { ifNoneAcks, whatever } = msToNextReapable(all, reapable, limits.reapConsumersAfterMs)
    quietGroups.set(this.#key, { ...group, consumers: consumers - deleted }, nowMs + ifNoneAcks, nowMs + whatever)
  }

  /** Deletes those of the consumers that still have nothing pending. @returns how many it deleted */
  async #delete({ rawName }: Group, consumers: readonly Consumer[]): Promise<number> {
    let deleted = 0
    for (let from = 0; from < consumers.length && this.#mayGoOn; from += CONSUMERS_AT_ONCE) {
      const names = consumers.slice(from, from + CONSUMERS_AT_ONCE).map(({ name }) => name)
      const gone = Number(await this.#send(deleteConsumers(this.#key, rawName, names), (names.length + 5) * LEAST_COST))
      this.counts.consumers += gone
      deleted += gone
    }
    if (deleted > 0) this.#judge.forget(rawName)
    return deleted
  }

  /** Drops references to missing entries, oldest first: before the first entry, and after it where `XDEL` left holes. @returns the groups with what they still have pending */
  async #dropPending(groups: readonly Group[]): Promise<readonly Group[]> {
    const { nowMs, reapMemory } = this.#context
    const { checkedReferences } = reapMemory
    const { length } = this.#stream.state
    const after: Group[] = []
    for (const group of groups) {
      if (group.pending === 0 || checkedReferences.has(this.#key, group, length, nowMs)) {
        after.push(group)
        continue
      }
      const dropped = this.#mayGoOn ? await this.#throughReferences('drop', group) : 0
      const left = { ...group, pending: group.pending - dropped }
      if (this.#mayGoOn) checkedReferences.set(this.#key, left, length, nowMs)
      after.push(left)
    }
    return after
  }

  /** Counts or drops references to missing entries. @returns how many there were */
  async #throughReferences(act: 'count' | 'drop', group: Group): Promise<number> {
    const { first, deleted } = await this.#readEnds()
    const found = await goThroughReferences(act, this.#key, group, missingRange(first, deleted), this.#context)
    if (act === 'drop') this.counts.pending += found
    // Consumers have less pending now.
    if (act === 'drop' && found > 0) this.#judge.forget(group.rawName)
    return found
  }

  /** Reads the ends of the stream once. */
  async #readEnds(): Promise<StreamEnds> {
    this.#ends ??= readEnds(await this.#send(endsCommand('EVAL', this.#key), 3 * LEAST_COST))
    return this.#ends
  }

  /** @throws Refused, Fault */
  async #send(command: Command, cost: number): Promise<Reply> {
    const [reply] = await this.#context.ask([command], cost)
    return accepted(reply, command)
  }
}

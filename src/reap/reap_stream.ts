/** Removes what one stream leaves behind: dead groups, dead consumers, references to missing entries, and the stream itself. */

import { readConsumers, readGroupsToReap, withLife } from '../look/consumer_groups.ts'
import { endsCommand, readEnds } from '../look/stream_ends.ts'
import type { State } from '../look/stream_state.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Fault } from '../redis/refusal.ts'
import { accepted, Refused } from '../redis/refused.ts'
import { LEAST_COST } from '../retention/bites.ts'
import { type Group, isStale } from '../retention/groups.ts'
import { reapsGroups } from '../retention/policy.ts'
import { isReapable, msToNextReapable, reapableConsumers } from '../retention/reaping.ts'
import { formatStreamId, isBefore } from '../retention/stream_id.ts'
import { deleteConsumers, deleteStream, destroyGroup, dropPending } from './reap_scripts.ts'
import type { DeleteReason, ReapContext, ReapCounts, Reaped } from './reaped.ts'

/** Consumers checked and deleted by one script: each takes Redis 3 to 5 microseconds. */
const CONSUMERS_AT_ONCE = 100
/** References dropped by one script: each takes Redis about a microsecond, and twice that where its entry is looked for. */
const REFERENCES_AT_ONCE = { all: 400, missing: 200 } as const
/** The cost of a script that takes Redis about 0.4 ms (see `redis/ask.ts`). */
const SCRIPT_COST = 0.5

/** Reaps one stream. Never throws what Redis or the connection did: the result holds that, beside what was done before. */
export async function reapStream(key: Buffer, state: State, context: ReapContext): Promise<Reaped> {
  const work = new ReapWork(key, state, context)
  let [refused, fault]: [Refused | null, Fault | null] = [null, null]
  try {
    await work.run()
  } catch (error) {
    if (error instanceof Refused) refused = error
    else if (error instanceof Fault) fault = error
    else throw error
  }
  const { counts, deleted, unread, entries } = work
  return { counts, deleted, unread, entries, refused, fault }
}

/** A stream to unlink if its last ID is before a time and no groups are left but dead ones. */
interface Deletion {
  readonly kind: DeleteReason
  readonly beforeMs: number
  readonly dead: readonly Group[]
}

class ReapWork {
  readonly counts: ReapCounts = { consumers: 0, groups: 0, pending: 0 }
  deleted: DeleteReason | null = null
  unread = 0
  entries = 0
  readonly #key: Buffer
  readonly #state: State
  readonly #context: ReapContext

  constructor(key: Buffer, state: State, context: ReapContext) {
    this.#key = key
    this.#state = state
    this.#context = context
  }

  async run(): Promise<void> {
    const { limits, ask } = this.#context
    const mayDelete = this.#mayDeleteEmpty || this.#mayDeleteIdle
    const readsGroups = this.#state.hasGroups !== false && (reapsGroups(limits) || this.#mayDeleteIdle)
    let groups = readsGroups ? await readGroupsToReap(ask, this.#key) : []
    if (limits.reapGroups !== null) groups = await this.#destroyDead(groups)
    if (Number.isFinite(limits.reapConsumersAfterMs)) for (const group of groups) await this.#deleteConsumers(group)
    if (limits.reapPending) await this.#dropPending(groups)
    if (mayDelete && !this.#context.stop.aborted) await this.#deleteStream()
  }

  get #mayDeleteEmpty(): boolean {
    return this.#context.limits.deleteEmpty && this.#state.length === 0
  }

  /** A stream whose oldest entry is younger than that was written since. */
  get #mayDeleteIdle(): boolean {
    const { limits, nowMs } = this.#context
    if (limits.deleteIdleMs === Number.POSITIVE_INFINITY) return false
    const { length, oldest } = this.#state
    return length === 0 || oldest === undefined || (oldest !== null && oldest.ms < nowMs - limits.deleteIdleMs)
  }

  /** Destroys dead groups whose name matches. @returns the groups that are left */
  async #destroyDead(groups: readonly Group[]): Promise<readonly Group[]> {
    const { ask, limits, nowMs, stop } = this.#context
    const left: Group[] = []
    for (const group of groups) {
      if (stop.aborted || !limits.reapGroups?.matches(group.rawName)) {
        left.push(group)
        continue
      }
      const judged = await withLife(ask, this.#key, group)
      const isDead = judged !== null && isReapable(judged, limits, nowMs)
      const command = destroyGroup(this.#key, group, limits.staleGroupAfterMs)
      const destroyed = isDead ? Number(await this.#send(command)) : 0
      this.counts.groups += destroyed
      if (destroyed === 0) left.push(group)
    }
    return left
  }

  async #deleteConsumers(group: Group): Promise<void> {
    const { ask, limits, nowMs, stop, quietGroups } = this.#context
    const { rawName, consumers, pending } = group
    if (stop.aborted || consumers === 0) return
    if (quietGroups.isQuiet(this.#key, rawName, consumers, pending, nowMs)) return
    const all = await readConsumers(ask, this.#key, rawName)
    const reapable = reapableConsumers(all, limits.reapConsumersAfterMs)
    let deleted = 0
    for (let from = 0; from < reapable.length && !stop.aborted; from += CONSUMERS_AT_ONCE) {
      const names = reapable.slice(from, from + CONSUMERS_AT_ONCE).map(({ name }) => name)
      deleted += Number(await this.#send(deleteConsumers(this.#key, rawName, names)))
    }
    this.counts.consumers += deleted
    const quietMs = msToNextReapable(all, limits.reapConsumersAfterMs)
    quietGroups.set(this.#key, rawName, consumers - deleted, pending, nowMs + quietMs)
  }

  /** Drops references to missing entries, oldest first: all before the first entry, and after it where `XDEL` left holes. */
  async #dropPending(groups: readonly Group[]): Promise<void> {
    const behind = groups.filter(({ pending }) => pending > 0)
    if (behind.length === 0) return
    const { first, deleted } = readEnds(await this.#send(endsCommand('EVAL', this.#key)))
    for (const { rawName } of behind) {
      await this.#dropRange(rawName, '-', first === null ? '+' : `(${formatStreamId(first)}`, 'all')
      if (first === null) continue
      // Redis before 7.0 does not know whether there are holes: then the whole list is gone through.
      const hasHoles = deleted === null || !isBefore(deleted, first)
      const to = deleted === null ? '+' : formatStreamId(deleted)
      if (hasHoles) await this.#dropRange(rawName, formatStreamId(first), to, 'missing')
    }
  }

  async #dropRange(group: Uint8Array, from: string, to: string, which: 'all' | 'missing'): Promise<void> {
    for (let next = from; !this.#context.stop.aborted; ) {
      const command = dropPending(this.#key, group, next, to, REFERENCES_AT_ONCE[which], which)
      const [dropped, last] = (await this.#send(command)) as [number, Buffer]
      this.counts.pending += dropped
      if (last.length === 0) return
      next = `(${last}`
    }
  }

  async #deleteStream(): Promise<void> {
    const { ask, limits, nowMs } = this.#context
    if (this.#mayDeleteEmpty) await this.#unlink({ kind: 'empty', beforeMs: nowMs - limits.maxAgeMs, dead: [] })
    if (this.deleted !== null || !this.#mayDeleteIdle) return
    const groups = this.#state.hasGroups === false ? [] : await readGroupsToReap(ask, this.#key)
    const judged = await Promise.all(groups.map((group) => withLife(ask, this.#key, group)))
    const isLiving = (group: Group | null): boolean =>
      group !== null && !isStale(group, limits.staleGroupAfterMs, nowMs)
    if (judged.some(isLiving)) return
    const dead = judged.filter((group) => group !== null)
    await this.#unlink({ kind: 'idle', beforeMs: nowMs - limits.deleteIdleMs, dead })
  }

  async #unlink({ kind, beforeMs, dead }: Deletion): Promise<void> {
    const { staleGroupAfterMs } = this.#context.limits
    const [unlinked, entries, unread] = (await this.#send(
      deleteStream(this.#key, kind, beforeMs, dead, staleGroupAfterMs, this.#context.archivedBefore),
    )) as [number, number, number]
    if (unlinked === 0) return
    this.deleted = kind
    this.entries = entries
    this.unread = unread
  }

  /** @throws Refused, Fault */
  async #send(command: Command): Promise<Reply> {
    const [reply] = await this.#context.ask([command], Math.max(LEAST_COST, SCRIPT_COST))
    return accepted(reply, command)
  }
}

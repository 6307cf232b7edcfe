/** Reads a stream's consumer groups. */

import { LEAST_COST } from '../entries/bites.ts'
import { formatStreamId, nextStreamId, parseStreamId } from '../entries/stream_id.ts'
import { fieldsOf } from '../look/fields.ts'
import { type Oldest, oldestCommand, readIds, readOldest } from '../look/stream_state.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Reply } from '../redis/connection.ts'
import { Refusal } from '../redis/refusal.ts'
import { accepted, isGone } from '../redis/refused.ts'
import type { Group } from '../retention/groups.ts'
import type { Limits } from '../retention/policy.ts'
import type { Consumer } from '../retention/reaping.ts'
import { shown } from '../text/shown.ts'
import type { LivingGroups } from './living_groups.ts'

/** How to judge whether groups are alive without asking more than necessary. */
export interface Judging {
  readonly living: LivingGroups
  readonly staleGroupAfterMs: number
  readonly nowMs: number
  /** Whether it matters if this group is alive. Its oldest pending entry is known where `unacked` needs it. */
  readonly matters: (group: Group) => boolean
}

/**
 * Reads the groups of a stream. Without protection only their positions; with protection also how long they have been idle
 * and the first entry that a group without consumers has not been delivered; with `unacked` also their oldest pending entry.
 * With `judging`, consumers are asked only where the group's life matters and is not remembered; otherwise the group counts
 * as alive.
 * @throws Refused
 */
export async function readGroups(
  ask: Ask,
  key: Buffer,
  protect: Limits['protect'],
  judging?: Judging,
): Promise<readonly Group[]> {
  const commands: Command[] = [['XINFO', 'GROUPS', key], ...(protect === 'unacked' ? [oldestCommand(key)] : [])]
  const [reply, first] = await ask(commands)
  if (reply instanceof Refusal && isGone(reply)) return []
  const replies = accepted(reply, commands[0] ?? [])
  if (!Array.isArray(replies)) return []
  if (protect === 'none') return groupsIn(replies)
  const oldest = protect === 'unacked' ? readOldest(accepted(first, commands[1] ?? [])) : null
  const withIts = (group: Group): Promise<Group | null> =>
    judging === undefined ? withLife(ask, key, group, oldest) : judgedLife(ask, key, group, oldest, judging)
  const groups = await Promise.all(replies.map((fields: Reply) => withIts(readGroup(fields))))
  return groups.filter((group) => group !== null)
}

/** The groups of a stream by their positions and counts alone; none if the stream is gone. @throws Refused */
export async function readGroupsToReap(ask: Ask, key: Buffer): Promise<readonly Group[]> {
  return readGroups(ask, key, 'none')
}

/** The groups in a reply to `XINFO GROUPS`. */
export function groupsIn(reply: Reply): readonly Group[] {
  return Array.isArray(reply) ? reply.map(readGroup) : []
}

/** One group from the reply to `XINFO GROUPS`. */
export function readGroup(fields: Reply): Group {
  const told = fieldsOf(fields)
  const lag = told.get('lag')
  const entriesRead = told.get('entries-read')
  const rawName = told.get('name') as Buffer
  return {
    name: shown(rawName),
    rawName,
    lastDelivered: parseStreamId(String(told.get('last-delivered-id'))),
    lag: typeof lag === 'number' ? lag : null,
    consumers: Number(told.get('consumers')),
    pending: Number(told.get('pending')),
    entriesRead: typeof entriesRead === 'number' ? entriesRead : null,
    oldestPending: null,
    idleMs: null,
    firstUndelivered: null,
  }
}

/**
 * The group with its signs of life; null if it is gone by now. Given the stream's oldest entry, also the group's oldest
 * pending entry from there on: trims leave pending references to removed entries, and those must hold nothing back.
 */
export async function withLife(
  ask: Ask,
  key: Buffer,
  group: Group,
  oldest: Oldest | null = null,
): Promise<Group | null> {
  const name = Buffer.from(group.rawName)
  const commands: Command[] = [
    group.consumers > 0
      ? ['XINFO', 'CONSUMERS', key, name]
      : ['XRANGE', key, formatStreamId(nextStreamId(group.lastDelivered)), '+', 'COUNT', '1'],
    ...(oldest === null ? [] : [['XPENDING', key, name, oldest.id, '+', '1']]),
  ]
  const replies = await ask(commands, [costOfConsumers(group.consumers), ...commands.slice(1).map(() => LEAST_COST)])
  if (replies.some((reply) => reply instanceof Refusal && isGone(reply))) return null
  const [life, pending] = replies.map((reply, i) => accepted(reply, commands[i] ?? []))
  const oldestPending = readIds(pending ?? null)[0] ?? null
  if (group.consumers === 0) {
    const first = readOldest(life ?? null)
    return { ...group, oldestPending, firstUndelivered: first === null ? null : parseStreamId(first.id) }
  }
  const idle = Array.isArray(life) ? life.map((consumer: Reply) => Number(fieldsOf(consumer).get('idle'))) : []
  return { ...group, oldestPending, idleMs: idle.length > 0 ? idle.reduce((least, ms) => Math.min(least, ms)) : null }
}

/** The same, but its consumers are asked only if its life matters and is not remembered. Otherwise `idleMs` stays null. */
async function judgedLife(
  ask: Ask,
  key: Buffer,
  group: Group,
  oldest: Oldest | null,
  { living, staleGroupAfterMs, nowMs, matters }: Judging,
): Promise<Group | null> {
  if (group.consumers === 0) return withLife(ask, key, group, oldest)
  const known = oldest === null || group.pending === 0 ? group : await withPending(ask, key, group, oldest)
  if (known === null || !matters(known)) return known
  return withRememberedLife(ask, key, known, { living, staleGroupAfterMs, nowMs })
}

/** The group with its signs of life, asked only if it is not known to be alive; null if it is gone by now. */
export async function withRememberedLife(
  ask: Ask,
  key: Buffer,
  group: Group,
  { living, staleGroupAfterMs, nowMs }: Omit<Judging, 'matters'>,
): Promise<Group | null> {
  const idleMs = group.consumers === 0 ? null : living.idleMs(key, group, staleGroupAfterMs, nowMs)
  if (idleMs !== null) return { ...group, idleMs }
  const asked = await withLife(ask, key, group)
  if (asked === null) return null
  if (group.consumers > 0) living.set(key, asked, staleGroupAfterMs, nowMs)
  return { ...asked, oldestPending: group.oldestPending }
}

/** The group with its oldest pending entry; null if it is gone by now. */
async function withPending(ask: Ask, key: Buffer, group: Group, oldest: Oldest): Promise<Group | null> {
  const command: Command = ['XPENDING', key, Buffer.from(group.rawName), oldest.id, '+', '1']
  const [reply] = await ask([command])
  if (reply instanceof Refusal && isGone(reply)) return null
  return { ...group, oldestPending: readIds(accepted(reply, command))[0] ?? null }
}

/** The cost of `XINFO CONSUMERS` (see `redis/ask.ts`): 20,000 consumers take Redis about 4 ms. */
export function costOfConsumers(consumers: number): number {
  return LEAST_COST + consumers / 4000
}

/** The consumers of a group, about `consumers` of them; none if it is gone by now. @throws Refused */
export async function readConsumers(
  ask: Ask,
  key: Buffer,
  group: Uint8Array,
  consumers: number,
): Promise<readonly Consumer[]> {
  const command: Command = ['XINFO', 'CONSUMERS', key, Buffer.from(group)]
  const [reply] = await ask([command], costOfConsumers(consumers))
  if (reply instanceof Refusal && isGone(reply)) return []
  const all = accepted(reply, command)
  if (!Array.isArray(all)) return []
  return all.map((fields: Reply) => {
    const told = fieldsOf(fields)
    return {
      name: told.get('name') as Buffer,
      pending: Number(told.get('pending')),
      idleMs: Number(told.get('idle')),
      countsAttempts: told.has('inactive'),
    }
  })
}

/** One stream: which policy holds it and why, how each limit stands, what its groups keep, and what the next sweep does. */

import { leastCosts } from '../entries/bites.ts'
import { isBefore, isTime, laterOf, nextStreamId, parseStreamId, type StreamId, timeId } from '../entries/stream_id.ts'
import { CountingWay } from '../forecast/counting_way.ts'
import { EntryCounter } from '../forecast/entry_counter.ts'
import { readStreamEnds } from '../forecast/forecast_reap.ts'
import { type Forecast, forecastStream, NOTHING } from '../forecast/forecast_stream.ts'
import { tellBytes } from '../forecast/told_bytes.ts'
import { isDue, isReapDue } from '../judge/due.ts'
import type { Found } from '../look/found.ts'
import { lookAtPage } from '../look/look.ts'
import { memoryHabits } from '../look/memory_habits.ts'
import { type Oldest, oldestCommand, readOldest } from '../look/stream_state.ts'
import type { Address } from '../redis/address.ts'
import type { Ask } from '../redis/ask.ts'
import type { Command, Connection, Reach } from '../redis/connection.ts'
import type { Topology } from '../redis/primaries.ts'
import { Fault } from '../redis/refusal.ts'
import {
  accepted,
  hasStoppedBeingStream,
  type Lack,
  lackOf,
  type Missing,
  type MissingCommands,
  missingTold,
  nameOf,
  Refused,
} from '../redis/refused.ts'
import { readClock } from '../redis/server_state.ts'
import { type Policy, policyFor, sumOfReasons } from '../retention/policy.ts'
import { onPrimaryOf } from '../shared_keys/key_home.ts'
import { readShown, shown } from '../text/shown.ts'
import { type Pace, paced } from '../walk/pace.ts'
import { entryBytes, readMemory } from './bytes.ts'
import { type Remains, whyNotEmpty, whyNotIdle } from './deletion.ts'
import { type Finding, findingsOf } from './findings.ts'
import { explainGroups, type GroupExplained } from './groups.ts'
import { rememberingGroups } from './remembered.ts'
import { readWritten, type Written } from './written.ts'

export interface ExplainTask {
  readonly topology: Topology
  readonly reach: Reach
  readonly policies: readonly Policy[]
  readonly paceOf: (address: Address) => Pace
}

/** What there is to say of a key. */
export interface Explanation {
  readonly key: Buffer
  readonly result: 'success' | 'failed'
  /** Why it failed: `missing`, `not_a_stream`, or an error word; null for a success. */
  readonly cause: string | null
  /** The same for people. */
  readonly message: string | null
  /** Null where it failed. */
  readonly stream: StreamExplained | null
  /** Commands that are missing, with what needs them and why they are missing. */
  readonly missing: MissingCommands
}

export interface StreamExplained {
  /** Redis's clock. */
  readonly nowMs: number
  /** Null if no policy covers the stream. */
  readonly policy: Policy | null
  /** The policies that come before it and do not match; all if none matches. */
  readonly passed: readonly Policy[]
  readonly length: number
  /** What the entries take; null where the ACL hides it. */
  readonly bytes: number | null
  /** What Redis reports for the stream with its groups, which it overstates; null where the ACL denies it. */
  readonly memory: number | null
  readonly first: Oldest | null
  readonly last: Oldest | null
  readonly hasTimeIds: boolean
  /** Null for custom IDs and for an empty stream. */
  readonly written: Written | null
  readonly findings: readonly Finding[]
  readonly groups: readonly GroupExplained[]
  /** What the next sweep does; null if no policy covers the stream. */
  readonly nextSweep: Forecast | null
  /** Why these leave the stream; null where nothing is in the way, or where they are off. */
  readonly stays: { readonly 'delete-empty': string | null; readonly 'delete-idle': string | null }
}

/** Explains the key that this text names. Never throws what Redis did. */
export async function explain(text: string, task: ExplainTask, stop: AbortSignal): Promise<Explanation> {
  const missing = new Map<string, Omit<Lack, 'command'>>()
  const keys = keysMeant(text)
  const fail = (key: Buffer, cause: string, message: string): Explanation => {
    return { key, result: 'failed', cause, message, stream: null, missing }
  }
  let failure: Explanation | null = null
  for (const key of keys) {
    try {
      const found = await untilUnchanged(() =>
        onPrimaryOf(key, task.topology, task.reach, stop, (connection) =>
          explainOn(connection, key, task, missing, stop),
        ),
      )
      if (typeof found !== 'string') {
        return { key, result: 'success', cause: null, message: null, stream: found, missing }
      }
      failure ??= found === 'none' ? fail(key, 'missing', `there is no key ${shown(key)}`) : null
      if (found !== 'none') return fail(key, 'not_a_stream', `${shown(key)} is a ${found}, not a stream`)
    } catch (error) {
      if (error instanceof Fault) return fail(key, error.code, error.message)
      if (!(error instanceof Refused)) throw error
      const lack = lackOf(error.command, error.refusal)
      const told = lack && { neededFor: 'explain', why: lack.why }
      if (lack && told) missing.set(lack.command, told)
      const message = lack && told ? missingTold(lack.command, told) : error.message
      return fail(key, error.refusal.word, message)
    }
  }
  return failure as Explanation
}

/** Times to look at a stream that others change: delete, put another key in its place, or destroy its groups. */
const MOST_LOOKS = 5

/** @throws Refused, Fault */
async function untilUnchanged<T>(look: () => Promise<T>): Promise<T> {
  for (let looks = 1; ; looks++) {
    try {
      return await look()
    } catch (error) {
      if (!(error instanceof Refused && hasStoppedBeingStream(error.refusal)) || looks === MOST_LOOKS) throw error
    }
  }
}

/** The keys that a text may name, first as xtrimd shows keys, then as it stands. They differ only with a backslash. */
function keysMeant(text: string): [Buffer, ...Buffer[]] {
  const asTyped = Buffer.from(text)
  const read = readShown(text)
  return read === null || read.equals(asTyped) ? [asTyped] : [read, asTyped]
}

/** The stream; or what the key is instead, as TYPE says. @throws Refused, Fault */
async function explainOn(
  connection: Connection,
  key: Buffer,
  { policies, paceOf }: ExplainTask,
  missing: Map<string, Omit<Lack, 'command'>>,
  stop: AbortSignal,
): Promise<StreamExplained | string> {
  const pace = paceOf(connection.address)
  const ask = rememberingGroups(paced(connection, pace, stop))
  const miss: Missing = (command, neededFor, why) => missing.set(command, { neededFor, why })
  const nowMs = await readClock(connection.ask)
  const typeOf: Command = ['TYPE', key]
  const kind = String(accepted((await ask([typeOf]))[0], typeOf))
  if (kind !== 'stream') return kind

  const way = new CountingWay(pace.mostAtOnce, miss)
  const place = policyFor(policies, key)
  const policy = policies[place] ?? null
  const memory = await readMemory(ask, key, miss)
  const found = policy === null ? null : await lookAtOne(ask, key, policies, nowMs)
  const forecast =
    policy !== null && found !== null && (isDue(found, policy, nowMs) || isReapDue(found, policy, nowMs))
      ? await forecastStream(found, {
          ask,
          limits: policy,
          nowMs,
          way,
          missing: miss,
          bytes: (await tellBytes(ask, found, memory, policy, memoryHabits(ask))).bytes,
        })
      : NOTHING
  const outer = await readEnds(ask, key)
  const { first, last } = outer
  const oldest = first === null ? null : parseStreamId(first.id)
  const bytes = memory === null ? null : await entryBytes(ask, key, memory, miss)
  const hasTimeIds = found === null ? first !== null && isTime(first.ms, nowMs) : found.hasTimeIds
  const counter = forecast.counter ?? counterOf(key, outer, ask, way)
  const length = counter?.length ?? 0
  const largest = Math.max(first?.bytes ?? 0, last?.bytes ?? 0)

  const wanted =
    policy === null || counter === null ? null : await wantedBy(policy, { counter, bytes, nowMs, hasTimeIds })
  // What the ACL may not allow here must not make the counts above estimates.
  const groupsWay = new CountingWay(pace.mostAtOnce, miss)
  const shared = { ask, key, limits: policy, nowMs, counter, oldest, wanted, missing: miss }
  const groups = await explainGroups({ ...shared, way: groupsWay })
  const older = async (ageMs: number): Promise<number | null> => {
    if (!Number.isFinite(ageMs)) return 0
    return counter === null ? 0 : hasTimeIds ? counter.before(timeId(nowMs - ageMs)) : null
  }
  const figures = policy && {
    ...{ length, bytes },
    older: await older(policy.maxAgeMs),
    olderThanHard: await older(policy.hardMaxAgeMs),
  }
  const gone = sumOfReasons(forecast.removed)
  const ends = policy !== null && mayDelete(policy) ? await readStreamEnds(key, ask, groupsWay) : null
  const lastMs = ends?.last ? Number(ends.last.ms) : null
  const isHeld = groups.some(({ holdsBack }) => holdsBack)
  return {
    ...{ nowMs, policy, length, bytes, memory, first, last, hasTimeIds, groups },
    passed: place < 0 ? policies : policies.slice(0, place),
    written:
      counter === null || oldest === null || !hasTimeIds
        ? null
        : await readWritten(counter, { length, oldest, entryBytes: largest, nowMs }),
    findings: policy === null || figures === null ? [] : findingsOf(policy, figures, forecast, isHeld),
    nextSweep: policy === null ? null : forecast,
    stays: policy === null ? NEITHER : stays(policy, { entries: length - gone, groups, lastMs, nowMs }),
  }
}

/** As every sweep looks at a stream. @throws Refused, Fault */
async function lookAtOne(ask: Ask, key: Buffer, policies: readonly Policy[], nowMs: number): Promise<Found | null> {
  const { found, unseen } = await lookAtPage(ask, [key], policies, nowMs)
  for (const { refusal, command } of unseen) throw new Refused(refusal, nameOf(command))
  return found[0] ?? null
}

interface Ends {
  readonly length: number
  readonly first: Oldest | null
  readonly last: Oldest | null
}

async function readEnds(ask: Ask, key: Buffer): Promise<Ends> {
  const commands: Command[] = [['XLEN', key], oldestCommand(key), ['XREVRANGE', key, '+', '-', 'COUNT', '1']]
  const replies = await ask(commands, leastCosts(3))
  const [length, first, last] = replies.map((reply, i) => accepted(reply, commands[i] ?? []))
  return { length: Number(length), first: readOldest(first ?? null), last: readOldest(last ?? null) }
}

function counterOf(key: Buffer, { length, first, last }: Ends, ask: Ask, way: CountingWay): EntryCounter | null {
  if (first === null || last === null) return null
  const [oldest, newest] = [parseStreamId(first.id), parseStreamId(last.id)]
  return new EntryCounter({ key, length, oldest, newest, entryBytes: first.bytes }, ask, way)
}

/** The first ID that the policy's limits let stay, if no group held anything back; null if they remove nothing. */
async function wantedBy(
  policy: Policy,
  stream: {
    readonly counter: EntryCounter
    readonly bytes: number | null
    readonly nowMs: number
    readonly hasTimeIds: boolean
  },
): Promise<StreamId | null> {
  const { counter, bytes, nowMs, hasTimeIds } = stream
  const { length, newest } = counter
  const byAge = hasTimeIds ? timeId(nowMs - policy.maxAgeMs) : timeId(0)
  const byLength = length > policy.maxLength ? ((await counter.idAt(length - policy.maxLength)) ?? newest) : timeId(0)
  const byBytes = (bytes ?? 0) > policy.maxBytes ? newest : timeId(0)
  const wanted = [byAge, byLength, byBytes].reduce(laterOf)
  // After the newest entry there is nothing to keep.
  const end = nextStreamId(newest)
  return (await counter.before(wanted)) === 0 ? null : isBefore(end, wanted) ? end : wanted
}

function mayDelete({ deleteEmpty, deleteIdleMs }: Policy): boolean {
  return deleteEmpty || Number.isFinite(deleteIdleMs)
}

const NEITHER = { 'delete-empty': null, 'delete-idle': null }

function stays(policy: Policy, remains: Remains): StreamExplained['stays'] {
  return {
    'delete-empty': policy.deleteEmpty ? whyNotEmpty(remains, policy) : null,
    'delete-idle': Number.isFinite(policy.deleteIdleMs) ? whyNotIdle(remains, policy) : null,
  }
}

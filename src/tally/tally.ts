/** Sums of what Redis replied. Each stream adds to it once, so it is complete however a sweep ends. */

import type { Forecast } from '../forecast/forecast_stream.ts'
import { addForecast, addForetold, type Foretold, nothingForetold } from '../forecast/foretold.ts'
import type { DeleteReason, ReapCounts } from '../reap/reaped.ts'
import type { Lack } from '../redis/refused.ts'
import {
  forEachLimit,
  forEachReason,
  LIMITS,
  type LimitName,
  type Policy,
  REASONS,
  type Reason,
} from '../retention/policy.ts'
import { Longest } from './longest.ts'
import { HELD_NAMED, type HeldStream, type Outcome, type RefusedFields, type SkipReason } from './outcome.ts'

/** What a sweep did to the streams of one policy. */
export interface PolicyTally {
  readonly policy: string
  streams: number
  emptyStreams: number
  entries: { before: number; after: number }
  longestStream: number
  removed: Record<Reason, number>
  /** How many of the removed entries some group had not been delivered, where Redis knows. */
  unread: number
  /** Entries that the archive has confirmed to be stored, and the bytes that they take there. An entry may be stored twice. */
  archived: number
  archivedBytes: number
  /** How many of the removed entries the archive has not confirmed: hard limits remove those while the archive fails. */
  unarchived: number
  deletedStreams: number
  /** The same by why they were unlinked. */
  deletedFor: Record<DeleteReason, number>
  reaped: ReapCounts
  skipped: Record<SkipReason, number>
  /** Streams still over a limit, beyond the slack of `--trim approx`. */
  overLimit: Record<LimitName, number>
  /** Streams in which a consumer group held the trim back. */
  protectedStreams: number
  /** Streams that Redis refused to have looked at or trimmed, by its error word. */
  readonly errors: Record<string, number>
  /** In a dry run, what a sweep would have done. */
  foretold?: Foretold
}

export class Tally {
  readonly policies: readonly PolicyTally[]
  readonly longest: Longest
  readonly held: HeldStream[] = []
  /** Commands that are missing, with what needs them and why they are missing. */
  readonly missing = new Map<string, Omit<Lack, 'command'>>()
  /** For each error word, the first command that Redis refused with it, and Redis's message. */
  readonly refusals = new Map<string, string>()

  constructor(policies: readonly Policy[], longestStreams: number, isDryRun = false) {
    this.policies = policies.map(({ name }) => ({
      ...emptyTally(name),
      ...(isDryRun ? { foretold: nothingForetold() } : {}),
    }))
    this.longest = new Longest(longestStreams)
  }

  /** Adds a stream that was found inside its policy. */
  addUntouched(policy: number, key: Buffer, length: number): void {
    const tally = this.#of(policy)
    tally.streams++
    tally.entries.before += length
    this.#addLength(tally, key, length)
  }

  addOutcome(policy: number, outcome: Outcome): void {
    const tally = this.#of(policy)
    tally.streams++
    tally.entries.before += outcome.before
    for (const reason of REASONS) tally.removed[reason] += outcome.removed[reason]
    for (const limit of LIMITS) if (outcome.over[limit]) tally.overLimit[limit]++
    tally.unread += outcome.unread
    tally.unarchived += outcome.unarchived
    if (outcome.held !== null) {
      tally.protectedStreams++
      if (this.held.length < HELD_NAMED) this.held.push({ key: outcome.key, policy: tally.policy, hold: outcome.held })
    }
    if (outcome.skipped !== null) tally.skipped[outcome.skipped]++
    if (outcome.refused !== null) countRefusal(outcome.refused, tally.errors, this.refusals)
    for (const [kind, n] of entriesOf(outcome.reaped)) tally.reaped[kind] += n
    if (outcome.deleted !== null) {
      tally.deletedStreams++
      tally.deletedFor[outcome.deleted]++
    }
    // A stream that is gone has no length to count.
    if (outcome.deleted !== null || outcome.skipped === 'not_a_stream') {
      tally.streams--
    } else {
      this.#addLength(tally, outcome.key, outcome.after)
    }
  }

  /** Adds what a sweep would do to one stream. */
  addForecast(policy: number, forecast: Forecast): void {
    const { foretold } = this.#of(policy)
    if (foretold !== undefined) addForecast(foretold, forecast)
  }

  /** Adds entries that the archive has confirmed. */
  addArchived(policy: number, entries: number, bytes: number): void {
    const tally = this.#of(policy)
    tally.archived += entries
    tally.archivedBytes += bytes
  }

  /** Adds a stream that could not be looked at. */
  addRefused(policy: number, refused: RefusedFields): void {
    const tally = this.#of(policy)
    tally.streams++
    countRefusal(refused, tally.errors, this.refusals)
  }

  /** Adds a key that had stopped being a stream when its turn came. */
  addSkipped(policy: number, reason: SkipReason): void {
    this.#of(policy).skipped[reason]++
  }

  #addLength(tally: PolicyTally, key: Buffer, length: number): void {
    if (length === 0) tally.emptyStreams++
    tally.entries.after += length
    tally.longestStream = Math.max(tally.longestStream, length)
    this.longest.offer(key, tally.policy, length)
  }

  #of(policy: number): PolicyTally {
    const tally = this.policies[policy]
    if (tally === undefined) throw new RangeError(`no policy ${policy}`)
    return tally
  }
}

export function emptyTally(policy: string): PolicyTally {
  return {
    policy,
    streams: 0,
    emptyStreams: 0,
    entries: { before: 0, after: 0 },
    longestStream: 0,
    removed: forEachReason(0),
    unread: 0,
    archived: 0,
    archivedBytes: 0,
    unarchived: 0,
    deletedStreams: 0,
    deletedFor: { empty: 0, idle: 0 },
    reaped: { consumers: 0, groups: 0, pending: 0 },
    skipped: { custom_ids: 0, not_a_stream: 0 },
    overLimit: forEachLimit(0),
    protectedStreams: 0,
    errors: {},
  }
}

/** The sum over policies, under the name `all`. */
export function sumOf(tallies: readonly PolicyTally[]): PolicyTally {
  const sum = emptyTally('all')
  for (const tally of tallies) addTally(sum, tally)
  return sum
}

/** Adds one tally to another. */
export function addTally(sum: PolicyTally, tally: PolicyTally): void {
  sum.streams += tally.streams
  sum.emptyStreams += tally.emptyStreams
  sum.entries.before += tally.entries.before
  sum.entries.after += tally.entries.after
  sum.longestStream = Math.max(sum.longestStream, tally.longestStream)
  for (const [reason, n] of entriesOf(tally.removed)) sum.removed[reason] += n
  sum.unread += tally.unread
  sum.archived += tally.archived
  sum.archivedBytes += tally.archivedBytes
  sum.unarchived += tally.unarchived
  sum.deletedStreams += tally.deletedStreams
  for (const [why, n] of entriesOf(tally.deletedFor)) sum.deletedFor[why] += n
  for (const [kind, n] of entriesOf(tally.reaped)) sum.reaped[kind] += n
  for (const [reason, n] of entriesOf(tally.skipped)) sum.skipped[reason] += n
  for (const [limit, n] of entriesOf(tally.overLimit)) sum.overLimit[limit] += n
  sum.protectedStreams += tally.protectedStreams
  for (const [word, n] of entriesOf(tally.errors)) addTo(sum.errors, word, n)
  if (tally.foretold === undefined) return
  sum.foretold ??= nothingForetold()
  addForetold(sum.foretold, tally.foretold)
}

/** Counts a refusal under its word, and keeps the first message of each word. */
export function countRefusal(
  { word, command, message }: RefusedFields,
  errors: Record<string, number>,
  first: Map<string, string>,
): void {
  addTo(errors, word, 1)
  if (!first.has(word)) first.set(word, `${command}: ${message}`)
}

function addTo(counts: Record<string, number>, name: string, n: number): void {
  counts[name] = (counts[name] ?? 0) + n
}

/** Object.entries that remembers the type of the keys. */
export function entriesOf<Key extends string, Value>(record: Readonly<Record<Key, Value>>): [Key, Value][] {
  return Object.entries(record) as [Key, Value][]
}

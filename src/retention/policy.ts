/** Policies: which streams, and what they may keep. */
import { compileGlob, literalPrefix } from './glob.ts'

/** How near to its limits a stream is brought: to a node, or to the entry. */
export const TRIM_MODES = ['approx', 'exact'] as const
/** What consumer groups keep in spite of the limits: nothing, what they were not delivered, or also what they did not acknowledge. */
export const PROTECT_MODES = ['none', 'unread', 'unacked'] as const

/** What one stream may keep, and how it is brought there. Times in milliseconds; a limit that is off is Infinity. */
export interface Limits {
  readonly maxAgeMs: number
  readonly maxLength: number
  readonly maxBytes: number
  readonly trim: (typeof TRIM_MODES)[number]
  readonly protect: (typeof PROTECT_MODES)[number]
  /** Limits that hold whatever a group has not read. */
  readonly hardMaxAgeMs: number
  readonly hardMaxLength: number
  readonly staleGroupAfterMs: number
  readonly deleteEmpty: boolean
}

/** Limits for the streams whose keys match. `name` is the label of metrics and reports. */
export interface Policy extends Limits {
  readonly name: string
  readonly match: string
  readonly matches: (key: Uint8Array) => boolean
  /** What a stream is judged by, also where it is held to something tighter for once. */
  readonly own: Limits
}

/** Why an entry was removed: the limit it was beyond. Applied in this order, so each removal has one reason. */
export const REASONS = ['age', 'length', 'bytes'] as const
export type Reason = (typeof REASONS)[number]

/** The same for every reason, to begin with. */
export function forEachReason<T>(value: T): Record<Reason, T> {
  return { age: value, length: value, bytes: value }
}

/** What went for any reason, in all. */
export function sumOfReasons(removed: Readonly<Record<Reason, number>>): number {
  return REASONS.reduce((sum, reason) => sum + removed[reason], 0)
}

/** A policy that knows which keys it covers: those that `match`, a glob of Redis, does. */
export function makePolicy(name: string, match: string, limits: Limits): Policy {
  return Object.freeze({ ...limits, name, match, matches: compileGlob(match), own: limits })
}

/** The first policy whose pattern covers the key: its place in `policies`, or -1. */
export function policyFor(policies: readonly Policy[], key: Uint8Array): number {
  for (let place = 0; place < policies.length; place++) if (policies[place]?.matches(key)) return place
  return -1
}

/** One glob that covers every key any of the policies covers, so that Redis sends few others: one SCAN serves them all. */
export function scanPattern(policies: readonly Policy[]): string {
  const patterns = policies.map((policy) => policy.match)
  if (new Set(patterns).size === 1) return patterns[0] ?? '*'
  const prefixes = patterns.map(literalPrefix)
  // By whole characters: half of one that takes two places in a text is no character of any key.
  const common = Array.from(prefixes[0] ?? '')
  while (!prefixes.every((prefix) => prefix.startsWith(common.join('')))) common.pop()
  return `${common.join('')}*`
}

/** What of a policy can be held at every write, and not only by a sweep: the limits on what a stream may hold. */
export function betweenSweeps(policy: Policy): Policy {
  const off = { maxAgeMs: Number.POSITIVE_INFINITY, hardMaxAgeMs: Number.POSITIVE_INFINITY, deleteEmpty: false }
  return Object.freeze({ ...policy, ...off, own: { ...policy.own, ...off } })
}

/** The policy with a length limit that is at most this; streams are judged by its own all the same. */
export function tightened(policy: Policy, maxLength: number): Policy {
  return Object.freeze({ ...policy, maxLength: Math.min(policy.maxLength, maxLength) })
}

/** Whether any limit of the policy needs the oldest entry: one entry carried per stream and sweep. */
export function needsOldest(limits: Limits): boolean {
  return limits.maxAgeMs !== Number.POSITIVE_INFINITY || limits.hardMaxAgeMs !== Number.POSITIVE_INFINITY
}

/** The age limit that holds in the end, whatever groups protect. */
export function ageLimitMs(limits: Limits): number {
  return Math.min(limits.maxAgeMs, limits.hardMaxAgeMs)
}

/** The length limit that holds in the end. */
export function lengthLimit(limits: Limits): number {
  return Math.min(limits.maxLength, limits.hardMaxLength)
}

/** Whether nothing but a stream's length and its oldest entry tells if it is beyond these limits. */
export function areLengthAndAge(limits: Limits): boolean {
  return needsOldest(limits) && limits.maxBytes === Number.POSITIVE_INFINITY
}

/** Whether anything bounds what a stream may hold, however young it is. */
export function boundSize(limits: Limits): boolean {
  return [limits.maxLength, limits.hardMaxLength, limits.maxBytes].some(Number.isFinite)
}

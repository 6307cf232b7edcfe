/** Policies: which streams they cover, and what those may keep. */
import { compileGlob, literalPrefix } from './glob.ts'

/** `approx` removes whole nodes only; `exact` trims to the entry. */
export const TRIM_MODES = ['approx', 'exact'] as const
/** What consumer groups keep in spite of the limits: nothing, undelivered entries, or unacknowledged entries too. */
export const PROTECT_MODES = ['none', 'unread', 'unacked'] as const

/** What a stream may keep, and how it is trimmed. Times are in milliseconds; a limit that is off is Infinity. */
export interface Limits {
  readonly maxAgeMs: number
  readonly maxLength: number
  readonly maxBytes: number
  readonly trim: (typeof TRIM_MODES)[number]
  readonly protect: (typeof PROTECT_MODES)[number]
  /** Limits that apply in spite of groups. */
  readonly hardMaxAgeMs: number
  readonly hardMaxLength: number
  readonly staleGroupAfterMs: number
  /** Age at which entries go that every living group has acknowledged; 0 for at once. */
  readonly ackedAfterMs: number
  readonly deleteEmpty: boolean
  /** Age of a stream's last ID from which on the stream is unlinked, unless a group lives on it. */
  readonly deleteIdleMs: number
  readonly reapConsumersAfterMs: number
  /** The names of groups that may be destroyed once they are dead; null for none. */
  readonly reapGroups: Glob | null
  readonly reapPending: boolean
}

/** A glob as Redis understands it. */
export interface Glob {
  readonly pattern: string
  readonly matches: (text: Uint8Array) => boolean
}

export function makeGlob(pattern: string): Glob {
  return Object.freeze({ pattern, matches: compileGlob(pattern) })
}

/** Reaping switched off: what only whole sweeps do. */
const NO_REAPING = {
  deleteIdleMs: Number.POSITIVE_INFINITY,
  reapConsumersAfterMs: Number.POSITIVE_INFINITY,
  reapGroups: null,
  reapPending: false,
} as const

/** Where a policy and its limits came from: `flag`, `default`, or the name of a variable. */
export interface Origin {
  /** The text that made the policy; a line of a file too. */
  readonly policy: string
  /** Each limit by the name of its flag; `policy` where the policy itself sets it. */
  readonly limits: Readonly<Record<string, string>>
}

/** Limits for the streams whose keys match. */
export interface Policy extends Limits {
  /** The label in metrics and reports. */
  readonly name: string
  readonly match: string
  readonly matches: (key: Uint8Array) => boolean
  /** The configured limits. They decide whether a stream is over its limits, also when one sweep trims to tighter ones. */
  readonly configured: Limits
  readonly origin: Origin
  /** Whether entries are archived before they are removed. */
  readonly archive: boolean
}

/** Limits that a stream can be over. */
export const LIMITS = ['age', 'length', 'bytes'] as const
export type LimitName = (typeof LIMITS)[number]

/** Why an entry was removed. Reasons apply in this order, so each removal has one. */
export const REASONS = [...LIMITS, 'acked'] as const
export type Reason = (typeof REASONS)[number]

/** The same value for every limit. */
export function forEachLimit<T>(value: T): Record<LimitName, T> {
  return { age: value, length: value, bytes: value }
}

/** The same value for every reason, such as 0 to start counting. */
export function forEachReason<T>(value: T): Record<Reason, T> {
  return { ...forEachLimit(value), acked: value }
}

/** Entries removed for all reasons together. */
export function sumOfReasons(removed: Readonly<Record<Reason, number>>): number {
  return REASONS.reduce((sum, reason) => sum + removed[reason], 0)
}

/** `match` is a glob as Redis understands it. */
export function makePolicy(
  name: string,
  match: string,
  limits: Limits,
  origin: Origin = { policy: 'default', limits: {} },
  archive = false,
): Policy {
  return Object.freeze({ ...limits, name, match, matches: compileGlob(match), configured: limits, origin, archive })
}

/** The index of the first policy whose pattern matches the key, or -1. */
export function policyFor(policies: readonly Policy[], key: Uint8Array): number {
  for (let place = 0; place < policies.length; place++) if (policies[place]?.matches(key)) return place
  return -1
}

/** One glob that matches every key of every policy and few others, so that one SCAN serves all policies. */
export function scanPattern(policies: readonly Policy[]): string {
  const patterns = policies.map((policy) => policy.match)
  if (new Set(patterns).size === 1) return patterns[0] ?? '*'
  const prefixes = patterns.map(literalPrefix)
  // Shorten by whole characters: half a surrogate pair matches no key.
  const common = Array.from(prefixes[0] ?? '')
  while (!prefixes.every((prefix) => prefix.startsWith(common.join('')))) common.pop()
  return `${common.join('')}*`
}

/** The policy without its age limits and deletion: what remains can be enforced at every write, between sweeps. */
export function sizeLimitsOnly(policy: Policy): Policy {
  const off = {
    maxAgeMs: Number.POSITIVE_INFINITY,
    hardMaxAgeMs: Number.POSITIVE_INFINITY,
    ackedAfterMs: Number.POSITIVE_INFINITY,
    deleteEmpty: false,
    ...NO_REAPING,
  }
  return Object.freeze({ ...policy, ...off, configured: { ...policy.configured, ...off } })
}

/** The policy with a length limit of at most `maxLength`, and without reaping. The configured limits still decide what is over. */
export function tightened(policy: Policy, maxLength: number): Policy {
  return Object.freeze({ ...policy, ...NO_REAPING, maxLength: Math.min(policy.maxLength, maxLength) })
}

/** Whether a limit depends on the oldest entry, which then must be read from every stream. */
export function needsOldest(limits: Limits): boolean {
  const { ackedAfterMs, deleteIdleMs } = limits
  return [ageLimitMs(limits), ackedAfterMs || Number.POSITIVE_INFINITY, deleteIdleMs].some(Number.isFinite)
}

/** The stricter of the two age limits. */
export function ageLimitMs(limits: Limits): number {
  return Math.min(limits.maxAgeMs, limits.hardMaxAgeMs)
}

/** The age of an oldest entry from which on there may be something to remove. */
export function lookAgeMs(limits: Limits): number {
  return Math.min(ageLimitMs(limits), limits.ackedAfterMs, limits.deleteIdleMs)
}

/** Whether anything is to be reaped from consumer groups. */
export function reapsGroups({ reapConsumersAfterMs, reapGroups, reapPending }: Limits): boolean {
  return Number.isFinite(reapConsumersAfterMs) || reapGroups !== null || reapPending
}

/** The stricter of the two length limits. */
export function lengthLimit(limits: Limits): number {
  return Math.min(limits.maxLength, limits.hardMaxLength)
}

/** Whether a stream's length and oldest entry are enough to tell if it is over these limits. */
export function needOnlyLengthAndAge(limits: Limits): boolean {
  return needsOldest(limits) && limits.maxBytes === Number.POSITIVE_INFINITY
}

/** Whether any limit bounds a stream's length or bytes. */
export function limitSize(limits: Limits): boolean {
  return [limits.maxLength, limits.hardMaxLength, limits.maxBytes].some(Number.isFinite)
}

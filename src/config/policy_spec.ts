/** Policies: specs (a glob, then limits by their flags' names, separated by commas) from `--policy` and a file, and the plain flags. */
import { hasFolder } from '../archive/segment_name.ts'
import { type Flag, type FlagValue, type limitFlags, specFlags } from '../flags/flags.ts'
import type { Reader } from '../flags/reader.ts'
import { type Limits, makePolicy, type Policy, reapsGroups } from '../retention/policy.ts'
import { nearest } from '../text/nearest.ts'
import { BrokenRule, formatDuration } from '../text/quantities.ts'
import { readPolicyFile } from './policy_file.ts'

/** One parsed spec. It inherits what it does not name from the plain flags. */
interface PolicySpec {
  readonly match: string
  readonly name: string | null
  /** Parsed values by flag name. */
  readonly values: ReadonlyMap<string, unknown>
  /** Where in the text the value of each limit, or of `name`, starts; from 0. */
  readonly places: ReadonlyMap<string, number>
}

/** Most characters of an unknown name to repeat. */
const LONGEST_NAME = 60

/**
 * A literal comma in the glob is written `\,`. Spaces before the glob are ignored, but count in places.
 * @throws BrokenRule that names the part and its place
 */
function parsePolicySpec(text: string): PolicySpec {
  const start = indentOf(text)
  const [glob, ...parts] = splitAtCommas(text, start)
  if (glob === undefined || glob.text === '') throw new BrokenRule('must start with a glob', text === '' ? null : start)
  const values = new Map<string, unknown>()
  const places = new Map<string, number>()
  let name: string | null = null
  for (const part of parts) {
    const equals = part.text.indexOf('=')
    const key = equals < 0 ? part.text : part.text.slice(0, equals)
    const value = equals < 0 ? null : part.text.slice(equals + 1)
    const flag: Flag<unknown> | undefined = Object.hasOwn(specFlags, key)
      ? specFlags[key as keyof typeof specFlags]
      : undefined
    if (key !== 'name' && flag === undefined) {
      const names = ['name', ...Object.keys(specFlags)]
      const meant = nearest(key.slice(0, LONGEST_NAME), names)
      const hint = meant === null ? `must be one of ${names.join(', ')}` : `did you mean ${meant}?`
      throw new BrokenRule(`unknown limit "${key.slice(0, LONGEST_NAME)}" ${place(part.at)} (${hint})`, part.at)
    }
    if (places.has(key))
      throw new BrokenRule(`must set each limit once; "${key}" is repeated ${place(part.at)}`, part.at)
    if (value === null && flag?.isSwitch !== true)
      throw new BrokenRule(`must give "${key}" ${place(part.at)} a value, as in ${key}=…`, part.at)
    const at = equals < 0 ? part.at : part.at + equals + 1
    places.set(key, at)
    if (key === 'name') name = parseName(value ?? '', at)
    else if (flag !== undefined)
      values.set(
        key,
        within(key, at, () => flag.parse(value ?? 'true')),
      )
  }
  return { match: glob.text, name, values, places }
}

/** Policies that were read together. */
export interface PolicySet {
  /** In the order in which they are tried: flags, then the file, then the plain flags under `--match`. */
  readonly policies: readonly Policy[]
  /** The version of `--policy-file` that they were read from; null without the flag. */
  readonly fileVersion: string | null
}

/**
 * Reads flags and file. Returns undefined if it noted a problem. With `narrows`, a `--match` on the command line selects
 * streams to show: the plain flags then keep the pattern that they have without it, too.
 */
export function readPolicies(reader: Reader, narrows = false): PolicySet | undefined {
  const match = reader.value('match')
  const plain = readLimits((flag) => reader.value(flag))
  const file = readPolicyFile(reader)
  const specs = [...reader.given('policy'), ...(file?.specs ?? [])].map((given) => ({
    given,
    spec: reader.attempt(given, parsePolicySpec),
  }))
  if (match === undefined || plain === undefined || file === undefined) return undefined
  for (const { flags, rule } of contradictionsIn(plain)) reader.refuse(flags[0], rule)

  const isArchiving = (reader.text('archive')?.text ?? 'off') !== 'off'
  const policies: Policy[] = []
  for (const { given, spec } of specs) {
    if (spec === undefined) continue
    const limits = readLimits((flag) => spec.values.get(flag) ?? plain[limitOf[flag]]) as Limits
    const refuse = (rule: string, named: readonly string[]): void => {
      const at = named.map((name) => spec.places.get(name)).find((place) => place !== undefined)
      reader.problem(given.subject, rule, given.text, at ?? indentOf(given.text))
    }
    for (const { flags, rule } of contradictionsIn(limits)) refuse(`${flags[0]} ${rule}`, flags)
    const from = originOfLimits(reader, spec.values)
    const origin = { policy: given.source === 'file' ? given.subject : given.source, limits: from }
    const archive = isArchiving && spec.values.get('archive') !== false
    if (spec.values.get('archive') === true && !isArchiving) refuse('archive must be used with --archive', ['archive'])
    const policy = makePolicy(spec.name ?? spec.match, spec.match, limits, origin, archive)
    if (archive && !hasFolder(policy.name))
      refuse('must have a name= of its own; its glob is too long for a folder', [])
    if (policies.some(({ name }) => name === policy.name))
      refuse('must have a name of its own; metrics tell policies apart by name', ['name'])
    // If a spec has the pattern of --match, the plain flags make no policy of that name.
    if (spec.name === match && !specs.some((other) => other.spec?.match === match))
      refuse('must not have the pattern of --match as its name', ['name'])
    policies.push(policy)
  }
  if (policies.length < specs.length) return undefined
  const patterns = [...(narrows ? [reader.withoutFlag('match')] : []), reader.text('match')]
  for (const { text, source } of patterns.filter((given) => given !== undefined)) {
    const origin = { policy: source, limits: originOfLimits(reader) }
    if (policies.some((policy) => policy.match === text)) continue
    policies.push(makePolicy(text, text, plain, origin, isArchiving))
    if (isArchiving && !hasFolder(text)) reader.refuse('match', 'must be shorter with --archive; it names a folder')
  }
  return { policies, fileVersion: file?.version ?? null }
}

/** Where the limits came from: the policy's own values, or the plain flags. */
function originOfLimits(reader: Reader, own?: ReadonlyMap<string, unknown>): Record<string, string> {
  const flags = Object.keys(limitOf) as LimitFlag[]
  return Object.fromEntries(
    flags.map((flag) => [flag, own?.has(flag) ? 'policy' : (reader.text(flag)?.source ?? 'default')]),
  )
}

type LimitFlag = keyof typeof limitFlags

const limitOf = {
  'max-length': 'maxLength',
  'max-age': 'maxAgeMs',
  'max-bytes': 'maxBytes',
  trim: 'trim',
  protect: 'protect',
  'hard-max-length': 'hardMaxLength',
  'hard-max-age': 'hardMaxAgeMs',
  'stale-group-after': 'staleGroupAfterMs',
  'acked-after': 'ackedAfterMs',
  'reap-consumers-after': 'reapConsumersAfterMs',
  'reap-groups': 'reapGroups',
  'reap-pending': 'reapPending',
  'delete-idle': 'deleteIdleMs',
  'delete-empty': 'deleteEmpty',
} as const satisfies Record<LimitFlag, keyof Limits>

/** The limits that flags set. readLimits returns it as Limits, so a limit without a flag does not compile. */
type ReadLimits = { readonly [Name in LimitFlag as (typeof limitOf)[Name]]: FlagValue<Name> }

/** Limits from parsed values; undefined if one is missing. */
function readLimits(read: (flag: LimitFlag) => unknown): Limits | undefined {
  const values = Object.keys(limitOf).map((flag) => [limitOf[flag as LimitFlag], read(flag as LimitFlag)] as const)
  return values.some(([, value]) => value === undefined) ? undefined : (Object.fromEntries(values) as ReadLimits)
}

/** Limits that are valid alone and conflict: the flag to name in the message first, then the others. */
interface Contradiction {
  readonly flags: readonly [LimitFlag, ...LimitFlag[]]
  readonly rule: string
}

function contradictionsIn(limits: Limits): Contradiction[] {
  const found: Contradiction[] = []
  const { maxLength, maxAgeMs, maxBytes, hardMaxLength, hardMaxAgeMs, ackedAfterMs, deleteIdleMs } = limits
  const all = [maxLength, maxAgeMs, maxBytes, hardMaxLength, hardMaxAgeMs, ackedAfterMs, deleteIdleMs]
  if (!all.some(Number.isFinite) && !reapsGroups(limits)) {
    found.push({
      flags: ['max-length', 'max-age', 'max-bytes'],
      rule: 'must not be off when max-age and max-bytes are off too; nothing would ever be trimmed',
    })
  }
  if (hardMaxLength < maxLength && maxLength !== Number.POSITIVE_INFINITY) {
    const rule = `must not be below max-length (${maxLength})`
    found.push({ flags: ['hard-max-length', 'max-length'], rule })
  }
  if (hardMaxAgeMs < maxAgeMs && maxAgeMs !== Number.POSITIVE_INFINITY) {
    const rule = `must not be shorter than max-age (${formatDuration(maxAgeMs)})`
    found.push({ flags: ['hard-max-age', 'max-age'], rule })
  }
  if (limits.reapGroups !== null && limits.staleGroupAfterMs === Number.POSITIVE_INFINITY) {
    const rule = 'must be used with a stale-group-after; it destroys only groups that are dead by it'
    found.push({ flags: ['reap-groups', 'stale-group-after'], rule })
  }
  if (limits.deleteEmpty && maxAgeMs === Number.POSITIVE_INFINITY) {
    const rule = 'must be used with a max-age; it deletes only streams last written longer ago'
    found.push({ flags: ['delete-empty', 'max-age'], rule })
  }
  return found
}

function parseName(text: string, at: number): string {
  if (!/^[\w.:-]{1,64}$/.test(text)) {
    throw new BrokenRule(`name at character ${at + 1} must be 1 to 64 letters, digits or any of _ . : -`, at)
  }
  return text
}

function place(at: number): string {
  return `at character ${at + 1}`
}

function within<T>(key: string, at: number, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw error instanceof BrokenRule ? new BrokenRule(`${key} at character ${at + 1} ${error.message}`, at) : error
  }
}

function indentOf(text: string): number {
  return text.length - text.trimStart().length
}

/**
 * Splits at commas, from `start` on. `\,` is a literal comma; any other backslash belongs to the glob. `at` is where the part
 * starts.
 */
function splitAtCommas(text: string, start: number): { text: string; at: number }[] {
  const parts = [{ text: '', at: start }]
  for (let i = start; i < text.length; i++) {
    const part = parts.at(-1)
    if (part === undefined) break
    if (text[i] === '\\' && text[i + 1] === ',') {
      part.text += ','
      i++
    } else if (text[i] === '\\' && i + 1 < text.length) {
      part.text += text.slice(i, i + 2)
      i++
    } else if (text[i] === ',') {
      parts.push({ text: '', at: i + 1 })
    } else {
      part.text += text[i]
    }
  }
  return parts
}

/** Policies: the plain flags, and `--policy` specs of a glob, then limits by their flags' names, between commas. */
import { type Limits, makePolicy, type Policy } from '../retention/policy.ts'
import { suggestion } from '../text/nearest.ts'
import { BrokenRule, formatDuration } from '../text/quantities.ts'
import { type Flag, type FlagValue, limitFlags } from './flags.ts'
import type { Reader } from './reader.ts'

/** A spec taken apart. What it does not name it takes from the plain flags. */
interface PolicySpec {
  readonly match: string
  readonly name: string | null
  /** Values by flag name, already through their rules. */
  readonly values: ReadonlyMap<string, unknown>
  /** Where in the text the value of a limit stands, or of `name`; from 0. */
  readonly places: ReadonlyMap<string, number>
}

/** Reads one spec. A literal comma in the glob is written `\,`. @throws BrokenRule that names the part and its place */
function parsePolicySpec(text: string): PolicySpec {
  const [glob, ...parts] = splitAtCommas(text)
  if (glob === undefined || glob.text === '') throw new BrokenRule('must begin with a glob', text === '' ? null : 0)
  const values = new Map<string, unknown>()
  const places = new Map<string, number>()
  let name: string | null = null
  for (const part of parts) {
    const equals = part.text.indexOf('=')
    const key = equals < 0 ? part.text : part.text.slice(0, equals)
    const value = equals < 0 ? null : part.text.slice(equals + 1)
    const flag: Flag<unknown> | undefined = Object.hasOwn(limitFlags, key)
      ? limitFlags[key as keyof typeof limitFlags]
      : undefined
    if (key !== 'name' && flag === undefined) {
      const names = Object.keys(limitFlags)
      throw new BrokenRule(
        `must hold only name and ${names.join(', ')} behind its glob; "${key}" ${place(part.at)} is none of them${suggestion(key, ['name', ...names], '')}`,
        part.at,
      )
    }
    if (places.has(key))
      throw new BrokenRule(`must hold each limit once; "${key}" ${place(part.at)} is there again`, part.at)
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

/**
 * All policies in the order in which they are tried; the last is the plain flags under `--match`. What a spec does not
 * name it takes from the plain flags. Undefined where a problem was noted.
 */
export function readPolicies(reader: Reader): readonly Policy[] | undefined {
  const match = reader.value('match')
  const plain = readLimits((flag) => reader.value(flag))
  const specs = reader.given('policy').map((given) => ({ given, spec: reader.attempt(given, parsePolicySpec) }))
  if (match === undefined || plain === undefined) return undefined
  for (const { flags, rule } of contradictionsIn(plain)) reader.refuse(flags[0], rule)

  const policies: Policy[] = []
  for (const { given, spec } of specs) {
    if (spec === undefined) continue
    const limits = readLimits((flag) => spec.values.get(flag) ?? plain[limitOf[flag]]) as Limits
    const refuse = (rule: string, named: readonly string[]): void => {
      const at = named.map((name) => spec.places.get(name)).find((place) => place !== undefined)
      reader.problem(given.subject, rule, given.text, at ?? 0)
    }
    for (const { flags, rule } of contradictionsIn(limits)) refuse(`${flags[0]} ${rule}`, flags)
    const policy = makePolicy(spec.name ?? spec.match, spec.match, limits)
    if (policies.some(({ name }) => name === policy.name))
      refuse('must have a name of its own: metrics tell policies apart by it', ['name'])
    // Behind a policy for the same pattern the plain flags have nothing left to hold.
    if (spec.name === match && !specs.some((other) => other.spec?.match === match))
      refuse('must not be named like the pattern of --match', ['name'])
    policies.push(policy)
  }
  if (policies.length < specs.length) return undefined
  if (!policies.some((policy) => policy.match === match)) policies.push(makePolicy(match, match, plain))
  return policies
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
  'delete-empty': 'deleteEmpty',
} as const satisfies Record<LimitFlag, keyof Limits>

/** What is read: given where Limits are promised, so that one which no flag gives does not compile. */
type ReadLimits = { readonly [Name in LimitFlag as (typeof limitOf)[Name]]: FlagValue<Name> }

/** Limits from values that went through their rules; undefined if one is missing. */
function readLimits(read: (flag: LimitFlag) => unknown): Limits | undefined {
  const values = Object.keys(limitOf).map((flag) => [limitOf[flag as LimitFlag], read(flag as LimitFlag)] as const)
  return values.some(([, value]) => value === undefined) ? undefined : (Object.fromEntries(values) as ReadLimits)
}

/** A rule that limits break together, each of them well-formed: the flag that breaks it, and those it contradicts. */
interface Contradiction {
  readonly flags: readonly [LimitFlag, ...LimitFlag[]]
  readonly rule: string
}

function contradictionsIn(limits: Limits): Contradiction[] {
  const found: Contradiction[] = []
  const { maxLength, maxAgeMs, maxBytes, hardMaxLength, hardMaxAgeMs } = limits
  if (
    [maxLength, maxAgeMs, maxBytes, hardMaxLength, hardMaxAgeMs].every((limit) => limit === Number.POSITIVE_INFINITY)
  ) {
    found.push({
      flags: ['max-length', 'max-age', 'max-bytes'],
      rule: 'must not be off where max-age and max-bytes are off too: nothing would ever be trimmed',
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
  if (limits.deleteEmpty && maxAgeMs === Number.POSITIVE_INFINITY) {
    const rule = 'must go with a max-age: only a stream last written longer ago is deleted'
    found.push({ flags: ['delete-empty', 'max-age'], rule })
  }
  return found
}

function parseName(text: string, at: number): string {
  if (!/^[\w.:-]{1,64}$/.test(text)) {
    const rule = `must be named with 1 to 64 letters, digits or any of _ . : - ; the name ${place(at)} is not`
    throw new BrokenRule(rule, at)
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
    throw error instanceof BrokenRule ? new BrokenRule(`holds a ${key} ${place(at)} that ${error.message}`, at) : error
  }
}

/** Splits at commas; `\,` is a comma that stays, any other backslash is the glob's own. `at` is the part's place in the text. */
function splitAtCommas(text: string): { text: string; at: number }[] {
  const parts = [{ text: '', at: 0 }]
  for (let i = 0; i < text.length; i++) {
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

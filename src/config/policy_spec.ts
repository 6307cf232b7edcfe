/** Policies: the plain flags, and `--policy` specs of a glob, then limits by their flags' names, between commas. */
import { type Limits, makePolicy, type Policy } from '../retention/policy.ts'
import { BrokenRule, formatDuration } from '../text/quantities.ts'
import { type Flag, limitFlags } from './flags.ts'
import type { Reader } from './reader.ts'

/** A spec taken apart. What it does not name it takes from the plain flags. */
interface PolicySpec {
  readonly match: string
  readonly name: string | null
  /** Values by flag name, already through their rules. */
  readonly values: ReadonlyMap<string, unknown>
}

/** Reads one spec. A literal comma in the glob is written `\,`. @throws BrokenRule that names the part and its place */
function parsePolicySpec(text: string): PolicySpec {
  const [glob, ...parts] = splitAtCommas(text)
  if (glob === undefined || glob.text === '') throw new BrokenRule('must begin with a glob')
  const values = new Map<string, unknown>()
  let name: string | null = null
  for (const part of parts) {
    const where = place(part.at)
    const equals = part.text.indexOf('=')
    const key = equals < 0 ? part.text : part.text.slice(0, equals)
    const value = equals < 0 ? null : part.text.slice(equals + 1)
    const flag: Flag<unknown> | undefined = Object.hasOwn(limitFlags, key)
      ? limitFlags[key as keyof typeof limitFlags]
      : undefined
    if (key !== 'name' && flag === undefined) {
      throw new BrokenRule(
        `must hold only name and ${Object.keys(limitFlags).join(', ')} behind its glob; "${key}" ${where} is none of them`,
        part.at,
      )
    }
    if (values.has(key) || (key === 'name' && name !== null))
      throw new BrokenRule(`must hold each limit once; "${key}" ${where} is there again`, part.at)
    if (value === null && flag?.isSwitch !== true)
      throw new BrokenRule(`must give "${key}" ${where} a value, as in ${key}=…`, part.at)
    if (key === 'name') name = parseName(value ?? '', part.at)
    else if (flag !== undefined)
      values.set(
        key,
        within(key, part.at, () => flag.parse(value ?? 'true')),
      )
  }
  return { match: glob.text, name, values }
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
  for (const { flag, rule } of contradictionsIn(plain)) reader.refuse(flag, rule)

  const policies: Policy[] = []
  for (const { given, spec } of specs) {
    if (spec === undefined) continue
    const limits = readLimits((flag) => spec.values.get(flag) ?? plain[limitOf[flag]]) as Limits
    for (const { flag, rule } of contradictionsIn(limits)) reader.problem(given.subject, `${flag} ${rule}`, given.text)
    const policy = makePolicy(spec.name ?? spec.match, spec.match, limits)
    if (policies.some(({ name }) => name === policy.name)) {
      reader.problem(given.subject, 'must have a name of its own: metrics tell policies apart by it', given.text)
    }
    policies.push(policy)
  }
  if (policies.length < specs.length) return undefined
  // Behind a policy for the same pattern the plain flags have nothing left to hold.
  if (!policies.some((policy) => policy.match === match)) {
    const namesake = specs.find(({ spec }) => spec?.name === match)
    if (namesake !== undefined) {
      const { subject, text } = namesake.given
      reader.problem(subject, 'must not be named like the pattern of --match', text)
    }
    policies.push(makePolicy(match, match, plain))
  }
  return policies
}

type LimitFlag = keyof typeof limitFlags

const limitOf: Readonly<Record<LimitFlag, keyof Limits>> = {
  'max-length': 'maxLength',
  'max-age': 'maxAgeMs',
  'max-bytes': 'maxBytes',
  trim: 'trim',
  protect: 'protect',
  'hard-max-length': 'hardMaxLength',
  'hard-max-age': 'hardMaxAgeMs',
  'stale-group-after': 'staleGroupAfterMs',
  'delete-empty': 'deleteEmpty',
}

/** Limits from values that went through their rules; undefined if one is missing. */
function readLimits(read: (flag: LimitFlag) => unknown): Limits | undefined {
  const values = Object.keys(limitOf).map((flag) => [limitOf[flag as LimitFlag], read(flag as LimitFlag)] as const)
  return values.some(([, value]) => value === undefined) ? undefined : (Object.fromEntries(values) as unknown as Limits)
}

/** What is wrong with limits that are each well-formed: each flag with the rule it breaks. */
function contradictionsIn(limits: Limits): { flag: LimitFlag; rule: string }[] {
  const found: { flag: LimitFlag; rule: string }[] = []
  const off = [limits.maxAgeMs, limits.maxLength, limits.maxBytes, limits.hardMaxAgeMs, limits.hardMaxLength]
  if (off.every((limit) => limit === Number.POSITIVE_INFINITY)) {
    found.push({
      flag: 'max-length',
      rule: 'must not be off where max-age and max-bytes are off too: nothing would ever be trimmed',
    })
  }
  if (limits.hardMaxLength < limits.maxLength && limits.maxLength !== Number.POSITIVE_INFINITY) {
    found.push({ flag: 'hard-max-length', rule: `must not be below max-length (${limits.maxLength})` })
  }
  if (limits.hardMaxAgeMs < limits.maxAgeMs && limits.maxAgeMs !== Number.POSITIVE_INFINITY) {
    found.push({ flag: 'hard-max-age', rule: `must not be shorter than max-age (${formatDuration(limits.maxAgeMs)})` })
  }
  if (limits.deleteEmpty && limits.maxAgeMs === Number.POSITIVE_INFINITY) {
    found.push({
      flag: 'delete-empty',
      rule: 'must go with a max-age: only a stream last written longer ago is deleted',
    })
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

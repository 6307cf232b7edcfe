/**
 * Strict parsers for what people type, and the formatters that reverse them. Own code, because duration libraries accept
 * `5m garbage` as 5 minutes and size libraries `10MiB` as 10 bytes.
 */

/** A text breaks a rule. The message is the rule ("must be …"); the caller adds the flag and the value. */
export class BrokenRule extends Error {
  override readonly name = 'BrokenRule'
  /** Where in the text, from 0; null for the whole text. */
  readonly at: number | null

  constructor(rule: string, at: number | null = null) {
    super(rule)
    this.at = at
  }
}

const MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 }
const DURATION = /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/

/** setTimeout takes at most 2^31 - 1 ms (24.8 days) and fires at once for more. */
const LONGEST_TIMER_MS = 24 * MS.d

/**
 * Parses a duration such as `500ms`, `90s`, `15m`, `24h`, `7d` or `1h30m` (each unit once, largest first).
 * @returns milliseconds, more than 0
 * @throws BrokenRule
 */
export function parseDuration(text: string): number {
  const parts = DURATION.exec(text)
  if (parts === null || text === '') throw new BrokenRule('must be a duration such as 90s, 24h or 7d')
  const ms = Object.values(MS).reduce((sum, unit, i) => sum + Number(parts[i + 1] ?? 0) * unit, 0)
  if (ms === 0) throw new BrokenRule('must be longer than 0')
  if (ms > 36_500 * MS.d) throw new BrokenRule('must be at most 36500d')
  return ms
}

/** Parses a duration that may also be `0s`. @returns milliseconds @throws BrokenRule */
export function parseDurationOrZero(text: string): number {
  return text === '0s' ? 0 : parseDuration(text)
}

/** Parses a duration for setTimeout. @returns milliseconds @throws BrokenRule also above 24 days */
export function parseTimer(text: string): number {
  const ms = parseDuration(text)
  if (ms > LONGEST_TIMER_MS) throw new BrokenRule('must be at most 24d')
  return ms
}

const BYTES: Record<string, number> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3, tb: 1024 ** 4 }

/** Parses a size such as `512kb`, `64mb` or `1gb`, in powers of 1024 like Redis. @returns bytes, more than 0 @throws BrokenRule */
export function parseSize(text: string): number {
  const parts = /^(\d+)(b|kb|mb|gb|tb)$/i.exec(text)
  if (parts === null) throw new BrokenRule('must be a size such as 512kb, 64mb or 1gb')
  const bytes = Number(parts[1]) * (BYTES[parts[2]?.toLowerCase() ?? ''] ?? Number.NaN)
  if (bytes === 0) throw new BrokenRule('must be more than 0')
  if (!Number.isSafeInteger(bytes)) throw new BrokenRule('must be below 8192tb')
  return bytes
}

/** Parses a percentage such as `80%` or `80`. @returns 0.01 to 1 @throws BrokenRule */
export function parsePercent(text: string): number {
  const share = Number(/^([1-9]\d{0,2})%?$/.exec(text)?.[1]) / 100
  if (!(share <= 1)) throw new BrokenRule('must be a percentage from 1 to 100, such as 80%')
  return share
}

/** Makes a parser of whole numbers from `least` to `most`, written in digits only. The parser throws BrokenRule. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  return (text) => {
    const n = /^(?:0|[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN
    if (!(n >= least && n <= most)) throw new BrokenRule(`must be a whole number ${range}, digits only`)
    return n
  }
}

/** Makes a parser that also accepts `off`, as Infinity: nothing exceeds it, so comparisons need no special case. */
export function orOff(parse: (text: string) => number): (text: string) => number {
  return (text) => {
    if (text === 'off') return Number.POSITIVE_INFINITY
    try {
      return parse(text)
    } catch (error) {
      throw error instanceof BrokenRule ? new BrokenRule(`${error.message}, or off`) : error
    }
  }
}

/** Makes a parser of one of these words. The parser throws BrokenRule. */
export function oneOf<const Word extends string>(...words: Word[]): (text: string) => Word {
  return (text) => {
    const word = words.find((candidate) => candidate === text)
    if (word === undefined) throw new BrokenRule(`must be one of ${words.join(', ')}`)
    return word
  }
}

/** Parses `true` or `false`. @throws BrokenRule */
export function parseSwitch(text: string): boolean {
  return oneOf('true', 'false')(text) === 'true'
}

/** The inverse of parseDuration, in the largest units: 5400000 is `1h30m`, Infinity is `off`, 0 is `0s`. */
export function formatDuration(ms: number): string {
  if (ms === Number.POSITIVE_INFINITY) return 'off'
  let rest = ms
  let text = ''
  for (const [unit, size] of Object.entries(MS)) {
    const n = Math.floor(rest / size)
    if (n > 0) text += `${n}${unit}`
    rest -= n * size
  }
  return text || '0s'
}

/** The inverse of parseSize, in the largest unit that divides it: 1536 is `1536b`, 65536 is `64kb`, Infinity is `off`. */
export function formatSize(bytes: number): string {
  if (bytes === Number.POSITIVE_INFINITY) return 'off'
  const [unit, size] = Object.entries(BYTES).findLast(([, size]) => bytes >= size && bytes % size === 0) ?? ['b', 1]
  return `${bytes / size}${unit}`
}

/** A measured size for people: three digits in the largest unit that gives at least 1; 1536 is `1.5kb`. */
export function roundSize(bytes: number): string {
  const [unit, size] = Object.entries(BYTES).findLast(([, size]) => bytes >= size) ?? ['b', 1]
  return `${Number((bytes / size).toPrecision(3))}${unit}`
}

/** A measured duration for people: `180 ms`, `1.2 s`, and from ten seconds on in whole seconds, `1h2m3s`. */
export function roundDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : formatDuration(Math.round(ms / 1000) * 1000)
}

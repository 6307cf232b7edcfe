/**
 * Redis's glob (`stringmatchlen` in its util.c), on bytes: `*`, `?`, `[abc]`, `[^a-z]`, `\x`. Own code, because glob
 * libraries differ from it in ways that select the wrong keys: unclosed brackets, `/`, `{}`, bytes that are not UTF-8.
 */

const STAR = 0x2a
const QUESTION = 0x3f
const OPEN = 0x5b
const CLOSE = 0x5d
const CARET = 0x5e
const BACKSLASH = 0x5c
const DASH = 0x2d

/** Returns a function that tests keys, with the results of `SCAN MATCH` on x86-64, where bytes in a range compare as signed. */
export function compileGlob(pattern: string): (key: Uint8Array) => boolean {
  const bytes = Buffer.from(pattern)
  const prefix = Buffer.from(literalPrefix(pattern))
  if (prefix.length === bytes.length - 1 && bytes.at(-1) === STAR) {
    return (key) => key.length >= prefix.length && prefix.compare(key, 0, prefix.length) === 0
  }
  return (key) => matchFrom(bytes, 0, key, 0).matched
}

/** The part of a pattern before its first special character. Every key that matches starts with it. */
export function literalPrefix(pattern: string): string {
  return /^[^*?[\\]*/.exec(pattern)?.[0] ?? ''
}

/** `final`: a later star has tried every place, so an earlier star cannot succeed either. */
interface Attempt {
  readonly matched: boolean
  readonly final: boolean
}
const YES: Attempt = { matched: true, final: true }
const NO: Attempt = { matched: false, final: false }
const NEVER: Attempt = { matched: false, final: true }

function matchFrom(pattern: Uint8Array, patternAt: number, key: Uint8Array, keyAt: number): Attempt {
  let p = patternAt
  let k = keyAt
  while (p < pattern.length && k < key.length) {
    const byte = pattern[p]
    if (byte === STAR) {
      while (pattern[p + 1] === STAR) p++
      if (p + 1 === pattern.length) return YES
      for (; k < key.length; k++) {
        const rest = matchFrom(pattern, p + 1, key, k)
        if (rest.final) return rest
      }
      return NEVER
    }
    if (byte === OPEN) {
      const set = matchSet(pattern, p + 1, key[k] ?? 0)
      if (!set.matched) return NO
      p = set.end
    } else if (byte !== QUESTION) {
      if (byte === BACKSLASH && p + 1 < pattern.length) p++
      if (pattern[p] !== key[k]) return NO
    }
    p++
    k++
  }
  if (k === key.length && k > keyAt) while (pattern[p] === STAR) p++
  return p === pattern.length && k === key.length ? YES : NO
}

/** Matches one `[…]`, with `from` after the opening bracket; `end` is the closing bracket, or the last byte if it is missing. */
function matchSet(pattern: Uint8Array, from: number, byte: number): { matched: boolean; end: number } {
  let p = from
  const not = pattern[p] === CARET
  if (not) p++
  let matched = false
  for (; ; p++) {
    const left = pattern.length - p
    if (left <= 0) {
      p = pattern.length - 1
      break
    }
    if (pattern[p] === BACKSLASH && left >= 2) {
      p++
      if (pattern[p] === byte) matched = true
    } else if (pattern[p] === CLOSE) {
      break
    } else if (left >= 3 && pattern[p + 1] === DASH) {
      const ends = [signed(pattern[p] ?? 0), signed(pattern[p + 2] ?? 0)] as const
      if (signed(byte) >= Math.min(...ends) && signed(byte) <= Math.max(...ends)) matched = true
      p += 2
    } else if (pattern[p] === byte) {
      matched = true
    }
  }
  return { matched: matched !== not, end: p }
}

function signed(byte: number): number {
  return byte > 127 ? byte - 256 : byte
}

/** Parsers that only one kind of flag uses. Each throws BrokenRule for a value that breaks its rule. */
import { type Glob, makeGlob } from '../retention/policy.ts'
import type { Threshold } from '../retention/pressure.ts'
import { BrokenRule, parsePercent, parseSize, parseTimer } from '../text/quantities.ts'
import { readShown } from '../text/shown.ts'
import { readBytes } from './file.ts'

/** Accepts any text. */
export const asIs = (text: string): string => text

export function nonEmpty(text: string): string {
  if (text === '') throw new BrokenRule('must not be empty')
  return text
}

/** The path of a file that can be read now. The file is read again whenever it is needed. */
export function readableFile(path: string): string {
  readBytes(path)
  return path
}

/** A key as logs show it. */
export function parseKey(text: string): Buffer {
  const key = readShown(nonEmpty(text))
  if (key === null) throw new BrokenRule('must be a key as logs show it: a backslash is doubled, or begins xHH')
  return key
}

/** Returns ms. The lease is renewed three times within its term, each time over the network. */
export function parseLeaseTtl(text: string): number {
  const ms = parseTimer(text)
  if (ms < 1000) throw new BrokenRule('must be at least 1s')
  return ms
}

/** Returns ms. Each reading opens a connection to every primary. */
export function parseReadingInterval(text: string): number {
  const ms = parseTimer(text)
  if (ms < 100) throw new BrokenRule('must be at least 100ms')
  return ms
}

/** Returns null for `off`. */
export function parsePressure(text: string): Threshold | null {
  if (text === 'off') return null
  if (/^\d+%?$/.test(text)) return { share: parsePercent(text) }
  if (/^\d+[a-z]+$/i.test(text)) return { bytes: parseSize(text) }
  throw new BrokenRule('must be a percentage such as 80%, a size such as 2gb, or off')
}

/** Returns bytes. Segments are in memory until they are stored. */
export function parseSegmentSize(text: string): number {
  const bytes = parseSize(text)
  if (bytes < 1024 || bytes > 256 * 1024 ** 2) throw new BrokenRule('must be from 1kb to 256mb')
  return bytes
}

/** Null for off. */
export function parseReapGroups(text: string): Glob | null {
  return text === 'off' ? null : makeGlob(nonEmpty(text))
}

/** One line, short enough for a log and a page. */
export function parseReason(text: string): string {
  if (!/^[^\p{Cc}]{1,200}$/u.test(text)) throw new BrokenRule('must be one line of 1 to 200 characters')
  return text
}

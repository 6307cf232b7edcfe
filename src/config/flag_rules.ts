/** Rules that the value of one flag alone obeys. A text that breaks one is refused by a BrokenRule. */
import type { Threshold } from '../retention/pressure.ts'
import { BrokenRule, parsePercent, parseSize, parseTimer } from '../text/quantities.ts'
import { readBytes } from './file.ts'

/** Any text. */
export const asIs = (text: string): string => text

/** Any text but none. */
export function nonEmpty(text: string): string {
  if (text === '') throw new BrokenRule('must not be empty')
  return text
}

/** A path whose file can be read now; it is read again when it is needed. */
export function readableFile(path: string): string {
  readBytes(path)
  return path
}

/** In ms. It is renewed three times in its term, and each time over a network. */
export function parseLeaseTtl(text: string): number {
  const ms = parseTimer(text)
  if (ms < 1000) throw new BrokenRule('must be at least 1s')
  return ms
}

/** In ms. Each reading is a connection, or one for each primary. */
export function parsePressureInterval(text: string): number {
  const ms = parseTimer(text)
  if (ms < 100) throw new BrokenRule('must be at least 100ms')
  return ms
}

/** Null for off. */
export function parsePressure(text: string): Threshold | null {
  if (text === 'off') return null
  if (/^\d+%?$/.test(text)) return { share: parsePercent(text) }
  if (/^\d+[a-z]+$/i.test(text)) return { bytes: parseSize(text) }
  throw new BrokenRule('must be a share such as 80%, a size such as 2gb, or off')
}

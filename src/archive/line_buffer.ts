/**
 * Bytes that grow as lines are written. Own code: making a string of each name and value, and bytes of the strings again,
 * takes five times as long, and longer than reading the entries from Redis.
 */
import { isUtf8 } from 'node:buffer'

const FIRST_BYTES = 4096
/** A larger buffer is not used again: an entry of megabytes must not leave one behind. */
const MOST_KEPT_BYTES = 1024 * 1024

/** Copying fewer bytes than this one by one is faster than a call. */
const FEW_BYTES = 16

/** Strings of long values are made piece by piece. Base64 takes bytes in threes. */
const PIECE_BYTES = 48 * 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BASE64 = Buffer.from('{"base64":"')
const CLOSE_BASE64 = Buffer.from('"}')

const MUST_ESCAPE = 1
const NOT_ASCII = 2
/** What JSON has to know of each byte. */
const MARKS = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte < 0x20 || byte === QUOTE || byte === BACKSLASH) return MUST_ESCAPE
  return byte < 0x80 ? 0 : NOT_ASCII
})

export class LineBuffer {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES)
  /** Bytes written so far. A smaller one takes back what was written. */
  length = 0

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.length++] = value
  }

  raw(bytes: Buffer): void {
    this.#reserve(bytes.length)
    const to = this.#bytes
    if (bytes.length >= FEW_BYTES) to.set(bytes, this.length)
    else for (let i = 0; i < bytes.length; i++) to[this.length + i] = bytes[i] as number
    this.length += bytes.length
  }

  /**
   * Writes bytes as a JSON string if they are UTF-8, else as an object with their base64.
   * @returns how: `plain` is a string without escapes
   */
  json(bytes: Buffer): 'plain' | 'escaped' | 'base64' {
    const marks = marksOf(bytes)
    if ((marks & NOT_ASCII) !== 0 && !isUtf8(bytes)) {
      this.raw(OPEN_BASE64)
      this.#inPieces(bytes, (from, to) => bytes.toString('base64', from, to))
      this.raw(CLOSE_BASE64)
      return 'base64'
    }
    this.byte(QUOTE)
    const isPlain = (marks & MUST_ESCAPE) === 0
    if (isPlain) this.raw(bytes)
    // As Latin-1 each byte is one character, and JSON leaves those above ASCII as they are.
    else this.#inPieces(bytes, (from, to) => JSON.stringify(bytes.toString('latin1', from, to)).slice(1, -1))
    this.byte(QUOTE)
    return isPlain ? 'plain' : 'escaped'
  }

  #inPieces(bytes: Buffer, textOf: (from: number, to: number) => string): void {
    for (let from = 0; from < bytes.length; from += PIECE_BYTES) {
      const text = textOf(from, Math.min(bytes.length, from + PIECE_BYTES))
      this.#reserve(text.length)
      this.length += this.#bytes.write(text, this.length, 'latin1')
    }
  }

  /** What was written. It is valid until more is written. */
  get written(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  /** Begins anew. */
  clear(): void {
    this.length = 0
    if (this.#bytes.length > MOST_KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(FIRST_BYTES)
  }

  #reserve(more: number): void {
    const needed = this.length + more
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    this.#bytes.copy(larger, 0, 0, this.length)
    this.#bytes = larger
  }
}

/** The marks of all bytes together. Four at a time take half as long as one by one. */
function marksOf(bytes: Buffer): number {
  const fours = bytes.length & ~3
  let marks = 0
  for (let i = 0; i < fours; i += 4)
    marks |= markOf(bytes, i) | markOf(bytes, i + 1) | markOf(bytes, i + 2) | markOf(bytes, i + 3)
  for (let i = fours; i < bytes.length; i++) marks |= markOf(bytes, i)
  return marks
}

function markOf(bytes: Buffer, place: number): number {
  return MARKS[bytes[place] as number] as number
}

/**
 * Bytes that grow as lines are written. Own code: making a string of each name and value, and bytes of the strings again,
 * takes five times as long, and longer than reading the entries from Redis.
 */
import { isUtf8 } from 'node:buffer'

const FIRST_BYTES = 4096
/** A larger buffer is given away with its lines: an entry of megabytes must not leave one behind. */
const MOST_KEPT_BYTES = 256 * 1024

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** How JSON writes the bytes that it must escape; null for all others. */
const ESCAPES: readonly (Buffer | null)[] = Array.from({ length: 128 }, (_, byte) =>
  byte < 0x20 || byte === QUOTE || byte === BACKSLASH
    ? Buffer.from(JSON.stringify(String.fromCharCode(byte)).slice(1, -1))
    : null,
)
/** Copying fewer bytes than this one by one is faster than a call. */
const FEW_BYTES = 48

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
    let at = this.length
    if (bytes.length < FEW_BYTES) for (let i = 0; i < bytes.length; i++) to[at++] = bytes[i] as number
    else at += bytes.copy(to, at)
    this.length = at
  }

  /**
   * Writes bytes as a JSON string if they are UTF-8, else as an object with their base64.
   * @returns how: `plain` is a string without escapes
   */
  json(bytes: Buffer): 'plain' | 'escaped' | 'base64' {
    const start = this.length
    this.#reserve(bytes.length + 2)
    let to = this.#bytes
    let at = start
    let isAscii = true
    let isPlain = true
    to[at++] = QUOTE
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number
      if (byte >= 0x80) isAscii = false
      else if (byte < 0x20 || byte === QUOTE || byte === BACKSLASH) {
        const escaped = ESCAPES[byte] as Buffer
        this.length = at
        this.#reserve(escaped.length + bytes.length - i)
        to = this.#bytes
        for (let j = 0; j < escaped.length; j++) to[at++] = escaped[j] as number
        isPlain = false
        continue
      }
      to[at++] = byte
    }
    to[at++] = QUOTE
    this.length = at
    if (isAscii || isUtf8(bytes)) return isPlain ? 'plain' : 'escaped'
    this.length = start
    this.raw(Buffer.from(`{"base64":"${bytes.toString('base64')}"}`, 'latin1'))
    return 'base64'
  }

  /** What was written; the next line begins anew. */
  take(): Buffer {
    const written = this.#bytes.subarray(0, this.length)
    this.length = 0
    if (this.#bytes.length <= MOST_KEPT_BYTES) return Buffer.from(written)
    this.#bytes = Buffer.allocUnsafe(FIRST_BYTES)
    return written
  }

  #reserve(more: number): void {
    const needed = this.length + more
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    this.#bytes.copy(larger, 0, 0, this.length)
    this.#bytes = larger
  }
}

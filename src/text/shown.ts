/** Keys are bytes. This is the one way to turn them into text, for people and for metric labels. */

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * A key as printable text: UTF-8 stays, a backslash is doubled, control characters and bytes that are not UTF-8 become
 * `\xHH`. Two different keys never give the same text.
 */
export function shown(key: Uint8Array): string {
  try {
    return UTF8.decode(key).replace(/[\\\p{Cc}\p{Cf}\u2028\u2029]/gu, escapeCharacter)
  } catch {
    return Array.from(key, (byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x5c ? String.fromCharCode(byte) : hex(byte),
    ).join('')
  }
}

function escapeCharacter(character: string): string {
  return character === '\\' ? '\\\\' : Array.from(Buffer.from(character), hex).join('')
}

function hex(byte: number): string {
  return byte === 0x5c ? '\\\\' : `\\x${byte.toString(16).padStart(2, '0')}`
}

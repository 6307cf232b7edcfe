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

/** The key that `shown` gives this text for; null if it gives it for none, such as for a single backslash. */
export function readShown(text: string): Buffer | null {
  if (!/^(?:[^\\]|\\\\|\\x[0-9a-f]{2})*$/i.test(text)) return null
  const parts = text.split(/(\\\\|\\x[0-9a-f]{2})/i)
  return Buffer.concat(
    parts.map((part) => {
      if (part === '\\\\') return Buffer.from('\\')
      return part.startsWith('\\x') ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part)
    }),
  )
}

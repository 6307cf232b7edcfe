/**
 * The last 256 bytes of a segment say what it holds, so that nobody must read all of it to know. They are a skippable frame
 * of zstd (RFC 8878, section 3.1.2), which every decompressor passes over: 8 bytes of header, then JSON, padded with spaces.
 */
import { formatStreamId, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import { ArchiveFault } from '../store/store.ts'

export interface SegmentContent {
  readonly entries: number
  /** Size of all lines before compression. */
  readonly lineBytes: number
  /** Lowest and highest ID of its entries, of whatever stream; null in a segment without entries. */
  readonly from: StreamId | null
  readonly to: StreamId | null
}

export const FOOTER_BYTES = 256
const HEADER_BYTES = 8

/** One of the sixteen numbers that begin a skippable frame. */
const MAGIC = 0x184d2a5a

export function footerOf({ entries, lineBytes, from, to }: SegmentContent): Buffer {
  const told = {
    entries,
    bytes: lineBytes,
    from: from === null ? null : formatStreamId(from),
    to: to === null ? null : formatStreamId(to),
  }
  const footer = Buffer.alloc(FOOTER_BYTES, ' ')
  footer.writeUInt32LE(MAGIC, 0)
  footer.writeUInt32LE(FOOTER_BYTES - HEADER_BYTES, 4)
  footer.write(JSON.stringify(told), HEADER_BYTES)
  return footer
}

/** Reads the last bytes of a segment. @throws ArchiveFault (`damaged`) that names the segment if they are not a footer */
export function readFooter(name: string, tail: Buffer): SegmentContent {
  const isFooter =
    tail.length === FOOTER_BYTES &&
    tail.readUInt32LE(0) === MAGIC &&
    tail.readUInt32LE(4) === FOOTER_BYTES - HEADER_BYTES
  if (!isFooter) throw new ArchiveFault('damaged', `segment ${name} is cut short or is not a segment`)
  try {
    const { entries, bytes, from, to } = JSON.parse(tail.toString('utf8', HEADER_BYTES)) as Record<string, unknown>
    return { entries: count(entries), lineBytes: count(bytes), from: idOf(from), to: idOf(to) }
  } catch (error) {
    throw new ArchiveFault('damaged', `segment ${name} is damaged at its end`, { cause: error })
  }
}

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new TypeError('not a count')
  return value
}

function idOf(value: unknown): StreamId | null {
  return value === null ? null : parseStreamId(String(value))
}

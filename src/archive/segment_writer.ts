/** Writes one segment: lines of entries, compressed as they come, and at its end what it holds. */
import { once } from 'node:events'
import { constants, createZstdCompress } from 'node:zlib'
import { isBefore, type StreamId } from '../entries/stream_id.ts'
import { footerOf } from './segment_footer.ts'

/**
 * The fastest level. Chat messages take a seventh of their size at it; the levels up to 6 save another tenth and take twice
 * as long.
 */
const LEVEL = 1

/** Lines are compressed in pieces of about this many bytes: each piece costs a trip to another thread. */
const PIECE = 256 * 1024

/** And so does each time that the compressed bytes fill a buffer of this size. */
const OUTPUT_BYTES = 128 * 1024

/** What compression usually leaves of lines. */
const USUAL_SHARE = 1 / 7

export class SegmentWriter {
  readonly #compress = createZstdCompress({
    // The checksum shows damage that the compressed form alone would not.
    chunkSize: OUTPUT_BYTES,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
  })
  readonly #pieces: Buffer[] = []
  /** The last piece is compressed while lines for the next are collected. */
  #compressed: Promise<void> = Promise.resolve()
  /** Lines for the next piece. */
  #lines: Buffer[] = []
  #collectedBytes = 0
  #lineBytes = 0
  #outputBytes = 0
  /** How many bytes of lines were compressed by the end of the last piece, and how many they then had. */
  #doneBytes = 0
  #compressedBytes = 0
  #entries = 0
  #from: StreamId | null = null
  #to: StreamId | null = null

  constructor() {
    this.#compress.on('data', (piece: Buffer) => {
      this.#pieces.push(piece)
      this.#outputBytes += piece.length
    })
  }

  get entries(): number {
    return this.#entries
  }

  /** What the segment takes so far, compressed. For lines that are not compressed yet, an estimate. */
  get bytes(): number {
    const share = this.#doneBytes === 0 ? USUAL_SHARE : this.#compressedBytes / this.#doneBytes
    return this.#compressedBytes + (this.#lineBytes - this.#doneBytes) * share
  }

  /** Adds lines of `entries` entries with IDs from `from` to `to`. Resolves when the writer can take more. */
  async add(lines: Buffer, entries: number, from: StreamId, to: StreamId): Promise<void> {
    this.#entries += entries
    if (this.#from === null || isBefore(from, this.#from)) this.#from = from
    if (this.#to === null || isBefore(this.#to, to)) this.#to = to
    this.#lines.push(lines)
    this.#lineBytes += lines.length
    this.#collectedBytes += lines.length
    if (this.#collectedBytes < PIECE) return
    await this.#compressed
    this.#compressed = new Promise((resolve) => {
      const piece = this.#takeLines()
      this.#compress.write(piece, () => {
        this.#doneBytes += piece.length
        this.#compressedBytes = this.#outputBytes
        resolve()
      })
    })
  }

  #takeLines(): Buffer {
    const piece = Buffer.concat(this.#lines)
    this.#lines = []
    this.#collectedBytes = 0
    return piece
  }

  /** The whole segment. Nothing may be added afterwards. */
  async finish(): Promise<Buffer> {
    const rest = this.#takeLines()
    const ended = once(this.#compress, 'end')
    this.#compress.end(rest)
    await ended
    const footer = footerOf({ entries: this.#entries, lineBytes: this.#lineBytes, from: this.#from, to: this.#to })
    return Buffer.concat([...this.#pieces, footer])
  }

  /** Drops everything. */
  abandon(): void {
    this.#compress.destroy()
    this.#pieces.length = 0
    this.#lines = []
  }
}

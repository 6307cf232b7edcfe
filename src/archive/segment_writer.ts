/** Writes one segment: lines of entries, compressed as they come, and at its end what it holds. */
import { once } from 'node:events'
import { constants, createZstdCompress } from 'node:zlib'
import { isBefore, type StreamId } from '../entries/stream_id.ts'
import { LineBuffer } from './line_buffer.ts'
import { footerOf } from './segment_footer.ts'

/**
 * The fastest level. Chat messages take a seventh of their size at it; the levels up to 6 save another tenth and take twice
 * as long.
 */
const LEVEL = 1

/** zstd compresses lines in blocks of this many bytes. */
const BLOCK_BYTES = 128 * 1024

/**
 * Lines are compressed in pieces of about this many bytes. Each piece costs a trip to another thread, and waits for it while
 * this thread is busy. Small segments have smaller pieces, because their size is known only after each.
 */
const MOST_PIECE_BYTES = 4 * BLOCK_BYTES
const PIECES_OF_SEGMENT = 4

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
  /** What is compressed. */
  readonly #output: Buffer[] = []
  #outputBytes = 0
  /** Lines for the next piece. */
  #lines = new LineBuffer()
  /** The lines that are being compressed meanwhile. */
  #piece = new LineBuffer()
  #compressed: Promise<void> = Promise.resolve()
  /** Bytes of all lines but those for the next piece. */
  #pieceBytes = 0
  /** How many bytes of lines, in whole blocks, were compressed by the end of the last piece, and how many they then had. */
  #doneBytes = 0
  #compressedBytes = 0
  #entries = 0
  #from: StreamId | null = null
  #to: StreamId | null = null
  readonly #mostPieceBytes: number

  /** `segmentBytes` is about the size that it will have. */
  constructor(segmentBytes: number) {
    this.#mostPieceBytes = Math.max(BLOCK_BYTES, Math.min(MOST_PIECE_BYTES, segmentBytes / PIECES_OF_SEGMENT))
    this.#compress.on('data', (output: Buffer) => {
      this.#output.push(output)
      this.#outputBytes += output.length
    })
  }

  get entries(): number {
    return this.#entries
  }

  get #lineBytes(): number {
    return this.#pieceBytes + this.#lines.length
  }

  /** What the segment takes so far, compressed. For lines that are not compressed yet, an estimate. */
  get bytes(): number {
    const share = this.#doneBytes === 0 ? USUAL_SHARE : this.#compressedBytes / this.#doneBytes
    return this.#compressedBytes + (this.#lineBytes - this.#doneBytes) * share
  }

  /** Writes lines of `entries` entries with IDs from `from` to `to`. Resolves when the writer can take more. */
  async add(write: (lines: LineBuffer) => void, entries: number, from: StreamId, to: StreamId): Promise<void> {
    write(this.#lines)
    this.#entries += entries
    if (this.#from === null || isBefore(from, this.#from)) this.#from = from
    if (this.#to === null || isBefore(this.#to, to)) this.#to = to
    if (this.#lines.length < this.#mostPieceBytes) return
    await this.#compressed
    this.#compressed = this.#compressLines()
  }

  #compressLines(): Promise<void> {
    const piece = this.#lines
    this.#lines = this.#piece
    this.#piece = piece
    this.#pieceBytes += piece.length
    const done = this.#pieceBytes - (this.#pieceBytes % BLOCK_BYTES)
    return new Promise((resolve) => {
      this.#compress.write(piece.written, () => {
        this.#doneBytes = done
        this.#compressedBytes = this.#outputBytes
        piece.clear()
        resolve()
      })
    })
  }

  /** The whole segment, in parts. Nothing may be added afterwards. */
  async finish(): Promise<readonly Buffer[]> {
    await this.#compressed
    const ended = once(this.#compress, 'end')
    this.#compress.end(this.#lines.written)
    await ended
    const footer = footerOf({ entries: this.#entries, lineBytes: this.#lineBytes, from: this.#from, to: this.#to })
    return [...this.#output, footer]
  }

  /** Drops everything. */
  abandon(): void {
    this.#compress.destroy()
    this.#output.length = 0
  }
}

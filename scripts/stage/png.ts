/** Makes a browser's screenshots small: a page has few colours, and a PNG that names them takes a third of the bytes. */

import { crc32, deflateSync, inflateSync } from 'node:zlib'

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const MOST_COLOURS = 256

/**
 * The same picture with a palette of its 256 most frequent colours, every other one become the nearest of them.
 *
 * @throws when it is no PNG of 8 bits a channel without transparency, which is what Chromium makes of a page
 */
export function withFewColours(png: Uint8Array): Buffer {
  const chunks = readChunks(Buffer.from(png))
  const header = chunks.find(({ type }) => type === 'IHDR')?.data ?? Buffer.alloc(13)
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const channels = ({ 2: 3, 6: 4 } as Record<number, number>)[header[9] ?? 0]
  if (header[8] !== 8 || header[12] !== 0 || channels === undefined) throw new Error('not such a PNG as a page makes')
  const packed = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data))
  const pixels = unfilter(inflateSync(packed), width * channels, height, channels)

  const colourAt = (i: number): number => pixels.readUIntBE(i * channels, 3)
  const frequency = new Map<number, number>()
  for (let i = 0; i < width * height; i++) frequency.set(colourAt(i), (frequency.get(colourAt(i)) ?? 0) + 1)
  const ranked = Array.from(frequency).sort(([, a], [, b]) => b - a)
  const palette = ranked.slice(0, MOST_COLOURS).map(([colour]) => colour)
  const indexOf = new Map(palette.map((colour, i) => [colour, i]))
  for (const [colour] of ranked.slice(MOST_COLOURS)) indexOf.set(colour, nearest(palette, colour))

  // A row is a byte for its filter, none, and a byte a pixel.
  const rows = Buffer.alloc((width + 1) * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = indexOf.get(colourAt(y * width + x)) ?? 0
  }
  const newHeader = Buffer.from(header)
  newHeader[9] = 3
  const colours = Buffer.concat(palette.map((colour) => Buffer.from([colour >> 16, (colour >> 8) & 255, colour & 255])))
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', newHeader),
    chunk('PLTE', colours),
    chunk('IDAT', deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

interface Chunk {
  readonly type: string
  readonly data: Buffer
}

function readChunks(png: Buffer): Chunk[] {
  if (!png.subarray(0, 8).equals(SIGNATURE)) throw new Error('not a PNG')
  const chunks: Chunk[] = []
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at)
    chunks.push({ type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) })
    at += length + 12
  }
  return chunks
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  check.writeUInt32BE(crc32(named))
  return Buffer.concat([length, named, check])
}

/** Undoes the filters of a PNG, row by row: each byte was told as its difference to what is left of and above it. */
function unfilter(filtered: Buffer, rowBytes: number, height: number, channels: number): Buffer {
  const out = Buffer.alloc(rowBytes * height)
  for (let y = 0; y < height; y++) {
    const filter = filtered[y * (rowBytes + 1)]
    for (let i = 0; i < rowBytes; i++) {
      const at = y * rowBytes + i
      const left = i >= channels ? (out[at - channels] as number) : 0
      const above = y > 0 ? (out[at - rowBytes] as number) : 0
      const corner = y > 0 && i >= channels ? (out[at - rowBytes - channels] as number) : 0
      const expected = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter ?? 0] ?? 0
      out[at] = (filtered[y * (rowBytes + 1) + 1 + i] as number) + expected
    }
  }
  return out
}

function paeth(left: number, above: number, corner: number): number {
  const guess = left + above - corner
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)]
  if (a <= b && a <= c) return left
  return b <= c ? above : corner
}

function nearest(palette: readonly number[], colour: number): number {
  const distance = (other: number): number =>
    [16, 8, 0].reduce((sum, shift) => sum + (((other >> shift) & 255) - ((colour >> shift) & 255)) ** 2, 0)
  let best = 0
  palette.forEach((other, i) => {
    if (distance(other) < distance(palette[best] as number)) best = i
  })
  return best
}

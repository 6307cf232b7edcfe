/** Reads a segment: its lines, a few at a time. */

import { Readable } from 'node:stream'
import { createZstdDecompress } from 'node:zlib'
import { ArchiveFault, type Store, type Stored } from '../store/store.ts'
import { FOOTER_BYTES, readFooter, type SegmentContent } from './segment_footer.ts'

const LINE_FEED = 0x0a

/** What a segment says that it holds. @throws ArchiveFault */
export async function contentOf(store: Store, file: Stored): Promise<SegmentContent> {
  return readFooter(file.name, await store.tail(file, FOOTER_BYTES))
}

/**
 * The lines of a segment without their line feeds, in the order in which they were stored, several at a time. Holds one
 * piece of the file and one line in memory, whatever the size of the segment.
 * @throws ArchiveFault; `damaged` if the segment is cut short, or not what was stored
 */
export async function* linesOf(
  store: Store,
  name: string,
  { entries }: SegmentContent,
): AsyncGenerator<readonly Buffer[]> {
  let read = 0
  let rest: Buffer[] = []
  for await (const piece of decompressed(store, name)) {
    const lines: Buffer[] = []
    let from = 0
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, from)) {
      const line = piece.subarray(from, end)
      lines.push(rest.length === 0 ? line : Buffer.concat([...rest, line]))
      rest = []
      from = end + 1
    }
    if (from < piece.length) rest.push(piece.subarray(from))
    read += lines.length
    if (lines.length > 0) yield lines
  }
  if (read !== entries || rest.length > 0)
    throw new ArchiveFault('damaged', `segment ${name} is damaged: it holds ${read} entries instead of ${entries}`)
}

async function* decompressed(store: Store, name: string): AsyncGenerator<Buffer> {
  const content = Readable.from(store.read(name), { objectMode: false })
  const plain = createZstdDecompress()
  content.on('error', (error) => plain.destroy(error))
  content.pipe(plain)
  try {
    for await (const piece of plain) yield piece as Buffer
  } catch (error) {
    if (error instanceof ArchiveFault) throw error
    const { code = '' } = error as NodeJS.ErrnoException
    throw new ArchiveFault('damaged', `segment ${name} is damaged (${code || (error as Error).message})`, {
      cause: error,
    })
  } finally {
    content.destroy()
    plain.destroy()
  }
}

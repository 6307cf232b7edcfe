/** Where the archive holds the entries of one stream. */
import { lineStart } from '../archive/entry_line.ts'
import { linesOf } from '../archive/segment_reader.ts'
import { type IdRange, isWithin } from '../entries/id_range.ts'
import { compareIds, isBefore, parseStreamId, type StreamId } from '../entries/stream_id.ts'
import { ArchiveFault, type Store } from '../store/store.ts'
import { damageOf, type Segment, segmentsOf } from './segments.ts'

/** An entry, by its ID and its line. */
export interface Line {
  readonly id: StreamId
  readonly line: Buffer
}

/** Lines of one stream that follow each other in one segment, with growing IDs. */
export interface Run {
  readonly segment: Segment
  readonly from: StreamId
  /** How many of the stream's lines in the segment come before it. */
  readonly skipped: number
  entries: number
  /** The lines themselves, where there was room; null where they must be read again. */
  lines: Line[] | null
}

export interface Search {
  /** In the order of their first IDs. */
  readonly runs: readonly Run[]
  readonly damaged: readonly ArchiveFault[]
}

/** Most bytes of lines that are kept, so that most segments are read only once. */
const MOST_KEPT_BYTES = 32 * 1024 * 1024

/** Goes through all segments that may hold entries of the range. @throws ArchiveFault if the archive cannot be read */
export async function findRuns(store: Store, stream: Buffer, range: IdRange): Promise<Search> {
  const runs: Run[] = []
  const damaged: ArchiveFault[] = []
  let room = MOST_KEPT_BYTES
  for await (const segment of segmentsOf(store)) {
    if (segment instanceof ArchiveFault) {
      damaged.push(segment)
      continue
    }
    const { from, to } = segment.content
    if (from === null || to === null || isBefore(to, range.from) || isBefore(range.to, from)) continue
    try {
      const found = await runsIn(store, segment, stream, range, room)
      for (const { lines } of found) for (const { line } of lines ?? []) room -= line.length
      runs.push(...found)
    } catch (error) {
      damaged.push(damageOf(error))
    }
  }
  return { runs: runs.sort((a, b) => compareIds(a.from, b.from)), damaged }
}

async function runsIn(store: Store, segment: Segment, stream: Buffer, range: IdRange, room: number): Promise<Run[]> {
  const runs: Run[] = []
  let before: StreamId | null = null
  let seen = 0
  let left = room
  for await (const lines of streamLines(store, segment, stream, range)) {
    for (const { id, line } of lines) {
      let run = runs.at(-1)
      // A SCAN may find a stream twice, and its entries are then stored twice in a row.
      if (run === undefined || before === null || !isBefore(before, id)) {
        run = { segment, from: id, skipped: seen, entries: 0, lines: [] }
        runs.push(run)
      }
      run.entries++
      left -= line.length
      if (left < 0) run.lines = null
      // A copy: the line is part of a much larger piece.
      run.lines?.push({ id, line: Buffer.from(line) })
      before = id
      seen++
    }
  }
  return runs
}

/** The stream's lines in one segment, within the range, as they are stored. @throws ArchiveFault */
export async function* streamLines(
  store: Store,
  { name, content }: Segment,
  stream: Buffer,
  range: IdRange,
): AsyncGenerator<readonly Line[]> {
  const start = lineStart(stream)
  for await (const lines of linesOf(store, name, content)) {
    const found: Line[] = []
    for (const line of lines) {
      if (line.compare(start, 0, start.length, 0, Math.min(start.length, line.length)) !== 0) continue
      const end = line.indexOf('"', start.length)
      const id = parseStreamId(line.toString('latin1', start.length, end))
      if (isWithin(id, range)) found.push({ id, line })
    }
    if (found.length > 0) yield found
  }
}

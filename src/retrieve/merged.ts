/** The archived entries of one stream in the order of their IDs, each once, however often it was stored. */
import type { IdRange } from '../entries/id_range.ts'
import { isBefore, type StreamId } from '../entries/stream_id.ts'
import type { Store } from '../store/store.ts'
import { type Line, type Run, streamLines } from './runs.ts'

/** A run that is being read. */
interface Cursor {
  readonly rest: AsyncGenerator<Line>
  next: Line
}

/**
 * Merges runs, which are in the order of their first IDs. Reads only those at a time that overlap: usually one, and as many
 * as the times the same entry was stored.
 * @throws ArchiveFault
 */
export async function* merged(
  store: Store,
  stream: Buffer,
  range: IdRange,
  runs: readonly Run[],
): AsyncGenerator<Line> {
  const waiting = [...runs]
  const open: Cursor[] = []
  let last: StreamId | null = null
  try {
    for (;;) {
      let first = firstOf(open)
      while (waiting[0] !== undefined && (first === undefined || !isBefore(first.next.id, waiting[0].from))) {
        const cursor = await begin(linesOfRun(store, stream, range, waiting.shift() as Run))
        if (cursor !== null) open.push(cursor)
        first = firstOf(open)
      }
      if (first === undefined) return
      const { next } = first
      if (last === null || isBefore(last, next.id)) yield next
      last = next.id
      const { value, done } = await first.rest.next()
      if (done) open.splice(open.indexOf(first), 1)
      else first.next = value
    }
  } finally {
    for (const { rest } of open) await rest.return(undefined)
  }
}

function firstOf(open: readonly Cursor[]): Cursor | undefined {
  let first = open[0]
  for (const cursor of open) if (first !== undefined && isBefore(cursor.next.id, first.next.id)) first = cursor
  return first
}

async function begin(rest: AsyncGenerator<Line>): Promise<Cursor | null> {
  const { value, done } = await rest.next()
  return done ? null : { rest, next: value }
}

async function* linesOfRun(store: Store, stream: Buffer, range: IdRange, run: Run): AsyncGenerator<Line> {
  if (run.lines !== null) {
    yield* run.lines
    return
  }
  let before = run.skipped
  let left = run.entries
  for await (const lines of streamLines(store, run.segment, stream, range)) {
    for (const line of lines) {
      if (before > 0) {
        before--
        continue
      }
      if (left-- === 0) return
      yield line
    }
  }
}

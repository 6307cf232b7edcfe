/** Archives for tests: entries made by chance, segments written of them, and what the archive then says. */

import { addLine, type Entry, lineStart, parseLine } from '../../src/archive/entry_line.ts'
import { LineBuffer } from '../../src/archive/line_buffer.ts'
import { newSegmentName } from '../../src/archive/segment_name.ts'
import { contentOf, linesOf } from '../../src/archive/segment_reader.ts'
import { SegmentWriter } from '../../src/archive/segment_writer.ts'
import { parseStreamId } from '../../src/entries/stream_id.ts'
import type { Store } from '../../src/store/store.ts'
import type { Random } from './retention_model/random.ts'

/** Texts with which JSON, JavaScript objects or UTF-8 decoders have trouble. */
const AWKWARD = [
  '',
  '__proto__',
  'constructor',
  '1',
  '01',
  '"',
  '\\',
  '\n',
  '\u0000',
  '\ufeff',
  '\u2028',
  '{"base64":"AAE="}',
  'ключ',
  '🙂',
  '\ud7ff\ue000',
].map((text) => Buffer.from(text))

/** Bytes that are UTF-8 or not, long or short. */
export function randomBytes(random: Random): Buffer {
  return random.weighted<Buffer>(
    [4, () => Buffer.from(random.pick(['role', 'text', 'user', 'hello world']))],
    [2, () => random.pick(AWKWARD)],
    [2, () => Buffer.from(Array.from({ length: random.int(0, 12) }, () => random.int(0, 255)))],
    [1, () => Buffer.from('x'.repeat(random.magnitude(1, 3000)))],
  )
}

export function randomFields(random: Random): [Buffer, Buffer][] {
  return Array.from({ length: random.int(1, 6) }, () => [randomBytes(random), randomBytes(random)])
}

/** The line of an entry, with its line feed. */
export function lineOf({ stream, id, fields }: Entry): Buffer {
  const lines = new LineBuffer()
  addLine(lines, lineStart(stream), Buffer.from(id), fields.flat())
  return Buffer.from(lines.written)
}

/** Stores one segment with these entries, in this order. @returns its name */
export async function storeSegment(
  store: Store,
  entries: readonly Entry[],
  policy = 'chat',
  nowMs = Date.now(),
): Promise<string> {
  const writer = new SegmentWriter(1024 * 1024)
  for (const entry of entries) {
    const id = parseStreamId(entry.id)
    await writer.add((lines) => lines.raw(lineOf(entry)), 1, id, id)
  }
  const name = newSegmentName(policy, nowMs)
  await store.put(name, await writer.finish())
  return name
}

/** Entries of one stream with the IDs `<first>-0` to `<last>-0`. */
export function numbered(stream: string, first: number, last: number): Entry[] {
  return Array.from({ length: last - first + 1 }, (_, i) => ({
    stream: Buffer.from(stream),
    id: `${first + i}-0`,
    fields: [[Buffer.from('n'), Buffer.from(String(first + i))]],
  }))
}

/** Every stored entry as often as it was stored, in no order. */
export async function readContents(store: Store): Promise<Entry[]> {
  const entries: Entry[] = []
  for await (const file of store.list('v1')) {
    for await (const lines of linesOf(store, file.name, await contentOf(store, file)))
      entries.push(...lines.map(parseLine))
  }
  return entries
}

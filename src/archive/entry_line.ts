/**
 * One entry as one line of JSON: `{"stream":…,"id":"…","fields":…}`.
 *
 * Stream keys, names and values are bytes. Bytes that are UTF-8 are a JSON string; all others are `{"base64":"…"}`. The types
 * differ, so no text is ever taken for bytes. `fields` is an object. It is a list of pairs where an object could lose
 * something: a name that occurs twice, that is not UTF-8, that is all digits beside other names, which JavaScript moves to
 * the front, or that JSON must escape: after an object with the names `a` and `\`, V8 in Node 24 reads `a` and `"` as these
 * names too.
 */
import { LineBuffer } from './line_buffer.ts'

/** One entry of a stream. Its fields keep their order, and may repeat a name. */
export interface Entry {
  readonly stream: Buffer
  readonly id: string
  readonly fields: readonly (readonly [name: Buffer, value: Buffer])[]
}

const ID = Buffer.from(',"id":"')
const FIELDS = Buffer.from('","fields":')
const END = Buffer.from('}\n')
const [OPEN_OBJECT, CLOSE_OBJECT] = [0x7b, 0x7d]
const [OPEN_LIST, CLOSE_LIST] = [0x5b, 0x5d]
const [COMMA, COLON] = [0x2c, 0x3a]

/** The start of every line of one stream: compute it once, and write or find its lines by it. */
export function lineStart(stream: Buffer): Buffer {
  const start = new LineBuffer()
  start.raw(Buffer.from('{"stream":'))
  start.json(stream)
  start.raw(ID)
  return Buffer.from(start.written)
}

/** Adds the line of one entry, with its line feed. `fields` holds names and values in turn, as Redis replies them. */
export function addLine(lines: LineBuffer, start: Buffer, id: Buffer, fields: readonly Buffer[]): void {
  lines.raw(start)
  lines.raw(id)
  lines.raw(FIELDS)
  const before = lines.length
  if (!addObject(lines, fields)) {
    lines.length = before
    addPairs(lines, fields)
  }
  lines.raw(END)
}

/** @returns false where only pairs will do */
function addObject(lines: LineBuffer, fields: readonly Buffer[]): boolean {
  const hasOthers = fields.length > 2
  lines.byte(OPEN_OBJECT)
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as Buffer
    if (hasOthers && (isAllDigits(name) || occursBefore(fields, i))) return false
    if (i > 0) lines.byte(COMMA)
    if (lines.json(name) !== 'plain') return false
    lines.byte(COLON)
    lines.json(fields[i + 1] as Buffer)
  }
  lines.byte(CLOSE_OBJECT)
  return true
}

function addPairs(lines: LineBuffer, fields: readonly Buffer[]): void {
  lines.byte(OPEN_LIST)
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (i > 0) lines.byte(COMMA)
    lines.byte(OPEN_LIST)
    lines.json(fields[i] as Buffer)
    lines.byte(COMMA)
    lines.json(fields[i + 1] as Buffer)
    lines.byte(CLOSE_LIST)
  }
  lines.byte(CLOSE_LIST)
}

function isAllDigits(name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = name[i] as number
    if (byte < 0x30 || byte > 0x39) return false
  }
  return name.length > 0
}

function occursBefore(fields: readonly Buffer[], place: number): boolean {
  const name = fields[place] as Buffer
  for (let i = 0; i < place; i += 2) {
    const other = fields[i] as Buffer
    if (other.length === name.length && other.equals(name)) return true
  }
  return false
}

/** The inverse of addLine. @throws SyntaxError if the line has another form */
export function parseLine(line: Buffer): Entry {
  const { stream, id, fields } = JSON.parse(line.toString()) as Record<string, unknown>
  if (typeof id !== 'string' || !/^\d{1,20}-\d{1,20}$/.test(id)) throw new SyntaxError('the line has no valid ID')
  if (typeof fields !== 'object' || fields === null) throw new SyntaxError('the line has no fields')
  const pairs: readonly (readonly unknown[])[] = Array.isArray(fields) ? fields : Object.entries(fields)
  return {
    stream: asBytes(stream),
    id,
    fields: pairs.map((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) throw new SyntaxError('a field is not a pair of name and value')
      return [asBytes(pair[0]), asBytes(pair[1])] as const
    }),
  }
}

function asBytes(value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value)
  const { base64 } = (value ?? {}) as { base64?: unknown }
  if (typeof base64 !== 'string') throw new SyntaxError('a value is neither text nor {"base64":"…"}')
  return Buffer.from(base64, 'base64')
}

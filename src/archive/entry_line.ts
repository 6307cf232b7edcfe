/**
 * One entry as one line of JSON: `{"stream":…,"id":"…","fields":…}`.
 *
 * Stream keys, names and values are bytes. Bytes that are UTF-8 are a JSON string; all others are `{"base64":"…"}`. The types
 * differ, so no text is ever taken for bytes. `fields` is an object. It is a list of pairs where an object could lose
 * something: a name that occurs twice, that is not UTF-8, that is all digits beside other names, which JavaScript moves to
 * the front, or that JSON must escape: after an object with the names `a` and `\`, V8 in Node 24 reads `a` and `"` as these
 * names too.
 */
import { isUtf8 } from 'node:buffer'

/** One entry of a stream. Its fields keep their order, and may repeat a name. */
export interface Entry {
  readonly stream: Buffer
  readonly id: string
  readonly fields: readonly (readonly [name: Buffer, value: Buffer])[]
}

/** The start of every line of one stream: compute it once, and write or find its lines by it. */
export function lineStart(stream: Buffer): string {
  return `{"stream":${asJson(stream)},"id":"`
}

/** The line of one entry, with its line feed. `fields` holds names and values in turn, as Redis replies them. */
export function formatLine(start: string, id: Buffer, fields: readonly Buffer[]): string {
  return `${start}${id.toString('latin1')}","fields":${formatFields(fields)}}\n`
}

function formatFields(fields: readonly Buffer[]): string {
  const names: string[] = []
  let object = ''
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as Buffer
    const text = asJson(name)
    if (!isPlainName(text, fields.length > 2) || names.includes(text)) return formatPairs(fields)
    names.push(text)
    object += `${i === 0 ? '' : ','}${text}:${asJson(fields[i + 1] as Buffer)}`
  }
  return `{${object}}`
}

function isPlainName(text: string, hasOthers: boolean): boolean {
  return text[0] === '"' && !text.includes('\\') && !(hasOthers && /^"\d+"$/.test(text))
}

function formatPairs(fields: readonly Buffer[]): string {
  let pairs = ''
  for (let i = 0; i + 1 < fields.length; i += 2)
    pairs += `${i === 0 ? '' : ','}[${asJson(fields[i] as Buffer)},${asJson(fields[i + 1] as Buffer)}]`
  return `[${pairs}]`
}

function asJson(bytes: Buffer): string {
  return isUtf8(bytes) ? JSON.stringify(bytes.toString()) : `{"base64":"${bytes.toString('base64')}"}`
}

/** The inverse of formatLine. @throws SyntaxError if the line has another form */
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

/** The format of the archive: what is read back is what was stored, by us and by the tools that people have. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { addLine, type Entry, lineStart, parseLine } from '../../src/archive/entry_line.ts'
import { LineBuffer } from '../../src/archive/line_buffer.ts'
import { FOOTER_BYTES } from '../../src/archive/segment_footer.ts'
import { hasFolder, newSegmentName, placeOf } from '../../src/archive/segment_name.ts'
import { contentOf, linesOf } from '../../src/archive/segment_reader.ts'
import { FileStore } from '../../src/store/file_store.ts'
import { lineOf, numbered, randomBytes, randomFields, storeSegment } from '../harness/archived.ts'
import { readPage, sectionOf } from '../harness/documents.ts'
import { temporaryFolder } from '../harness/files.ts'
import { Random } from '../harness/retention_model/random.ts'

const MB = 1024 * 1024

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function textOf(entry: Entry): string {
  return lineOf(entry).toString()
}

function randomEntry(random: Random): Entry {
  const stream = Buffer.concat([Buffer.from('s'), randomBytes(random)])
  return { stream, id: `${random.int(0, 2 ** 40)}-${random.int(0, 9)}`, fields: randomFields(random) }
}

test('an entry of any bytes is read back as it was, its fields in their order', () => {
  const random = new Random(7)
  for (let i = 0; i < 20_000; i++) {
    const entry = randomEntry(random)
    const line = lineOf(entry)
    assert.equal(line.indexOf('\n'), line.length - 1)
    assert.deepEqual(parseLine(line.subarray(0, -1)), entry)
  }
})

test('a line is an object of stream, id and fields, as docs/archive.md shows', () => {
  const entry = (fields: [string | Buffer, string | Buffer][], stream: string | Buffer = 'chat:1'): Entry => ({
    stream: Buffer.from(stream),
    id: '1764322200000-0',
    fields: fields.map(([name, value]) => [Buffer.from(name), Buffer.from(value)]),
  })
  const told = (fields: string, stream = '"chat:1"'): string =>
    `{"stream":${stream},"id":"1764322200000-0","fields":${fields}}\n`
  const bytes = Buffer.from([0xff, 0])
  assert.equal(
    textOf(
      entry([
        ['role', 'user'],
        ['text', 'hi "you"'],
      ]),
    ),
    told('{"role":"user","text":"hi \\"you\\""}'),
  )
  assert.equal(textOf(entry([['text', bytes]])), told('{"text":{"base64":"/wA="}}'))
  assert.equal(textOf(entry([['text', 'a']], bytes)), told('{"text":"a"}', '{"base64":"/wA="}'))
  assert.equal(
    textOf(
      entry([
        ['tag', 'a'],
        ['tag', 'b'],
      ]),
    ),
    told('[["tag","a"],["tag","b"]]'),
  )
  assert.equal(textOf(entry([[bytes, 'a']])), told('[[{"base64":"/wA="},"a"]]'))
  assert.equal(
    textOf(
      entry([
        ['b', 'x'],
        ['1', 'y'],
      ]),
    ),
    told('[["b","x"],["1","y"]]'),
  )
  assert.equal(textOf(entry([['1', 'y']])), told('{"1":"y"}'))
  assert.equal(textOf(entry([['__proto__', 'y']])), told('{"__proto__":"y"}'))
})

test('a name that JSON must escape is in a pair, because V8 takes one such name for another', () => {
  const lines = ['\\', '"'].map((name) =>
    textOf({
      stream: Buffer.from('s'),
      id: '1-1',
      fields: [
        [Buffer.from('text'), Buffer.from('x')],
        [Buffer.from(name), Buffer.from('y')],
      ],
    }),
  )
  assert.deepEqual(
    lines.map((line) => parseLine(Buffer.from(line)).fields[1]?.[0].toString()),
    ['\\', '"'],
  )
})

test('a value of megabytes takes about as much memory as its line, and leaves nothing behind', () => {
  const lines = new LineBuffer()
  const start = lineStart(Buffer.from('s'))
  const heldBytes = (): number => {
    // The second waits until what the first found is freed.
    collectGarbage()
    collectGarbage()
    return process.memoryUsage().arrayBuffers
  }
  const addGiant = (byte: number, factor: number): void => {
    const value = Buffer.alloc(2 * MB, byte)
    const fields = [Buffer.from('text'), value]
    addLine(lines, start, Buffer.from('1-1'), fields)
    const line = Buffer.from(lines.written)
    // It grows by doubling.
    assert.ok(lines.written.buffer.byteLength <= 2.1 * factor * 2 * MB, `${lines.written.buffer.byteLength}`)
    lines.clear()
    addLine(lines, start, Buffer.from('1-2'), fields.toReversed())
    lines.clear()
    assert.ok(parseLine(line.subarray(0, -1)).fields[0]?.[1].equals(value))
  }
  const before = heldBytes()
  for (const [byte, factor] of [
    [0x78, 1],
    [0x22, 2],
    [0x00, 6],
    [0xff, 4 / 3],
  ] as const)
    addGiant(byte, factor)
  const held = heldBytes() - before
  assert.ok(held < MB / 2, `${held}`)
  assert.equal(lines.length, 0)
})

test('a line of another form is refused', () => {
  for (const line of [
    '',
    '{',
    '{}',
    '{"stream":"a","id":"1","fields":{}}',
    '{"stream":1,"id":"1-1","fields":{}}',
    '{"stream":"a","id":"1-1","fields":[["a"]]}',
  ])
    assert.throws(() => parseLine(Buffer.from(line)), SyntaxError, line)
})

test('a segment name tells policy and date, whatever the policy is called', () => {
  for (const policy of ['stream:conversation:*', 'a/b', '..', '%2F', 'é=?[x]', "it's(!)~"]) {
    const name = newSegmentName(policy, Date.UTC(2026, 10, 28, 9, 5, 7, 123))
    assert.match(name, /^v1\/policy=[\w.%-]+\/date=2026-11-28\/20261128T090507123Z-[0-9a-f]{16}\.ndjson\.zst$/)
    assert.deepEqual(placeOf(name), { policy, date: '2026-11-28' })
  }
  for (const name of [
    'v1/x',
    'v2/policy=a/date=2026-11-28/x.ndjson.zst',
    'v1/policy=%/date=2026-11-28/x.ndjson.zst',
    'v1/policy=a/date=2026-11-28/.x.ndjson.zst',
  ])
    assert.equal(placeOf(name), null, name)
  assert.ok(hasFolder('stream:conversation:*') && !hasFolder('*'.repeat(90)))
})

test('a segment says how many entries it holds, and their lowest and highest IDs', async (t) => {
  const store = new FileStore(temporaryFolder(t, 'archive'))
  const name = await storeSegment(store, [...numbered('a', 5, 2000), ...numbered('b', 3, 900)])
  const [file] = await Array.fromAsync(store.list('v1'))
  assert.equal(file?.name, name)
  const content = await contentOf(store, file)
  assert.deepEqual(content, {
    entries: 2894,
    lineBytes: content.lineBytes,
    from: { ms: 3n, seq: 0n },
    to: { ms: 2000n, seq: 0n },
  })
  const lines = (await Array.fromAsync(linesOf(store, name, content))).flat()
  assert.equal(lines.length, 2894)
  assert.equal(
    lines.reduce((sum, { length }) => sum + length + 1, 0),
    content.lineBytes,
  )
})

test('a segment that is cut short or damaged anywhere is told by its name', async (t) => {
  const store = new FileStore(temporaryFolder(t, 'archive'))
  const whole = await storeSegment(store, numbered('a', 1, 3000))
  const bytes = Buffer.concat(await Array.fromAsync(store.read(whole)))
  const read = async (content: Buffer): Promise<number> => {
    const file = { name: newSegmentName('damaged', Date.now()), bytes: content.length }
    await store.put(file.name, [content])
    return (await Array.fromAsync(linesOf(store, file.name, await contentOf(store, file)))).flat().length
  }
  assert.equal(await read(bytes), 3000)
  const random = new Random(3)
  const places = [
    0,
    4,
    bytes.length - FOOTER_BYTES - 1,
    ...Array.from({ length: 20 }, () => random.int(0, bytes.length - FOOTER_BYTES - 1)),
  ]
  for (const place of places) {
    const damaged = Buffer.from(bytes)
    damaged[place] = (damaged[place] ?? 0) ^ 0x55
    await assert.rejects(
      read(damaged),
      { code: 'damaged', message: /^segment v1\/policy=damaged\/.* is damaged/ },
      `byte ${place}`,
    )
    await assert.rejects(read(bytes.subarray(0, place)), {
      code: 'damaged',
      message: /^segment v1\/policy=damaged\/.* is cut short/,
    })
    const withoutMiddle = Buffer.concat([bytes.subarray(0, place), bytes.subarray(-FOOTER_BYTES)])
    await assert.rejects(read(withoutMiddle), { code: 'damaged' }, `cut at ${place}`)
  }
})

/** The first SQL query of docs/archive.md, for another folder. */
function documentedQuery(folder: string): string {
  const [, query] = /```sql\n([\s\S]*?)```/.exec(sectionOf(readPage('docs/archive.md'), 'Read it with DuckDB')) ?? []
  assert.ok(query, 'the query reads /var/archive')
  return query.replaceAll('/var/archive/', `${folder}/`)
}

async function duckdb(): Promise<DuckDBConnection> {
  return (await DuckDBInstance.create(':memory:')).connect()
}

test('DuckDB reads the folder as it is, by the query in docs/archive.md', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const store = new FileStore(folder)
  const text = (stream: string, id: string, text: string): Entry => ({
    stream: Buffer.from(stream),
    id,
    fields: [
      [Buffer.from('role'), Buffer.from('user')],
      [Buffer.from('text'), Buffer.from(text)],
    ],
  })
  await storeSegment(
    store,
    [text('stream:conversation:1', '1764322200000-0', 'hello'), ...numbered('other', 1, 500)],
    'stream:conversation:*',
  )
  await storeSegment(
    store,
    [
      // Stored twice, as after a crash.
      text('stream:conversation:1', '1764322200000-0', 'hello'),
      text('stream:conversation:1', '1764322201000-0', 'world'),
      { ...text('stream:conversation:1', '1764322202000-0', ''), fields: [[Buffer.from('text'), Buffer.from([0xff])]] },
    ],
    'stream:conversation:*',
  )
  const reader = await (await duckdb()).runAndReadAll(documentedQuery(folder))
  assert.deepEqual(reader.getRowObjectsJson(), [
    { id: '1764322200000-0', time: '2025-11-28 09:30:00', role: 'user', text: 'hello' },
    { id: '1764322201000-0', time: '2025-11-28 09:30:01', role: 'user', text: 'world' },
    { id: '1764322202000-0', time: '2025-11-28 09:30:02', role: null, text: '{"base64":"/w=="}' },
  ])
})

test('zstdcat and jq read a segment as it is', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const name = await storeSegment(new FileStore(folder), [...numbered('a', 1, 2000), ...numbered('b', 7, 9)])
  const told = execFileSync(
    'sh',
    ['-c', `zstdcat "$1" | jq -r 'select(.stream == "b") | .id + " " + .fields.n'`, 'sh', `${folder}/${name}`],
    { encoding: 'utf8' },
  )
  assert.equal(told, '7-0 7\n8-0 8\n9-0 9\n')
})

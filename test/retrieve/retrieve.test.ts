/** Reading the archive back: every entry once and in order, whatever was stored how often. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Entry, parseLine } from '../../src/archive/entry_line.ts'
import { EVERY_ID, type IdRange } from '../../src/entries/id_range.ts'
import { parseStreamId } from '../../src/entries/stream_id.ts'
import { listArchive } from '../../src/retrieve/listing.ts'
import { readEntries } from '../../src/retrieve/retrieve.ts'
import { FileStore } from '../../src/store/file_store.ts'
import type { ArchiveFault, Store } from '../../src/store/store.ts'
import { numbered, randomFields, storeSegment } from '../harness/archived.ts'
import { connectBytes } from '../harness/entry_book.ts'
import { temporaryFolder } from '../harness/files.ts'
import { type Ended, runXtrimd } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { Random } from '../harness/retention_model/random.ts'

function openFolder(t: TestContext): { store: FileStore; folder: string } {
  const folder = temporaryFolder(t, 'archive')
  return { store: new FileStore(folder), folder }
}

/** The entries of a stream as `archive cat` prints them. A damaged segment fails the test unless it is expected. */
async function readBack(
  store: Store,
  stream: string | Buffer,
  range: IdRange = EVERY_ID,
  damaged: ArchiveFault[] = [],
): Promise<Entry[]> {
  const faults: ArchiveFault[] = []
  const terms = { stream: Buffer.from(stream), range, toStream: null }
  const text = Buffer.concat(await Array.fromAsync(readEntries(store, terms, (fault) => faults.push(fault)))).toString()
  damaged.push(...faults)
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => parseLine(Buffer.from(line)))
}

test('entries stored in several segments, in any order and twice, are read once and in order', async (t) => {
  const { store } = openFolder(t)
  const random = new Random(11)
  const all = numbered('s', 1, 3000).map((entry): Entry => ({ ...entry, fields: randomFields(random) }))
  const cut = (from: number, to: number): Entry[] => all.slice(from, to)
  // Overlapping, out of order, the same twice in one segment, and other streams between.
  await storeSegment(store, [...cut(500, 1500), ...numbered('other', 1, 100)])
  await storeSegment(store, [...cut(0, 700), ...cut(200, 700), ...numbered('s2', 1, 100)])
  await storeSegment(store, cut(2000, 3000))
  await storeSegment(store, cut(1400, 2100), 'another policy')
  assert.deepEqual(await readBack(store, 's'), all)
  assert.deepEqual(await readBack(store, 's2'), numbered('s2', 1, 100))
  assert.deepEqual(await readBack(store, 'missing'), [])
  const range = { from: parseStreamId('650'), to: parseStreamId('1450-0') }
  assert.deepEqual(await readBack(store, 's', range), all.slice(649, 1450))
})

test('a stream that is larger than what is kept in memory is read back all the same', async (t) => {
  const { store } = openFolder(t)
  const value = Buffer.from('x'.repeat(20_000))
  const all = numbered('s', 1, 3000).map((entry): Entry => ({ ...entry, fields: [[Buffer.from('v'), value]] }))
  for (let i = 0; i < 3; i++) await storeSegment(store, all.slice(i * 900, i * 900 + 1200))
  assert.deepEqual(await readBack(store, 's'), all)
})

test('a damaged segment is told, and the others are read', async (t) => {
  const { store } = openFolder(t)
  await storeSegment(store, numbered('s', 1, 100))
  const name = await storeSegment(store, numbered('s', 101, 5000))
  const content = Buffer.concat(await Array.fromAsync(store.read(name)))
  content[content.length >> 1] = (content[content.length >> 1] ?? 0) ^ 1
  await store.put(name, [content])
  await store.put('v1/policy=chat/date=2026-11-28/cut.ndjson.zst', [content.subarray(0, 100)])
  const damaged: ArchiveFault[] = []
  assert.deepEqual(await readBack(store, 's', EVERY_ID, damaged), numbered('s', 1, 100))
  assert.deepEqual(
    damaged.map(({ code }) => code),
    ['damaged', 'damaged'],
  )
  assert.ok(damaged.some(({ message }) => message.includes(name)))
})

test('a listing adds up segments, entries and bytes by policy and date', async (t) => {
  const { store } = openFolder(t)
  const day = (n: number): number => Date.UTC(2026, 10, n)
  await storeSegment(store, numbered('s', 1, 10), 'a*', day(1))
  await storeSegment(store, numbered('s', 11, 30), 'a*', day(1))
  await storeSegment(store, numbered('s', 31, 31), 'a*', day(2))
  await storeSegment(store, numbered('t', 1, 5), 'b', day(1))
  await store.put('v1/policy=b/date=2026-11-01/README', [Buffer.from('not a segment')])
  const { days, total, damaged } = await listArchive(store)
  assert.deepEqual(
    days.map(({ bytes: _, ...rest }) => rest),
    [
      { policy: 'a*', date: '2026-11-01', segments: 2, entries: 30 },
      { policy: 'a*', date: '2026-11-02', segments: 1, entries: 1 },
      { policy: 'b', date: '2026-11-01', segments: 1, entries: 5 },
    ],
  )
  assert.equal(
    total.bytes,
    days.reduce((sum, { bytes }) => sum + bytes, 0),
  )
  assert.deepEqual({ ...total, bytes: 0 }, { segments: 4, entries: 36, bytes: 0 })
  assert.deepEqual(damaged, [])
})

/** Runs `archive restore` into a stream of this Redis. */
function runRestore(folder: string, { url }: RedisServer, ...args: string[]): Promise<Ended> {
  return runXtrimd([
    'archive',
    'restore',
    '--archive',
    `file://${folder}`,
    '--redis-url',
    url,
    '--pace',
    '100',
    ...args,
  ])
}

test('a restored stream is the same as the one that was archived, byte for byte', async (t) => {
  // The same content may compress to different bytes.
  const redis = await startRedis(t, { config: { rdbcompression: 'no' } })
  const { store, folder } = openFolder(t)
  const random = new Random(5)
  const entries = numbered('s', 1, 1500).map((entry): Entry => ({ ...entry, fields: randomFields(random) }))
  for (const { id, fields } of entries) await redis.command('XADD', 's', id, ...fields.flat())
  // As bytes: text would show bytes that differ as the same.
  const { ask } = await connectBytes(t, redis)
  const [before] = await ask([['DUMP', 's']])
  await storeSegment(store, entries)
  await redis.command('DEL', 's')
  const { code, stdout, stderr } = await runRestore(folder, redis, '--stream', 's', '--to-stream', 'copy')
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: 'restored 1500 entries of s into copy\n', stderr: '' })
  const [after] = await ask([['DUMP', 'copy']])
  assert.ok(Buffer.isBuffer(before) && before.length > 100_000 && before.equals(after as Buffer))
})

test('a restore that was interrupted goes on behind what is there, and says so', async (t) => {
  const redis = await startRedis(t)
  const { store, folder } = openFolder(t)
  await storeSegment(store, numbered('s', 1, 1000))
  await runRestore(folder, redis, '--stream', 's', '--to-stream', 'copy', '--to', '400')
  const again = await runRestore(folder, redis, '--stream', 's', '--to-stream', 'copy', '--output', 'json')
  assert.deepEqual({ code: again.code, ...JSON.parse(again.stdout) }, { code: 0, added: 600, found: 400 })
  assert.equal(await redis.command('XLEN', 'copy'), 1000)
})

test('a target that holds anything else is refused and left alone', async (t) => {
  const redis = await startRedis(t)
  const { store, folder } = openFolder(t)
  await storeSegment(store, numbered('s', 10, 1000))
  await redis.command('XADD', 'newer', '5000-0', 'n', 'x')
  await redis.command('XADD', 'other', '10-0', 'n', 'another value')
  for (const id of ['10-0', '11-0']) await redis.command('XADD', 'between', id, 'n', id.slice(0, 2))
  await redis.command('XADD', 'between', '11-5', 'n', 'not archived')
  await redis.command('SET', 'text', 'x')
  await redis.command('XADD', 'older', '9-0', 'n', 'x')
  for (const [key, why] of [
    ['newer', /has the last ID 5000-0, and does not hold what the archive holds from 10-0 to 10-0/],
    ['other', /does not hold what the archive holds from 10-0 to 10-0/],
    ['between', /does not hold what the archive holds from 10-0 to 12-0|holds 11-5, which the archive does not/],
    ['text', /exists and is not a stream/],
  ] as const) {
    const before = await redis.command('DUMP', key)
    const { code, stderr } = await runRestore(folder, redis, '--stream', 's', '--to-stream', key)
    assert.equal(code, 1)
    assert.match(stderr, why)
    assert.ok((await redis.command('DUMP', key)) === before)
  }
  const missing = await runRestore(folder, redis, '--stream', 'another', '--to-stream', 'x')
  assert.deepEqual([missing.code, /holds no entries of another/.test(missing.stderr)], [1, true])
  // The control: a stream whose last ID is older takes the entries.
  assert.equal((await runRestore(folder, redis, '--stream', 's', '--to-stream', 'older')).code, 0)
  assert.equal(await redis.command('XLEN', 'older'), 992)
})

test('a Redis out of memory stops a restore without a gap, and the same command ends it later', async (t) => {
  const redis = await startRedis(t)
  const { store, folder } = openFolder(t)
  const value = Buffer.from('x'.repeat(1000))
  const entries = numbered('s', 1, 5000).map((entry): Entry => ({ ...entry, fields: [[Buffer.from('v'), value]] }))
  await storeSegment(store, entries)
  await redis.command('CONFIG', 'SET', 'maxmemory', String((await redis.usedMemory()) + 2_000_000))
  const first = await runRestore(folder, redis, '--stream', 's', '--to-stream', 'copy')
  assert.equal(first.code, 1)
  assert.match(first.stderr, /OOM/)
  const some = Number(await redis.command('XLEN', 'copy'))
  assert.ok(some > 0 && some < 5000)
  const [last] = (await redis.command('XREVRANGE', 'copy', '+', '-', 'COUNT', '1')) as [[string]]
  assert.equal(last[0], `${some}-0`)
  await redis.command('CONFIG', 'SET', 'maxmemory', '0')
  assert.equal((await runRestore(folder, redis, '--stream', 's', '--to-stream', 'copy')).code, 0)
  assert.equal(await redis.command('XLEN', 'copy'), 5000)
})

test('archive ls and cat print the archive, and keys are given as logs show them', async (t) => {
  const { store, folder } = openFolder(t)
  const key = Buffer.from([0x61, 0xff, 0x5c])
  await storeSegment(
    store,
    [...numbered('s', 1, 3), { stream: key, id: '5-1', fields: [[Buffer.from('a'), Buffer.from('b')]] }],
    'chat:*',
    Date.UTC(2026, 10, 28),
  )
  const at = ['--archive', `file://${folder}`]
  const ls = await runXtrimd(['archive', 'ls', ...at])
  assert.match(
    ls.stdout,
    /^policy +date +segments +entries +bytes\nchat:\* +2026-11-28 +1 +4 +\d+b\nall +1 +4 +\d+b\n$/,
  )
  assert.deepEqual(JSON.parse((await runXtrimd(['archive', 'ls', ...at, '--output', 'json'])).stdout).entries, 4)
  const cat = await runXtrimd(['archive', 'cat', ...at, '--stream', 'a\\xff\\\\'])
  assert.deepEqual(cat, {
    code: 0,
    signal: null,
    stderr: '',
    stdout: '{"stream":{"base64":"Yf9c"},"id":"5-1","fields":{"a":"b"}}\n',
  })
  const none = await runXtrimd(['archive', 'ls', '--archive', `file://${folder}/no`])
  assert.equal(none.code, 1)
  assert.match(none.stderr, /could not list .*ENOENT/)
})

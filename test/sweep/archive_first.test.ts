/** Sweeps with an archive: what is removed was stored before, and nothing goes while the archive fails. */

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { FileStore } from '../../src/store/file_store.ts'
import { readContents } from '../harness/archived.ts'
import { archivedEntries, connectBytes, EntryBook } from '../harness/entry_book.ts'
import { assertToldAs } from '../harness/faults.ts'
import { temporaryFolder } from '../harness/files.ts'
import { planWell } from '../harness/plan_once.ts'
import { startCluster } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { Random } from '../harness/retention_model/random.ts'
import { S3_CREDENTIALS, startS3 } from '../harness/s3_server.ts'
import { fillStream, lengthOf, redisNow, streamIds } from '../harness/streams.ts'
import { sweepHere, sweepWhole } from '../harness/sweep_here.ts'
import { sweepOnce, sweepWell } from '../harness/sweep_once.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:1'

interface Scene {
  readonly redis: RedisServer
  readonly folder: string
  readonly store: FileStore
  /** `--archive file://…` */
  readonly archive: readonly string[]
}

async function startScene(t: TestContext): Promise<Scene> {
  const folder = temporaryFolder(t, 'archive')
  return {
    redis: await startRedis(t),
    folder,
    store: new FileStore(folder),
    archive: ['--archive', `file://${folder}`],
  }
}

/** A stream of so many entries, one a minute until now. */
async function fillMinutes(redis: RedisServer, key: string, count: number, bytes = 20): Promise<void> {
  const from = (await redisNow(redis)) - count * 60_000
  await fillStream(redis, key, { count, from, stepMs: 60_000, bytes })
}

test('each limit archives exactly what it removes, and plan foretold it', async (t) => {
  for (const limits of [
    ['--max-age', '24h', '--max-length', 'off'],
    ['--max-age', 'off', '--max-length', '500'],
    ['--max-age', '24h', '--max-length', '500', '--trim', 'exact'],
    ['--max-age', 'off', '--max-length', 'off', '--max-bytes', '20kb'],
    ['--max-age', 'off', '--max-length', '5000', '--acked-after', '0s'],
    ['--max-age', 'off', '--max-length', '500', '--hard-max-length', '1000', '--protect', 'unread'],
  ]) {
    const { redis, store, archive } = await startScene(t)
    await fillMinutes(redis, KEY, 2000)
    await redis.command('XGROUP', 'CREATE', KEY, 'g', '0')
    const read = (await redis.command('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '700', 'STREAMS', KEY, '>')) as [
      [string, [string][]],
    ]
    await redis.command('XACK', KEY, 'g', ...read[0][1].map(([id]) => id))
    const before = await streamIds(redis, KEY)
    const planned = await planWell(redis.url, [...limits, ...archive])
    const total = await sweepWhole(redis.url, [...limits, ...archive])
    const left = new Set(await streamIds(redis, KEY))
    const archived = (await archivedEntries(store, KEY)).map(({ id }) => id)
    const gone = before.filter((id) => !left.has(id))
    assert.ok(gone.length > 500, limits.join(' '))
    assert.deepEqual(archived.slice(0, gone.length), gone)
    // What goes for bytes is estimated: a little more is archived.
    if (!limits.includes('--max-bytes')) assert.equal(archived.length, gone.length)
    assert.equal(total.archived, archived.length)
    assert.equal(total.unarchived, 0)
    assert.ok(Math.abs(planned.archive - gone.length) <= 100, `${planned.archive} of ${gone.length}: ${limits}`)
  }
})

test('a stream that a group holds is reported as held, with an archive as without', async (t) => {
  const { redis, store, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 2000)
  await redis.command('XGROUP', 'CREATE', KEY, 'behind', '0')
  const limits = ['--max-age', '24h', '--max-length', '500', '--protect', 'unread']
  for (const args of [limits, [...limits, ...archive]]) {
    const { held, overLimit, removed } = await sweepWell(redis.url, args)
    assert.deepEqual(
      [held.map(({ stream, group }) => [stream, group]), overLimit.length, removed.length],
      [[[KEY, 'behind']], 1, 0],
    )
  }
  assert.deepEqual(await archivedEntries(store, KEY), [])
})

test('approx waits until a node is due, so that nothing is archived twice', async (t) => {
  const { redis, store, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 1050)
  const none = await sweepWhole(redis.url, ['--max-age', 'off', '--max-length', '1000', ...archive])
  assert.deepEqual([none.archived, none.entries.after, none.overLimit.length], [0, 1050, 0])
  await fillMinutes(redis, 'stream:conversation:old', 10)
  await sweepWhole(redis.url, [
    '--max-age',
    '1m',
    '--max-length',
    'off',
    '--match',
    'stream:conversation:old',
    ...archive,
  ])
  assert.equal(await lengthOf(redis, 'stream:conversation:old'), 0)
  for (let more = 0; more < 3; more++) {
    const from = (await redisNow(redis)) + more
    await fillStream(redis, KEY, { count: 100, from, stepMs: 0, bytes: 20 })
    await sweepWhole(redis.url, ['--max-age', 'off', '--max-length', '1000', ...archive])
  }
  assert.equal(await lengthOf(redis, KEY), 1000)
  const lines = (await readContents(store)).filter(({ stream }) => stream.toString() === KEY)
  assert.equal(lines.length, 350)
})

test('many streams share a segment, and under load segments have their size', async (t) => {
  const { redis, store, archive } = await startScene(t)
  const random = new Random(1)
  const noise = (): string => Array.from({ length: 12 }, () => random.int(0, 2 ** 31).toString(36)).join('')
  for (let s = 0; s < 400; s++) {
    const commands = Array.from({ length: 60 }, (_, i) =>
      redis.command('XADD', `stream:conversation:${s}`, `${i + 1}-0`, 'text', noise()),
    )
    await Promise.all(commands)
  }
  const total = await sweepWhole(redis.url, [
    '--max-age',
    'off',
    '--max-length',
    '5',
    '--trim',
    'exact',
    '--archive-segment',
    '128kb',
    ...archive,
  ])
  assert.equal(total.archived, 400 * 55)
  const sizes = (await Array.fromAsync(store.list('v1'))).map(({ bytes }) => bytes)
  const small = sizes.filter((bytes) => bytes < 0.9 * 128 * 1024)
  assert.ok(sizes.length >= 5 && small.length <= 1, sizes.join(' '))
})

test('a stream that is larger than a segment is trimmed while it is being archived', async (t) => {
  const { redis, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 20_000, 100)
  const proxy = await startProxy(t, redis.port)
  proxy.delay(2)
  const limits = ['--max-age', 'off', '--max-length', '10', '--trim', 'exact', '--pace', '50']
  const args = [...limits, '--archive-segment', '1kb', ...archive]
  const sweeping = sweepWhole(proxy.url, args)
  await waitUntil(async () => (await lengthOf(redis, KEY)) < 18_000, { timeoutMs: 60_000, what: 'a first round' })
  assert.ok((await lengthOf(redis, KEY)) > 100)
  assert.equal((await sweeping).archived, 19_990)
})

test('a policy with archive=false is trimmed without an archive', async (t) => {
  const { redis, store, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 500)
  await fillMinutes(redis, 'cache:1', 500)
  const args = ['--max-length', '10', '--policy', 'cache:*,archive=false', '--trim', 'exact', ...archive]
  const total = await sweepWhole(redis.url, args)
  assert.equal(await lengthOf(redis, 'cache:1'), 10)
  assert.equal(total.archived, 490)
  assert.deepEqual(await archivedEntries(store, 'cache:1'), [])
})

test('an idle stream is archived whole before it is unlinked', async (t) => {
  const { redis, store, archive } = await startScene(t)
  const nowMs = await redisNow(redis)
  await fillStream(redis, KEY, { count: 5000, from: nowMs - 100 * HOUR, stepMs: 1000, bytes: 20 })
  await redis.command('XDEL', KEY, (await streamIds(redis, KEY, 1))[0] ?? '')
  await fillStream(redis, 'stream:conversation:live', { count: 50, from: nowMs - 100 * HOUR, stepMs: 1000, bytes: 20 })
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:live', 'g', '$')
  await redis.command('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'stream:conversation:live', '>')
  const args = [
    '--max-age',
    'off',
    '--max-length',
    '100000',
    '--delete-idle',
    '48h',
    '--archive-segment',
    '4kb',
    ...archive,
  ]
  const planned = await planWell(redis.url, args)
  const total = await sweepWhole(redis.url, args)
  assert.deepEqual([total.deletedFor.idle, await redis.command('EXISTS', KEY)], [1, 0])
  assert.equal((await archivedEntries(store, KEY)).length, 4999)
  assert.equal(planned.archive, 4999)
  // A living group keeps the other stream: it is neither unlinked nor archived.
  assert.equal(await lengthOf(redis, 'stream:conversation:live'), 50)
  assert.deepEqual(await archivedEntries(store, 'stream:conversation:live'), [])
})

test('what producers add between archiving and trimming stays, even beyond a hard limit', async (t) => {
  const { redis, store, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 1000)
  const proxy = await startProxy(t, redis.port)
  // The first trim.
  proxy.hold('XTRIM')
  const args = ['--max-age', 'off', '--max-length', '100', '--hard-max-length', '100', '--trim', 'exact', ...archive]
  const sweeping = sweepWhole(proxy.url, args)
  await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'the first trim' })
  const from = (await redisNow(redis)) + 1
  await fillStream(redis, KEY, { count: 500, from, stepMs: 0, bytes: 20 })
  await proxy.heal()
  const total = await sweeping
  assert.deepEqual([total.archived, total.removed.length, total.unarchived], [900, 900, 0])
  assert.equal(await lengthOf(redis, KEY), 600)
  assert.equal((await archivedEntries(store, KEY)).length, 900)
})

test('while the archive fails nothing goes but what hard limits demand, which is counted', async (t) => {
  const { redis, folder, store, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 1000)
  writeFileSync(join(folder, 'v1'), 'a file where the folder should be')
  const soft = ['--max-age', 'off', '--max-length', '100', '--trim', 'exact', ...archive]
  const failed = await sweepOnce(redis.url, soft)
  assert.equal(failed.code, 1)
  const { result, cause, reason = '' } = failed.report as typeof failed.report & { reason?: string }
  assert.deepEqual([result, cause], ['failed', 'archive'])
  assert.match(reason, /could not store .*v1\/policy=.* \((?:ENOTDIR|EEXIST)\)/)
  assert.deepEqual([failed.report.archived, failed.report.overLimit.length], [0, 1])
  assert.equal(await lengthOf(redis, KEY), 1000)

  const hard = await sweepHere(redis.url, [...soft, '--hard-max-length', '700'])
  assertToldAs('the archive fails, and a hard limit demands removals all the same', hard)
  assert.deepEqual([hard.total.removed.length, hard.total.unarchived], [300, 300])
  assert.equal(await lengthOf(redis, KEY), 700)

  rmSync(join(folder, 'v1'))
  const total = await sweepWhole(redis.url, soft)
  assert.deepEqual([total.archived, total.unarchived, await lengthOf(redis, KEY)], [600, 0, 100])
  assert.equal((await archivedEntries(store, KEY)).length, 600)
})

test('an archive that fails half-way costs what was not stored yet, and nothing else', async (t) => {
  const { redis, folder, archive } = await startScene(t)
  const book = new EntryBook(await connectBytes(t, redis))
  const random = new Random(4)
  for (let i = 1; i <= 3000; i++) await book.add(KEY, `${i}-0`, random)
  const proxy = await startProxy(t, redis.port)
  proxy.delay(3)
  const sweeping = sweepHere(proxy.url, [
    '--max-age',
    'off',
    '--max-length',
    '10',
    '--archive-segment',
    '4kb',
    ...archive,
  ])
  const store = new FileStore(folder)
  await waitUntil(async () => (await Array.fromAsync(store.list('v1'))).length >= 2, {
    timeoutMs: 60_000,
    what: 'two segments',
  })
  const { rename } = await import('node:fs/promises')
  await rename(join(folder, 'v1'), join(folder, 'kept'))
  writeFileSync(join(folder, 'v1'), 'a file where the folder should be')
  const { result, cause, total } = await sweeping
  assert.deepEqual([result, cause], ['partial', 'archive'])
  assert.ok(total.archived > 0 && total.archived < 2990)
  rmSync(join(folder, 'v1'))
  await rename(join(folder, 'kept'), join(folder, 'v1'))
  assert.ok((await book.check(store)) > 0)
})

test('a cluster archives each primary on its own, and loses nothing', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const cluster = await startCluster(t)
  const keys = Array.from({ length: 12 }, (_, i) => `stream:conversation:${i}`)
  const random = new Random(9)
  const books = await Promise.all(cluster.primaries.map(async (node) => new EntryBook(await connectBytes(t, node))))
  for (const key of keys) {
    const book = books[await cluster.homeOf(key)] as EntryBook
    for (let i = 1; i <= 200; i++) await book.add(key, `${i}-0`, random)
  }
  const args = [
    '--redis-mode',
    'cluster',
    '--max-age',
    'off',
    '--max-length',
    '10',
    '--trim',
    'exact',
    '--archive',
    `file://${folder}`,
  ]
  const total = await sweepWhole(cluster.urls, args)
  assert.equal(total.archived, 12 * 190)
  for (const book of books) await book.check(new FileStore(folder))
})

test('an S3 bucket keeps what a sweep removes; a store that fails costs the sweep, and the next one tries again', async (t) => {
  const redis = await startRedis(t)
  const s3 = await startS3(t)
  await fillMinutes(redis, KEY, 1000)
  const limits = ['--max-age', 'off', '--max-length', '100', '--trim', 'exact']
  const at = (bucket: string, endpoint = s3.endpoint): string[] => [
    ...limits,
    '--archive',
    `s3://${bucket}/chat`,
    '--archive-s3-endpoint',
    endpoint,
  ]
  const env = { ...S3_CREDENTIALS, AWS_REGION: 'eu-west-1' }
  for (const [fault, bucket, told, changes = {}] of [
    ['busy', s3.bucket, /SlowDown, HTTP 503/],
    ['cut', s3.bucket, /ECONNRESET|EPIPE|socket hang up/],
    ['flip', s3.bucket, /acknowledged other content/],
    ['none', 'another', /NoSuchBucket/],
    ['none', s3.bucket, /ECONNREFUSED/, { endpoint: 'http://127.0.0.1:1' }],
    ['none', s3.bucket, /InvalidAccessKeyId, HTTP 403/, { AWS_ACCESS_KEY_ID: 'somebody else' }],
  ] as const) {
    s3.behave(fault)
    const { endpoint, ...other } = { endpoint: s3.endpoint, ...changes }
    const how = { env: { ...env, ...other }, timeoutMs: 120_000 }
    const { code, report, stdout, stderr } = await sweepOnce(redis.url, at(bucket, endpoint), how)
    assert.equal(code, 1, fault)
    assertToldAs('the archive is unreachable, full, too slow, denies access, or breaks off in the middle', report)
    assert.match((report as { reason?: string }).reason ?? '', told)
    assert.doesNotMatch(stdout + stderr, /S3RVER/)
    assert.equal(await lengthOf(redis, KEY), 1000)
  }
  s3.behave('busy once')
  const { code, report } = await sweepOnce(redis.url, at(s3.bucket), { env })
  assert.deepEqual([code, report.archived, await lengthOf(redis, KEY)], [0, 900, 100])
})

test('a dry run archives nothing', async (t) => {
  const { redis, store, archive } = await startScene(t)
  await fillMinutes(redis, KEY, 1000)
  await sweepWhole(redis.url, ['--max-length', '10', '--dry-run', ...archive])
  assert.deepEqual(await Array.fromAsync(store.list('v1')), [])
  assert.equal(await lengthOf(redis, KEY), 1000)
})

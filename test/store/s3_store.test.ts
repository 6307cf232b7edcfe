/** Segments in a bucket: a real S3 server, and what goes wrong with one. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { S3Store } from '../../src/store/s3_store.ts'
import { ArchiveFault } from '../../src/store/store.ts'
import { S3_CREDENTIALS, type S3Server, startS3 } from '../harness/s3_server.ts'

const NAME = 'v1/policy=a%3A%2A/date=2026-11-28/x.ndjson.zst'
/** Where the store answers, a busy machine may take long; where it does not, the test waits for nothing else. */
const LONG = { connectMs: 5000, attemptMs: 20_000, totalMs: 60_000 }
const SHORT = { connectMs: 1000, attemptMs: 300, totalMs: 2000 }

const CONTENT = Buffer.from('an entry\n'.repeat(100_000))

function openBucket(
  t: TestContext,
  { endpoint, bucket }: Pick<S3Server, 'endpoint' | 'bucket'>,
  deadlines = LONG,
): S3Store {
  const before = { ...process.env }
  Object.assign(process.env, S3_CREDENTIALS)
  const store = new S3Store({ kind: 's3', bucket, prefix: 'chat/old' }, { endpoint, region: null }, deadlines)
  t.after(() => {
    store.close()
    for (const name of Object.keys(S3_CREDENTIALS)) delete process.env[name]
    Object.assign(process.env, before)
  })
  return store
}

async function contentOf(store: S3Store, name: string): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of store.read(name)) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** The fault with which storing fails. */
async function failureOf(store: S3Store): Promise<ArchiveFault> {
  try {
    await store.put(NAME, [CONTENT])
  } catch (error) {
    assert.ok(error instanceof ArchiveFault, String(error))
    return error
  }
  throw new assert.AssertionError({ message: 'it was stored' })
}

test('what was stored in a bucket is listed and read back, whole or its end', async (t) => {
  const store = openBucket(t, await startS3(t))
  await store.put(NAME, [CONTENT])
  assert.deepEqual(await Array.fromAsync(store.list('v1')), [{ name: NAME, bytes: CONTENT.length }])
  assert.ok(CONTENT.equals(await contentOf(store, NAME)))
  assert.equal((await store.tail({ name: NAME, bytes: CONTENT.length }, 5)).toString(), 'ntry\n')
  assert.deepEqual(await Array.fromAsync(store.list('v2')), [])
})

test('a list is complete, however many objects there are', async (t) => {
  const store = openBucket(t, await startS3(t))
  const names = Array.from({ length: 1005 }, (_, i) => `v1/${String(i).padStart(4, '0')}`)
  for (let i = 0; i < names.length; i += 50)
    await Promise.all(names.slice(i, i + 50).map((name) => store.put(name, [Buffer.from('x')])))
  assert.deepEqual(
    (await Array.fromAsync(store.list('v1'))).map(({ name }) => name),
    names,
  )
})

test('a bucket that does not exist is missing', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, { ...server, bucket: 'another' })
  const { code, message } = await failureOf(store)
  assert.equal(code, 'missing')
  assert.match(message, /s3:\/\/another\/chat\/old\/v1\/.*NoSuchBucket.*create the bucket/)
  await assert.rejects(Array.fromAsync(store.list('v1')), { code: 'missing' })
})

test('a store that is busy is asked three times, and one that was busy once has the object', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, server)
  server.behave('busy')
  const { code, message } = await failureOf(store)
  assert.equal(code, 'busy')
  assert.match(message, /SlowDown, HTTP 503/)
  assert.equal(server.requests.PUT, 3)
  server.behave('busy once')
  await store.put(NAME, [CONTENT])
  assert.ok(CONTENT.equals(await contentOf(store, NAME)))
})

test('a store that does not answer costs the deadline and no more', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, server, SHORT)
  server.behave('silent')
  const start = performance.now()
  assert.equal((await failureOf(store)).code, 'timeout')
  assert.ok(performance.now() - start < 10_000)
  await assert.rejects(Array.fromAsync(store.list('v1')), { code: 'timeout' })
  await assert.rejects(contentOf(store, NAME), { code: 'timeout' })
})

test('a stop ends a request that nobody answers', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, server, SHORT)
  server.behave('silent')
  await assert.rejects(store.put(NAME, [CONTENT], AbortSignal.timeout(50)), { code: 'timeout' })
  assert.equal(server.requests.PUT, 1)
})

test('a connection cut in the middle of a PUT is a fault, and the next attempt stores the object', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, server)
  server.behave('cut')
  assert.equal((await failureOf(store)).code, 'connect')
  server.behave('none')
  await store.put(NAME, [CONTENT])
  assert.ok(CONTENT.equals(await contentOf(store, NAME)))
})

test('content that changed on its way is not taken for stored', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, server)
  server.behave('flip')
  const { code, message } = await failureOf(store)
  assert.equal(code, 'checksum')
  assert.match(message, /acknowledged other content than was sent/)
})

test('nothing listens: the fault says so', async (t) => {
  const store = openBucket(t, { endpoint: 'http://127.0.0.1:1', bucket: 'archive' })
  const { code, message } = await failureOf(store)
  assert.equal(code, 'connect')
  assert.match(message, /ECONNREFUSED/)
})

test('credentials are in no message, and a fault has no cause that could hold them', async (t) => {
  const server = await startS3(t)
  const store = openBucket(t, server)
  process.env.AWS_ACCESS_KEY_ID = 'AKIAUNKNOWNUNKNOWN'
  const fault = await failureOf(store)
  assert.equal(fault.code, 'denied')
  assert.equal(fault.cause, undefined)
  assert.doesNotMatch(`${fault.stack} ${JSON.stringify(fault)}`, /AKIAUNKNOWN|S3RVER/)
})

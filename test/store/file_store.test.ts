/** Segments in a folder: durable and whole, or not there. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { FileStore } from '../../src/store/file_store.ts'
import { temporaryFolder } from '../harness/files.ts'

const NAME = 'v1/policy=chat/date=2026-11-28/x.ndjson.zst'
const CONTENT = Buffer.from('an entry\n'.repeat(100_000))

test('what was stored in a folder is listed and read back, whole or its end', async (t) => {
  const folder = join(temporaryFolder(t, 'archive'), 'not', 'there yet')
  const store = new FileStore(folder)
  await store.put(NAME, [CONTENT])
  await store.put('v1/policy=chat/date=2026-11-27/y.ndjson.zst', [Buffer.from('y')])
  assert.ok(readFileSync(join(folder, NAME)).equals(CONTENT))
  assert.deepEqual(await Array.fromAsync(store.list('v1')), [
    { name: 'v1/policy=chat/date=2026-11-27/y.ndjson.zst', bytes: 1 },
    { name: NAME, bytes: CONTENT.length },
  ])
  assert.ok(Buffer.concat(await Array.fromAsync(store.read(NAME))).equals(CONTENT))
  assert.equal((await store.tail({ name: NAME, bytes: CONTENT.length }, 5)).toString(), 'ntry\n')
  assert.equal((await store.tail({ name: 'v1/policy=chat/date=2026-11-27/y.ndjson.zst', bytes: 1 }, 5)).toString(), 'y')
})

test('nothing was stored yet: the list is empty, and without its folder the archive is missing', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  assert.deepEqual(await Array.fromAsync(new FileStore(folder).list('v1')), [])
  await assert.rejects(Array.fromAsync(new FileStore(join(folder, 'no')).list('v1')), { code: 'missing' })
})

test('what a crash left unfinished is not listed, and is removed an hour later', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  mkdirSync(join(folder, '.unfinished'))
  for (const name of ['old', 'new']) writeFileSync(join(folder, '.unfinished', name), 'half')
  const twoHoursAgo = Date.now() / 1000 - 7200
  utimesSync(join(folder, '.unfinished', 'old'), twoHoursAgo, twoHoursAgo)
  const store = new FileStore(folder)
  await store.put(NAME, [CONTENT])
  assert.deepEqual(readdirSync(join(folder, '.unfinished')), ['new'])
  assert.equal((await Array.fromAsync(store.list('v1'))).length, 1)
})

/** A file system of its own: only root may mount one. */
function mounted(t: TestContext, options: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-mounted-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    rmdirSync(folder)
    t.skip('only root may mount a file system')
    return null
  }
  t.after(() => {
    execFileSync('umount', [folder])
    rmdirSync(folder)
  })
  return folder
}

test('a full disk stores nothing and leaves nothing behind', async (t) => {
  const folder = mounted(t, 'size=512k')
  if (folder === null) return
  const store = new FileStore(folder)
  await assert.rejects(store.put(NAME, [CONTENT]), {
    code: 'full',
    message: /could not store .*x\.ndjson\.zst \(ENOSPC\)/,
  })
  assert.deepEqual(await Array.fromAsync(store.list('v1')), [])
  assert.deepEqual(readdirSync(join(folder, '.unfinished')), [])
  // The control: what fits is stored.
  await store.put(NAME, [CONTENT.subarray(0, 100_000)])
  assert.equal((await Array.fromAsync(store.list('v1'))).length, 1)
})

test('a read-only file system is denied', async (t) => {
  const folder = mounted(t, 'ro')
  if (folder === null) return
  await assert.rejects(new FileStore(folder).put(NAME, [CONTENT]), { code: 'denied', message: /EROFS/ })
})

test('a folder that may not be written to is denied', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  chmodSync(folder, 0o555)
  const script = `
    import { FileStore } from '${new URL('../../src/store/file_store.ts', import.meta.url).href}'
    process.seteuid?.(65534)
    await new FileStore(process.argv[1]).put('v1/x', [Buffer.from('x')]).catch((error) => console.log(error.code, error.message))`
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script, folder], { encoding: 'utf8' })
  assert.match(told, /^denied could not store .*\(EACCES\)/)
})

test('a file where the folder should be is told as missing', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  writeFileSync(join(folder, 'v1'), 'a file')
  await assert.rejects(new FileStore(folder).put(NAME, [CONTENT]), /ENOTDIR|EEXIST/)
})

test('a folder that was removed is made again', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const store = new FileStore(folder)
  await store.put(NAME, [CONTENT])
  rmSync(folder, { recursive: true })
  await store.put(NAME, [CONTENT])
  assert.ok(existsSync(join(folder, NAME)))
})

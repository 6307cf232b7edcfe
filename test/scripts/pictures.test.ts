/** Takes the pictures of README and docs as `scripts/pictures` does, but faster and into another folder. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { temporaryFolder } from '../harness/files.ts'

const DOCS = fileURLToPath(new URL('../../docs', import.meta.url))
const PICTURES = fileURLToPath(new URL('../../scripts/pictures.ts', import.meta.url))

/** The size in pixels, from a PNG's header. */
const sizeOf = (png: Buffer): { width: number; height: number } => ({
  width: png.readUInt32BE(16),
  height: png.readUInt32BE(20),
})

test('scripts/pictures takes every picture again without errors, at about the size of the one in docs', async (t) => {
  const folder = temporaryFolder(t, 'pictures')
  const { stderr } = await promisify(execFile)(process.execPath, [PICTURES, '--seconds', '8', '--out', folder], {
    env: withoutOurs(),
    timeout: 120_000,
  })
  assert.match(stderr, /^pictures: sweeping for 8 s$/m)
  assert.doesNotMatch(stderr, /"level":"(?:error|fatal)"/)
  // In between it revokes a right, so that the pictures show failures too.
  assert.match(stderr, /"result":"partial"/)
  const names = await readdir(folder)
  assert.deepEqual(names.sort(), (await readdir(DOCS)).filter((name) => name.endsWith('.png')).sort())
  for (const name of names) {
    const [taken, kept] = await Promise.all(
      [folder, DOCS].map(async (where) => sizeOf(await readFile(join(where, name)))),
    )
    assert.equal(taken?.width, kept?.width, name)
    // A page with fewer sweeps and streams may be a little shorter.
    const share = (taken?.height ?? 0) / (kept?.height ?? 1)
    assert.ok(share > 0.8 && share < 1.2, `${name}: ${share} of the height`)
  }
})

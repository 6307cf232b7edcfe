/** Temporary folders, and files that a test replaces while the program runs. */

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

/** The folder of the project. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Creates a folder that is removed when the test ends. `name` is part of its path. */
export function temporaryFolder(t: TestContext, name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `xtrimd-${name}-`))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Replaces a file atomically, as Kubernetes does, so that nobody reads half of it. */
export function replaceFile(path: string, content: string | Buffer): void {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

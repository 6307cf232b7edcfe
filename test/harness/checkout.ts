/** Clean copies of the project, for tests of what it does in another folder. */

import { execFileSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { ROOT, temporaryFolder } from './files.ts'

/** Where the project lives on GitHub, as OWNER/NAME: what `package.json` says. */
export function repository(): string {
  return execFileSync(join(ROOT, 'scripts/repository'), { encoding: 'utf8' }).trim()
}

/**
 * A clone of the project as it is now, uncommitted changes included, with nothing that git ignores. It shares the npm packages,
 * because installing them takes a minute.
 */
export function cleanCheckout(t: TestContext): string {
  const folder = temporaryFolder(t, 'checkout')
  const shell = (script: string): Buffer => execFileSync('bash', ['-euo', 'pipefail', '-c', script, '-', folder])
  const git = `git -C "$1" -c user.name=test -c user.email=test@example.com`
  shell(`cd ${ROOT} && git ls-files -z -co --exclude-standard | xargs -0 ls -d 2>/dev/null |
    tar -c -T - | tar -x -C "$1"`)
  shell(`git init -q "$1" && ${git} add -A && ${git} commit -qm 'As it is now'`)
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

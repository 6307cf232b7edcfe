/** The program as it is in the image. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { atExit } from '../scripts/stage/undo.ts'
import type { DaemonOptions } from './daemon.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** The Node options of the image. Read from the Dockerfile's entry point, so that both are always the same. */
export async function imageFlags(): Promise<string[]> {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8')
  const entry = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(dockerfile)?.[1] ?? '[]') as string[]
  return entry.slice(1, -1)
}

/** The environment of the image. */
export async function imageVariables(): Promise<Record<string, string>> {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8')
  const [, line = ''] = /^ENV (.*)$/m.exec(dockerfile) ?? []
  return Object.fromEntries(line.split(' ').map((pair) => pair.split('=') as [string, string]))
}

/** Bundles the program into a temporary folder. @returns how the image runs it */
export async function bundle(): Promise<Omit<DaemonOptions, 'flags'>> {
  const folder = temporaryFolder()
  await promisify(execFile)(join(ROOT, 'scripts/bundle'), [folder])
  return { main: join(folder, 'app/main.js'), nodeFlags: await imageFlags(), variables: await imageVariables() }
}

/** An empty folder, removed at the end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-bench-'))
  atExit(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

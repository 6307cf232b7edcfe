/** Prints the licence of every package that runs with the program, in the order of their names: what goes with a bundle of them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface LockedPackage {
  readonly version?: string
  readonly license?: string
  readonly dev?: boolean
}

const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, LockedPackage>
}
for (const [path, { dev, version, license }] of Object.entries(packages)) {
  if (path === '' || dev) continue
  const file = readdirSync(join(ROOT, path)).find((name) => /^licen[cs]e/i.test(name))
  const text =
    file === undefined
      ? `(${license}; the package carries no text of it)`
      : readFileSync(join(ROOT, path, file), 'utf8').trim()
  process.stdout.write(
    `${path.replace(/^.*node_modules\//, '')} ${version}, ${license}\n\n${text}\n\n${'-'.repeat(80)}\n\n`,
  )
}

/** Prints the licence of every runtime package, sorted by name, to ship with a bundle of them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

interface LockedPackage {
  readonly version?: string
  readonly license?: string
  readonly dev?: boolean
}

/** Copyright lines of MIT packages that ship no licence text, taken from the LICENSE file in their repositories. */
const HOLDERS: Readonly<Record<string, string>> = {
  '@redis/client': 'Copyright (c) 2022-2025, Redis, inc.',
}

/** Packages that ship no licence text, and another one of the same repository that ships it. */
const SAME_AS: Readonly<Record<string, string>> = {
  '@aws-sdk/credential-provider-http': '@aws-sdk/client-s3',
  '@aws-sdk/credential-provider-login': '@aws-sdk/client-s3',
  '@aws-sdk/nested-clients': '@aws-sdk/client-s3',
}

/** The copyright line of the package, then the MIT terms from our own LICENSE. @throws if HOLDERS does not list the package */
function mitOf(name: string): string {
  const holder = HOLDERS[name]
  if (holder === undefined) throw new Error(`${name} ships no licence text: add its copyright line to HOLDERS`)
  const [, terms = ''] =
    /^(Permission is hereby granted[\s\S]*)$/m.exec(readFileSync(join(ROOT, 'LICENSE'), 'utf8')) ?? []
  return `MIT License\n\n${holder}\n\n${terms.trim()}`
}

const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, LockedPackage>
}
for (const [path, { dev, version, license }] of Object.entries(packages)) {
  if (path === '' || dev) continue
  const name = path.replace(/^.*node_modules\//, '')
  const folder = join(ROOT, Object.hasOwn(SAME_AS, name) ? `node_modules/${SAME_AS[name]}` : path)
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file === undefined ? mitOf(name) : readFileSync(join(folder, file), 'utf8').trim()
  process.stdout.write(`${name} ${version}, ${license}\n\n${text}\n\n${'-'.repeat(80)}\n\n`)
}

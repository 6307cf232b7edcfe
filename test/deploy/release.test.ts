/** What scripts/release, scripts/image and scripts/set_repository make. */

import assert from 'node:assert/strict'
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { type TestContext, test } from 'node:test'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { cleanCheckout, repository } from '../harness/checkout.ts'
import { readPage } from '../harness/documents.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { render } from '../harness/manifests.ts'

const { version } = JSON.parse(readPage('package.json')) as { version: string }

/** Runs a script of the project. `first` are folders to search for programs first. */
function run(folder: string, words: readonly string[], ...first: string[]): SpawnSyncReturns<string> {
  const [program = '', ...args] = words
  const path = [...first, dirname(process.execPath), process.env.PATH].join(':')
  return spawnSync(program, args, { cwd: folder, encoding: 'utf8', env: { ...withoutOurs(), PATH: path } })
}

test('scripts/release makes package, manifests, bill of materials and notes from a clean clone', (t) => {
  const folder = cleanCheckout(t)
  const { status, stderr } = run(folder, ['scripts/release', `v${version}`])
  assert.equal(status, 0, stderr)
  const release = join(folder, 'release')
  assert.deepEqual(readdirSync(release).toSorted(), [
    'NOTES.md',
    `xtrimd-${version}-k8s.tar.gz`,
    `xtrimd-${version}.cdx.json`,
    `xtrimd-${version}.tgz`,
  ])

  const notes = readFileSync(join(release, 'NOTES.md'), 'utf8')
  assert.match(notes, /^### Added\n/)
  assert.ok(readPage('CHANGELOG.md').includes(`## [${version}] - `))
  assert.ok(readPage('CHANGELOG.md').includes(notes.trim()))
  assert.doesNotMatch(notes, /^## /m, 'nothing of another version')

  const bill = JSON.parse(readFileSync(join(release, `xtrimd-${version}.cdx.json`), 'utf8'))
  assert.equal(bill.bomFormat, 'CycloneDX')
  assert.ok(bill.components.some(({ name }: { name: string }) => name === '@redis/client'))

  // Two runs from the same files give the same archive.
  const archive = readFileSync(join(release, `xtrimd-${version}-k8s.tar.gz`))
  assert.equal(run(folder, ['scripts/release']).status, 0)
  assert.ok(archive.equals(readFileSync(join(release, `xtrimd-${version}-k8s.tar.gz`))))

  assert.equal(run(release, ['tar', '-xzf', `xtrimd-${version}-k8s.tar.gz`]).status, 0)
  for (const kind of ['standalone', 'cronjob', 'example']) {
    const images = JSON.stringify(render(relative(join(ROOT, 'k8s'), join(release, 'k8s', kind))))
    assert.ok(images.includes(`"image":"ghcr.io/${repository().toLowerCase()}:${version}"`), kind)
    assert.ok(!images.includes('"image":"xtrimd:'), kind)
  }
  assert.equal(run(folder, ['git', 'status', '--porcelain']).stdout, '?? node_modules\n', 'the clone stays clean')
})

test('scripts/release refuses the tag of another version, and a version without notes', (t) => {
  const folder = cleanCheckout(t)
  const other = run(folder, ['scripts/release', 'v9.9.9'])
  assert.equal(other.status, 1)
  assert.match(other.stderr, new RegExp(`the tag is v9.9.9, but package.json has version ${version}`))
  const changelog = join(folder, 'CHANGELOG.md')
  writeFileSync(changelog, readFileSync(changelog, 'utf8').replace(`## [${version}]`, '## [0.0.1]'))
  const silent = run(folder, ['scripts/release'])
  assert.equal(silent.status, 1)
  assert.match(silent.stderr, /CHANGELOG.md has nothing about version/)
})

/** A folder with a `docker` that writes down its arguments, one a line: no Docker runs here. */
function recordingDocker(t: TestContext): { bin: string; words(): string[] } {
  const bin = temporaryFolder(t, 'docker')
  const log = join(bin, 'log')
  writeFileSync(join(bin, 'docker'), `#!/bin/sh\nprintf '%s\\n' "$@" >${log}\n`)
  chmodSync(join(bin, 'docker'), 0o755)
  return { bin, words: () => readFileSync(log, 'utf8').trimEnd().split('\n') }
}

test('scripts/image builds for this machine, or pushes for two with a bill of materials and provenance', (t) => {
  const docker = recordingDocker(t)
  const revision = run(ROOT, ['git', 'rev-parse', 'HEAD']).stdout.trim()
  const from = [
    ...['--build-arg', `VERSION=${version}`],
    ...['--build-arg', `SOURCE=https://github.com/${repository()}`],
    ...['--build-arg', `REVISION=${revision}`],
  ]
  assert.equal(run(ROOT, ['scripts/image'], docker.bin).status, 0)
  assert.deepEqual(docker.words(), ['buildx', 'build', '--load', ...from, '--tag', `xtrimd:${version}`, '.'])

  assert.equal(run(ROOT, ['scripts/image', '--push', 'ghcr.io/Some-One/xtrimd'], docker.bin).status, 0)
  assert.deepEqual(docker.words(), [
    ...['buildx', 'build', '--push', '--platform', 'linux/amd64,linux/arm64', '--sbom=true', '--provenance=mode=max'],
    ...[...from, '--tag', `ghcr.io/some-one/xtrimd:${version}`, '.'],
  ])

  // Every build argument is one that the Dockerfile declares.
  for (const argument of from.filter((word) => word !== '--build-arg')) {
    assert.match(readPage('Dockerfile'), new RegExp(`^ARG ${argument.split('=')[0]}=`, 'm'))
  }
  const wrong = run(ROOT, ['scripts/image', 'push'], docker.bin)
  assert.equal(wrong.status, 1)
  assert.match(wrong.stderr, /unknown argument 'push'/)
})

test('scripts/set_repository sets the place of the repository everywhere, and can do so again', (t) => {
  const folder = cleanCheckout(t)
  const before = repository()
  const named = (place: string): string[] =>
    run(folder, ['git', 'grep', '-lF', place])
      .stdout.split('\n')
      .filter((path) => path !== '')
  const files = named(before)
  assert.ok(files.includes('k8s/monitoring/alerts.yaml') && files.includes('package.json'))
  const [owner = ''] = before.split('/')
  assert.deepEqual(named(owner), files, 'the owner is named nowhere else')

  for (const name of ['streams.trimmer', 'xtrimd']) {
    const place = `acme-${name.length}/${name}`
    const { status, stderr } = run(folder, ['scripts/set_repository', place])
    assert.equal(status, 0, stderr)
    assert.deepEqual(named(place), files)
    assert.deepEqual(named(owner), [])
    assert.equal(run(folder, ['scripts/repository']).stdout, `${place}\n`)
  }
  // The rules for the operator are still those that the script makes from the alerts.
  const made = run(folder, [process.execPath, 'scripts/prometheus_rule.ts']).stdout
  assert.equal(made, readFileSync(join(folder, 'k8s/monitoring/prometheus_rule.yaml'), 'utf8'))
})

test('scripts/set_repository refuses what is not OWNER/NAME, and the place where the project already is', (t) => {
  const folder = cleanCheckout(t)
  for (const wrong of ['', 'acme', 'https://github.com/acme/x', 'a b/c', 'acme/x|y', repository()]) {
    const { status, stderr } = run(folder, ['scripts/set_repository', wrong])
    assert.equal(status, 1, wrong)
    assert.match(stderr, /^set_repository: (?:usage: |it is )/)
  }
  assert.equal(run(folder, ['git', 'diff', '--stat']).stdout, '')
})

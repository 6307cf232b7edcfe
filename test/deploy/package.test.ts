/** What is released: the package contains exactly what it should, and works in an empty folder. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { cleanCheckout, repository } from '../harness/checkout.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const OWN_NODE = dirname(process.execPath)
/** Packages that were downloaded before are taken from npm's cache. */
const QUIETLY = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']

const PACKAGE = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string
  dependencies: Record<string, string>
  repository: { url: string }
  bugs: { url: string }
}

/** Runs a program with a Node, else this one, first in its PATH. @throws with its output unless it exits with 0 */
async function run(folder: string, program: string, args: readonly string[], node = OWN_NODE): Promise<string> {
  const env = { ...withoutOurs(), PATH: `${node}:${process.env.PATH}` }
  const { stdout } = await promisify(execFile)(program, args, {
    cwd: folder,
    env,
    timeout: 300_000,
    maxBuffer: 2 ** 26,
  })
  return stdout
}

/** The folder with the program of another version of Node, from npm's package `node`. */
async function otherNode(t: TestContext, version: string): Promise<string> {
  const folder = temporaryFolder(t, 'node')
  await writeFile(join(folder, 'package.json'), '{ "private": true, "allowScripts": { "node": true } }')
  await run(folder, 'npm', ['install', ...QUIETLY, `node@${version}`])
  const bin = join(folder, 'node_modules/node/bin')
  assert.equal(await run(folder, join(bin, 'node'), ['--version']), `v${version}\n`)
  return bin
}

interface Packed {
  readonly filename: string
  readonly files: readonly { readonly path: string; readonly mode: number }[]
}

/** Packs a clean clone. @returns the path of the package, and what is in it */
async function pack(t: TestContext): Promise<{ path: string; files: Packed['files'] }> {
  const clone = cleanCheckout(t)
  const [{ filename, files }] = JSON.parse(await run(clone, 'npm', ['pack', '--json'])) as [Packed]
  return { path: join(clone, filename), files }
}

/** Installs the package into an empty folder with the npm of that Node. */
async function install(t: TestContext, packed: string, node: string): Promise<string> {
  const folder = temporaryFolder(t, 'installed')
  await writeFile(join(folder, 'package.json'), '{ "private": true }')
  await run(folder, 'npm', ['install', ...QUIETLY, packed], node)
  return folder
}

test('the package of a clean clone, installed into an empty folder', async (t) => {
  const packed = await pack(t)

  await t.test('contains the program and its documents, and nothing else', async () => {
    const sources = await readdir(new URL('../../src', import.meta.url), { recursive: true })
    const schemas = await readdir(new URL('../../schema', import.meta.url))
    const expected = [
      ...['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', ...schemas.map((name) => `schema/${name}`)],
      ...sources.filter((path) => path.endsWith('.ts')).map((path) => `dist/${path.replace(/ts$/, 'js')}`),
    ]
    assert.deepEqual(packed.files.map(({ path }) => path).sort(), expected.sort())
  })

  for (const version of ['22.18.0', 'this']) {
    const name = version === 'this' ? process.version : `v${version}`
    await t.test(`sweeps by npx on Node ${name}`, async (t) => {
      const node = version === 'this' ? OWN_NODE : await otherNode(t, version)
      const folder = await install(t, packed.path, node)
      const installed = await readdir(join(folder, 'node_modules'))
      for (const unwanted of ['typescript', '@biomejs', 'kubernetes-models', 'node']) {
        assert.ok(!installed.includes(unwanted), unwanted)
      }
      const xtrimd = (...args: string[]): Promise<string> => run(folder, 'npx', ['--offline', 'xtrimd', ...args], node)
      assert.equal(await xtrimd('--version'), `${PACKAGE.version}\n`)
      const redis = await startRedis(t)
      const key = 'stream:conversation:a'
      await fillStream(redis, key, { count: 3_000, from: (await redisNow(redis)) - 3_600_000, stepMs: 1, bytes: 10 })
      assert.match(await xtrimd('sweep', '--redis-url', redis.url), /^success in /)
      assert.equal(await redis.command('XLEN', key), 1_000)
    })
  }

  await t.test('says in one sentence which Node it needs, on Node 20', async (t) => {
    const node = await otherNode(t, '20.20.2')
    const folder = await install(t, packed.path, node)
    await assert.rejects(run(folder, 'npx', ['--offline', 'xtrimd', 'sweep'], node), {
      code: 2,
      stdout: '',
      stderr: 'xtrimd: needs Node.js 22.18 or newer, but this is Node.js 20.20.2\n',
    })
  })
})

test('the version is the same everywhere', async (t) => {
  const redis = await startRedis(t)
  const daemon = await startDaemon(t, ['--redis-url', redis.url])
  assert.equal((await daemon.waitForLog('starting')).version, PACKAGE.version)
  assert.equal(await daemon.metric('xtrimd_build_info', { version: PACKAGE.version }), 1)
  assert.match(
    await (await daemon.get('/')).text(),
    new RegExp(`<small>${PACKAGE.version.replaceAll('.', '\\.')}</small>`),
  )
})

test('the bundle comes with the licence text of every package in it', async (t) => {
  const folder = temporaryFolder(t, 'package')
  const meta = join(folder, 'meta.json')
  const how = ['--bundle', '--platform=node', '--format=esm', '--splitting', '--log-level=error', `--metafile=${meta}`]
  await run(ROOT, join(ROOT, 'node_modules/.bin/esbuild'), ['src/main.ts', ...how, `--outdir=${folder}`])
  const { inputs } = JSON.parse(await readFile(meta, 'utf8')) as { inputs: Record<string, unknown> }
  const paths = Object.keys(inputs).flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [])
  const bundled = new Set(paths)
  assert.ok(bundled.size > 20)
  const told = (await run(ROOT, process.execPath, ['scripts/licences.ts'])).split(`\n${'-'.repeat(80)}\n`)
  for (const path of bundled) {
    const { name, version, license } = JSON.parse(await readFile(join(ROOT, path, 'package.json'), 'utf8')) as {
      name: string
      version: string
      license: string
    }
    const known = path.replace(/^.*node_modules\//, '')
    const text = told.find((one) => one.trimStart().startsWith(`${known} ${version}, ${license}\n`)) ?? ''
    assert.match(text, /copyright|permission/i, `${name} ${version}`)
  }
})

test('the package says where its source is and where to report bugs', async () => {
  assert.equal(PACKAGE.repository.url, `git+https://github.com/${repository()}.git`)
  assert.equal(PACKAGE.bugs.url, `https://github.com/${repository()}/issues`)
})

test('npm produces a bill of materials that names the dependencies', async () => {
  const bill = JSON.parse(
    await run(ROOT, 'npm', ['sbom', '--package-lock-only', '--sbom-format', 'cyclonedx', '--omit', 'dev']),
  ) as {
    components: { name: string; version: string }[]
  }
  const named = bill.components.map(({ name }) => name)
  for (const [name, version] of Object.entries(PACKAGE.dependencies)) {
    const real = /^npm:(.*)@/.exec(version)?.[1] ?? name
    assert.ok(named.includes(real) || named.includes(name), name)
  }
  assert.ok(!named.includes('typescript'))
})

test('the changelog is in the form of Keep a Changelog', async () => {
  const text = await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8')
  const releases = [...text.matchAll(/^## (.*)$/gm)].map(([, heading = '']) => heading)
  assert.equal(releases[0], '[Unreleased]')
  for (const heading of releases.slice(1)) assert.match(heading, /^\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d$/)
  for (const [, heading = ''] of text.matchAll(/^### (.*)$/gm)) {
    assert.ok(['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'].includes(heading), heading)
  }
})

/** What happens when a Node that is too old runs the package. */

import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { withoutOurs } from '../../scripts/stage/environment.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const { engines, version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  engines: { node: string }
  version: string
}
const NEEDED = engines.node.replace(/^>=/, '')

/** Builds the program as npm packs it, once; its packages are linked. */
function build(folder: string): string {
  execFileSync(process.execPath, [
    join(ROOT, 'node_modules/typescript/bin/tsc'),
    ...['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', join(folder, 'dist')],
  ])
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'dist/main.js')
}

const FOLDER = mkdtempSync(join(tmpdir(), 'xtrimd-old-node-'))
after(() => rmSync(FOLDER, { recursive: true, force: true }))
const MAIN = build(FOLDER)

function run(node: string, args: readonly string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(node, args, { env: withoutOurs(), timeout: 60_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr })
    })
  })
}

/** Makes Node say that it is another version. */
function pretend(found: string): string {
  const code = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${found}' } })`
  return `--import=data:text/javascript,${encodeURIComponent(code)}`
}

function refusal(found: string): { code: number; stdout: string; stderr: string } {
  return {
    code: 2,
    stdout: '',
    stderr: `xtrimd: needs Node.js ${NEEDED} or newer, but this is Node.js ${found}\n`,
  }
}

test('a Node that is too old is told so in one sentence before anything is loaded; a newer one runs the program', async () => {
  for (const found of ['14.21.3', '18.20.8', '20.20.2', '22.9.0', '22.17.1']) {
    for (const args of [['--version'], ['sweep'], ['--nonsense']]) {
      assert.deepEqual(await run(process.execPath, [pretend(found), MAIN, ...args]), refusal(found))
    }
  }
  for (const found of [`${NEEDED}.0`, '22.22.1', '23.0.0', '24.0.0', '26.1.0', '22.18.0-rc.1']) {
    const ran = await run(process.execPath, [pretend(found), MAIN, '--version'])
    assert.deepEqual(ran, { code: 0, stdout: `${version}\n`, stderr: '' }, found)
  }
})

/** The first older Node on the path, with its version. */
function oldNode(): readonly [string, string] | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      const node = join(folder, 'node')
      const found = execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8', stdio: 'pipe' }).trim()
      if (Number(found.split('.')[0]) < 22) return [node, found]
    } catch {
      // No Node here.
    }
  }
  return null
}

const old = oldNode()

test('the same holds for a real old Node', { skip: old === null && 'no old Node on the path' }, async () => {
  const [node, found] = old ?? ['', '']
  assert.deepEqual(await run(node, [MAIN, 'sweep']), refusal(found))
})

test('nothing is loaded before the check: the entry has no import but the one behind it', () => {
  const text = readFileSync(MAIN, 'utf8')
  const imports = [...text.replace(/\/\*[\s\S]*?\*\//g, '').matchAll(/\bimport\b.*|\bfrom\b.*/g)].map(([line]) => line)
  assert.deepEqual(imports, ["import('./program.js');"])
})

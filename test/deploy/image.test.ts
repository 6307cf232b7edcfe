/** The container image, built without a registry, and the program running from it. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort } from '../../scripts/stage/free_port.ts'
import { readPage, sectionOf } from '../harness/documents.ts'
import { temporaryFolder } from '../harness/files.ts'
import { startNameServer } from '../harness/name_server.ts'
import { childrenOf } from '../harness/processes.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const runFile = promisify(execFile)
const BUILD = fileURLToPath(new URL('build_image', import.meta.url))

interface Image {
  readonly root: string
  readonly config: {
    readonly User: string
    readonly Entrypoint: readonly string[]
    readonly Cmd: readonly string[]
    readonly Labels: Readonly<Record<string, string>>
    readonly Healthcheck?: { readonly Test: readonly string[] }
  }
}

async function build(t: TestContext): Promise<Image> {
  const folder = temporaryFolder(t, 'image')
  const { stdout } = await runFile(BUILD, [folder], { timeout: 480_000, maxBuffer: 2 ** 26 })
  const [root = ''] = stdout.split('\n')
  const told = JSON.parse(stdout.slice(root.length)) as { Docker: { config: Image['config'] } }
  return { root, config: told.Docker.config }
}

/**
 * Runs a program like a container runtime: from the image, as the image's user, on a read-only root file system, as PID 1.
 * The kernel ignores signals that PID 1 does not handle, so the program must handle SIGTERM itself.
 */
function start({ root, config }: Image, words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const mount =
    'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && user=$1 && shift && exec chroot --userspec="$user" "$0" "$@"'
  const command = ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', mount, root, config.User, ...words]
  return spawn('unshare', command, {
    env: { NODE_ENV: 'production', MALLOC_ARENA_MAX: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 120_000,
  })
}

/** Waits for the end of the program, and calls `onSwept` once after its first sweep. */
async function ended(
  child: ReturnType<typeof start>,
  onSwept?: () => Promise<void>,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', '']
  let doing: Promise<void> | undefined
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    if (stdout.includes('"msg":"sweep"')) doing ??= onSwept?.()
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  await doing
  return { code, stdout, stderr }
}

/** Sends SIGTERM to PID 1 of the container, as Kubernetes does. Its parent `unshare` would not pass the signal on. */
function askToStop({ pid }: ReturnType<typeof start>): void {
  for (const child of childrenOf(pid as number)) process.kill(child, 'SIGTERM')
}

/** The total size of files and folders of the image, in bytes. */
async function sizeOf(root: string, places: readonly string[]): Promise<number> {
  const sizes = places.map(async (place) => {
    const path = join(root, place)
    if ((await stat(path)).isFile()) return (await stat(path)).size
    const found = await readdir(path, { recursive: true, withFileTypes: true })
    const files = found.filter((entry) => entry.isFile())
    const stats = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name))))
    return stats.reduce((sum, { size }) => sum + size, 0)
  })
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

/** Asserts the sizes that docs/operations.md gives for the image and its parts. */
async function holdToPage({ root }: Image): Promise<void> {
  const section = sectionOf(readPage('docs/operations.md'), 'Image')
  const isNear = (bytes: number, told: number): boolean => Math.abs(bytes / 1e6 - told) <= Math.max(0.1 * told, 0.1)
  const all = Number(/an image of (\d+) MB/.exec(section)?.[1])
  const size = await sizeOf(root, await readdir(root))
  assert.ok(isNear(size, all), `the page says ${all} MB, but the image has ${size} bytes`)
  const rows = Array.from(section.matchAll(/^\| (`.*) \| ([\d.]+) \|$/gm), ([, what = '', told]) => ({
    places: Array.from(what.matchAll(/`([^`]+)`/g), ([, place = '']) => place),
    told: Number(told),
  }))
  for (const { places, told } of rows) {
    const bytes = await sizeOf(root, places)
    assert.ok(isNear(bytes, told), `the page says ${told} MB for ${places}, but they have ${bytes} bytes`)
  }
  const named = new Set(rows.flatMap(({ places }) => places.map((place) => place.split('/')[1])))
  assert.deepEqual([...named].sort(), (await readdir(root)).sort(), 'the page names everything in the image')
}

test('the image contains the program and no shell, runs without root on a read-only file system, and stops on SIGTERM', async (t) => {
  const image = await build(t)
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }

  assert.deepEqual(await readdir(join(image.root, 'bin')), ['node'])
  assert.match(image.config.User, /^[1-9]\d*:[1-9]\d*$/)
  assert.equal(image.config.Labels['org.opencontainers.image.version'], version)
  assert.deepEqual(image.config.Cmd, ['run'])
  assert.equal(image.config.Labels['org.opencontainers.image.revision'], '0123abc')
  assert.match(image.config.Labels['org.opencontainers.image.source'] ?? '', /^https:/)
  // package.test.ts checks their content.
  const licences = fileURLToPath(new URL('../../scripts/licences.ts', import.meta.url))
  const told = (await promisify(execFile)(process.execPath, [licences])).stdout
  assert.equal(await readFile(join(image.root, 'LICENCES.txt'), 'utf8'), told)

  await holdToPage(image)

  const run = (args: readonly string[], env = {}) => start(image, [...image.config.Entrypoint, ...args], env)
  assert.deepEqual(await ended(run(['--version'])), { code: 0, stdout: `${version}\n`, stderr: '' })

  const redis = await startRedis(t)
  const key = 'stream:conversation:a'
  await fillStream(redis, key, { count: 3_000, from: (await redisNow(redis)) - 60_000, stepMs: 1, bytes: 100 })
  const swept = await ended(run(['sweep', '--output', 'json', '--redis-url', redis.url]))
  assert.equal(JSON.parse(swept.stdout).result, 'success')
  assert.ok(Number(await redis.command('XLEN', key)) <= 1_100)
  // The image also contains the modules that are loaded only on a terminal.
  const pretty = await ended(run(['sweep', '--redis-url', redis.url, '--log-level', 'debug', '--log-format', 'pretty']))
  assert.equal(pretty.code, 0, pretty.stderr)

  // As in the manifests: by the name of a Service, which needs DNS.
  const names = await startNameServer(t)
  await writeFile(join(image.root, 'etc/resolv.conf'), `nameserver ${names.address}\n`)
  const env = {
    XTRIMD_REDIS_URL: `redis://redis.chat.svc:${redis.port}`,
    XTRIMD_HTTP_BIND: `0.0.0.0:${await freePort()}`,
  }
  const [how, ...healthCheck] = image.config.Healthcheck?.Test ?? []
  assert.equal(how, 'CMD')
  const health = async (): Promise<number | null> => (await ended(start(image, healthCheck, env))).code
  const child = run(image.config.Cmd, env)
  let alive: number | null = null
  const daemon = await ended(child, async () => {
    alive = await health()
    askToStop(child)
  })
  assert.equal(daemon.code, 0, daemon.stderr)
  assert.match(daemon.stdout, /"msg":"stopped"/)
  assert.deepEqual([...names.asked], ['redis.chat.svc'])
  assert.equal(alive, 0, 'the health check succeeds while it runs')
  assert.equal(await health(), 1, 'the health check fails when it does not run')
})

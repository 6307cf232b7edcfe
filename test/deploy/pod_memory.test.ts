/**
 * Commands beside the daemon, as `kubectl exec` runs them in the sidecar: both must fit into the limit of the manifests,
 * which the kernel enforces here. `TEST_STREAMS` says on how many streams; a million take some minutes.
 */

import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { imageFlags } from '../../bench/image.ts'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { readPage } from '../harness/documents.ts'
import { ROOT, temporaryFolder } from '../harness/files.ts'
import { render } from '../harness/manifests.ts'
import { limitMemory, type MemoryGroup } from '../harness/memory_limit.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'

const STREAMS = Number(process.env.TEST_STREAMS || 100_000)
const MAKE = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  for _ = 1, 2 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'body', 'text') end
end`
/** One stream with 1,000 groups of 20 consumers each: of one stream, there is hardly more to tell. */
const CROWD = 'stream:conversation:crowd'
const MAKE_CROWD = `
for _ = 1, 20 do redis.call('XADD', KEYS[1], '*', 'body', 'text') end
for group = 1, 1000 do
  redis.call('XGROUP', 'CREATE', KEYS[1], 'group-' .. group, '0')
  for consumer = 1, 20 do
    redis.call('XREADGROUP', 'GROUP', 'group-' .. group, 'consumer-' .. consumer, 'COUNT', 1, 'STREAMS', KEYS[1], '>')
  end
end`

/** The limit of the sidecar, in bytes. */
function limitOfSidecar(): number {
  const text = JSON.stringify(render('example'))
  const sizes = [...text.matchAll(/"name":"xtrimd".*?"limits":\{[^}]*"memory":"(\d+)Mi"/g)].map(([, size]) =>
    Number(size),
  )
  assert.ok(sizes.length > 0, text)
  return Math.min(...sizes) * 1024 * 1024
}

interface Ended {
  readonly code: number | null
  readonly stdout: string
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.resume()
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout }
}

async function fill(redis: RedisServer): Promise<void> {
  for (let i = 0; i < STREAMS; i += 10_000) await redis.command('EVAL', MAKE, '0', String(i), String(i + 9_999))
  await redis.command('EVAL', MAKE_CROWD, '1', CROWD)
}

/** The bundle of the image, and a copy of Node whose pages in memory no other process shares. */
function makeImage(t: TestContext): { node: string; main: string } {
  const folder = temporaryFolder(t, 'pod')
  execFileSync(join(ROOT, 'scripts/bundle'), [folder])
  copyFileSync(process.execPath, join(folder, 'node'))
  return { node: join(folder, 'node'), main: join(folder, 'app/main.js') }
}

function startDaemon(group: MemoryGroup, image: { node: string; main: string }, flags: readonly string[], url: string) {
  const often = ['--cron', '* * * * * *', '--pace', '100', '--http-bind', '127.0.0.1:0', '--redis-url', url]
  const daemon = group.spawn(image.node, [...flags, image.main, 'run', ...often], withoutOurs())
  let sweeps = 0
  daemon.stdout?.setEncoding('utf8').on('data', (text: string) => {
    sweeps += text.split('"msg":"sweep"').length - 1
  })
  daemon.stderr?.resume()
  return { daemon, sweeps: () => sweeps }
}

test(`plan, explain, top and sweep live beside a sweeping daemon on ${STREAMS} streams, within the memory limit of the sidecar`, async (t) => {
  const limit = limitOfSidecar()
  const group = limitMemory(t, limit)
  if (group === null) return t.skip('this machine does not let us limit memory with a control group')
  const redis = await startRedis(t, { config: { 'stream-node-max-bytes': '256' } })
  await fill(redis)
  const image = makeImage(t)
  const flags = await imageFlags()
  const { daemon, sweeps } = startDaemon(group, image, flags, redis.url)
  await waitUntil(() => sweeps() > 0, { timeoutMs: 300_000, what: 'the first sweep' })

  const commands = [['plan'], ['explain', CROWD], ['top'], ['top', '--sort', 'growth'], ['sweep']]
  for (const command of commands) {
    const args = [...command, '--pace', '100', '--output', 'json', '--redis-url', redis.url]
    const { code, stdout } = await ended(group.spawn(image.node, [...flags, image.main, ...args], withoutOurs()))
    assert.equal(code, 0, `${command} ended with ${code}: ${stdout}`)
    assert.equal((JSON.parse(stdout) as { result: string }).result, 'success')
    assert.deepEqual([daemon.exitCode, daemon.signalCode, group.kills()], [null, null, 0], `after ${command}`)
  }
  const before = sweeps()
  await waitUntil(() => sweeps() > before, { timeoutMs: 300_000, what: 'the daemon to sweep on' })
  const peak = group.peakBytes()
  if (peak !== null)
    t.diagnostic(`${(peak / 1024 / 1024).toFixed(0)} MiB at most, of ${limit / 1024 / 1024}, page cache included`)
  assert.ok(peak === null || peak <= limit)
})

test('the control: the kernel kills what needs more than the limit', async (t) => {
  const group = limitMemory(t, limitOfSidecar())
  if (group === null) return t.skip('this machine does not let us limit memory with a control group')
  const grow = 'const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1))'
  const { code } = await ended(group.spawn(process.execPath, ['-e', grow], withoutOurs()))
  assert.equal(code, null)
  assert.ok(group.kills() > 0)
})

test('docs/operations.md gives the command for a pod with the options of Node that the image has', async () => {
  const page = readPage('docs/operations.md')
  const commands = [...page.matchAll(/^\$ kubectl exec .* -- \/bin\/node (.*) \/app\/main\.js \w+/gm)]
  assert.ok(commands.length > 0)
  const flags = (await imageFlags()).filter((flag) => /size/.test(flag))
  assert.equal(flags.length, 2)
  for (const [, given] of commands) assert.deepEqual(given?.split(' '), flags)
})

/** What a person at a terminal sees, and what a script does not. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runXtrimd } from './harness/program.ts'
import { startRedis } from './harness/redis_server.ts'
import { fillStream, redisNow } from './harness/streams.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const ESCAPE = '\x1b'

/**
 * Runs the program on a terminal of its own (util-linux' `script` makes one), and returns all that it wrote there.
 * Nothing but `env` is told of that terminal: who runs this test may have said that there are no colours, or CI.
 */
async function onTerminal(t: TestContext, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const quoted = [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(' ')
  const terminal = spawn('script', ['--quiet', '--return', '--command', quoted, '/dev/null'], {
    env: { PATH: process.env.PATH, TERM: 'xterm', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 120_000,
  })
  t.after(() => terminal.kill('SIGKILL'))
  let seen = ''
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    seen += text
  })
  await once(terminal, 'close')
  return seen
}

/** Arguments of a daemon that logs that it starts, and ends: its port is taken. */
async function startingOnly(t: TestContext): Promise<string[]> {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.after(() => taken.close())
  return ['run', '--http-bind', `127.0.0.1:${(taken.address() as { port: number }).port}`]
}

test('the log is for people on a terminal and JSON elsewhere, unless --log-format says otherwise', async (t) => {
  const args = await startingOnly(t)
  const first = (text: string) => text.split(/\r?\n/)[0] ?? ''

  const elsewhere = first((await runXtrimd(args)).stdout)
  assert.deepEqual(Object.keys(JSON.parse(elsewhere) as object).slice(0, 2), ['level', 'time'])
  assert.equal((JSON.parse(elsewhere) as { msg: string }).msg, 'starting')

  const terminal = first(await onTerminal(t, args))
  assert.match(terminal, /INFO.*starting/)
  assert.ok(terminal.includes(`${ESCAPE}[`))

  const plain = first(await onTerminal(t, args, { NO_COLOR: '1' }))
  assert.match(plain, /INFO: starting/)
  assert.ok(!plain.includes(ESCAPE))

  const json = first(await onTerminal(t, [...args, '--log-format', 'json']))
  assert.equal((JSON.parse(json) as { msg: string }).msg, 'starting')

  const pretty = first((await runXtrimd([...args, '--log-format', 'pretty'])).stdout)
  assert.match(pretty, /INFO: starting/)
  assert.ok(!pretty.includes(ESCAPE))

  // A sweep's too, which is on stderr.
  const sweep = ['sweep', '--redis-url', 'redis://127.0.0.1:1']
  const env = { XTRIMD_UNKNOWN: 'x' }
  assert.equal((JSON.parse(first((await runXtrimd(sweep, { env })).stderr)) as { msg: string }).msg, 'unknown variable')
  assert.match(await onTerminal(t, sweep, env), /WARN.*unknown variable/)
})

test('a sweep shows how far it is on a terminal only, and takes that line away again', async (t) => {
  const redis = await startRedis(t)
  const from = (await redisNow(redis)) - 3_600_000
  await fillStream(redis, 'stream:conversation:1', { count: 3_000, from, stepMs: 1, bytes: 10 })
  const args = ['sweep', '--redis-url', redis.url]

  const seen = await onTerminal(t, args)
  assert.match(seen, /\[#{20}\] 1 stream, about 100 % of 1 key, \d+\/s, 2000 removed/)
  assert.ok(seen.includes(`${ESCAPE}[K${ESCAPE}[32msuccess${ESCAPE}[39m in `), seen)
  for (const line of seen.split(/[\r\n]+/)) assert.ok(line.length <= 90, line)

  for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
    const plain = await onTerminal(t, args, env)
    assert.ok(plain.includes('success in ') && !plain.includes(`${ESCAPE}[32m`), plain)
    // A terminal that cannot go back has no line that is drawn over.
    assert.equal(plain.includes(ESCAPE), env.TERM === undefined)
  }
  // Nor is there one among the lines of a log.
  assert.ok(!(await onTerminal(t, [...args, '--log-level', 'debug', '--log-format', 'json'])).includes(`${ESCAPE}[K`))

  // The control: elsewhere stderr stays silent.
  assert.equal((await runXtrimd(args)).stderr, '')
})

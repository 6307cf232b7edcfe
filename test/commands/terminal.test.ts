/** What the program prints on a terminal, and elsewhere. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runXtrimd } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { openTerminal } from '../harness/tmux.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const ESCAPE = '\x1b'

/**
 * Runs the program on a terminal of its own, made by util-linux's `script`, and returns all that it wrote there. Only `env`
 * describes that terminal: the environment of the test may turn colours off or say that it is CI.
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

/** Arguments for a daemon that logs a line and then ends, because its port is taken. */
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

  // The log of `sweep` too, which goes to stderr.
  const sweep = ['sweep', '--redis-url', 'redis://127.0.0.1:1']
  const env = { XTRIMD_UNKNOWN: 'x' }
  assert.equal((JSON.parse(first((await runXtrimd(sweep, { env })).stderr)) as { msg: string }).msg, 'unknown variable')
  assert.match(await onTerminal(t, sweep, env), /WARN.*unknown variable/)
})

test('a sweep shows its progress on terminals only, and erases the line at the end', async (t) => {
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
    // A terminal that cannot move its cursor back gets no progress line.
    assert.equal(plain.includes(ESCAPE), env.TERM === undefined)
  }
  // There is none among the lines of a log either.
  assert.ok(!(await onTerminal(t, [...args, '--log-level', 'debug', '--log-format', 'json'])).includes(`${ESCAPE}[K`))

  // The control: elsewhere stderr stays silent.
  assert.equal((await runXtrimd(args)).stderr, '')
})

test('on a terminal of 80 columns no line is longer, the progress stays on one line, and Ctrl-C ends in a summary', async (t) => {
  const redis = await startRedis(t)
  const from = (await redisNow(redis)) - 3_600_000
  const long = `stream:conversation:${'k'.repeat(100)}`
  await fillStream(redis, long, { count: 3_000, from, stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', long, 'g'.repeat(40), '0')
  const many = "for i = 1, 2000 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'a', 'b') end"
  await redis.command('EVAL', many, '0')
  const terminal = await openTerminal(t, { LC_ALL: 'C.UTF-8' })
  const type = async (command: string): Promise<void> => {
    await terminal.type(`clear; ${command}; echo ended $?`, 'Enter')
  }
  const program = `'${process.execPath}' '${MAIN}'`
  const isFit = (lines: readonly string[]): void => {
    for (const line of lines) assert.ok(line.length <= 80, line)
  }

  // The control: a longer line would be noticed.
  await type("printf '%0100d\\n' 0")
  assert.ok((await terminal.waitFor(/^ended 0$/m)).includes('0'.repeat(100)))

  await type(`${program} plan --redis-url ${redis.url} --protect unread --policy '${'p'.repeat(100)}:*'`)
  const planned = await terminal.waitFor(/^configuration$[\s\S]*^ended 0$/m)
  isFit(planned)
  for (const heading of ['held back by a consumer group', 'longest streams', 'advice', 'configuration'])
    assert.ok(planned.includes(heading), planned.join('\n'))

  await type(`${program} sweep --redis-url ${redis.url} --pace 1 --page-size 8`)
  const progress = /^\[[#.]+\] \d+ streams?, about \d+ % of 2001 keys, \d+\/s, \d+ removed$/
  await terminal.waitFor(new RegExp(progress.source, 'm'))
  const going = await terminal.waitFor(/, about [1-9]\d* %/)
  assert.equal(going.filter((line) => progress.test(line)).length, 1)
  isFit(going)
  await terminal.type('C-c')
  const stopped = await terminal.waitFor(/^ended 1$/m)
  isFit(stopped)
  assert.equal(stopped.filter((line) => progress.test(line)).length, 0, stopped.join('\n'))
  assert.match(stopped[0] ?? '', /^(?:\^C)?stopped \(stop: asked to stop\) in \d/)
})

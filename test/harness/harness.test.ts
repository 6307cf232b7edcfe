import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { makeClient } from '../../scripts/stage/redis_client.ts'
import { parseExposition, sumOf } from './exposition.ts'
import { ROOT, temporaryFolder } from './files.ts'
import { HARDLY_EVER, runXtrimd, startDaemon } from './program.ts'
import { startRedis } from './redis_server.ts'
import { fillStream, redisNow, streamIds } from './streams.ts'
import { startProxy } from './tcp_proxy.ts'
import { waitUntil } from './waiting.ts'

test('a private server answers on its port and its socket, and disappears with its folder when the test ends', async (t) => {
  let pid = 0
  let socketPath = ''
  await t.test('while it runs', async (inner) => {
    const redis = await startRedis(inner, { config: { maxmemory: '64mb' } })
    pid = redis.pid
    socketPath = redis.socketPath
    assert.equal(await redis.command('PING'), 'PONG')
    assert.deepEqual(await redis.command('CONFIG', 'GET', 'maxmemory'), ['maxmemory', '67108864'])
    const bySocket = makeClient({ socket: { path: socketPath, tls: false } })
    await bySocket.connect()
    assert.equal(await bySocket.sendCommand(['PING']), 'PONG')
    bySocket.destroy()
    assert.ok((await redis.usedMemory()) > 100_000)
  })
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  assert.equal(existsSync(dirname(socketPath)), false)
})

test('a frozen server is silent until it is thawed', async (t) => {
  const redis = await startRedis(t)
  await redis.freeze()
  const reply = redis.command('PING')
  assert.equal(await Promise.race([reply, pause(200, 'silence')]), 'silence')
  await redis.thaw()
  assert.equal(await reply, 'PONG')
})

test('a killed server comes back empty at the same address', async (t) => {
  const redis = await startRedis(t, { config: { requirepass: 'secret' } })
  await redis.command('SET', 'key', 'value')
  const before = redis.pid
  await redis.kill()
  await assert.rejects(redis.command('PING'))
  await redis.restart()
  assert.notEqual(redis.pid, before)
  assert.equal(await redis.command('GET', 'key'), null)
})

test('recordCommands() makes the slow log record every command', async (t) => {
  const redis = await startRedis(t)
  await redis.recordCommands()
  await redis.command('GET', 'key')
  const log = await redis.slowlog()
  assert.ok(log.some(({ command, microseconds }) => command.join(' ') === 'GET key' && microseconds >= 0))
})

test('fillStream() adds entries with the given IDs and sizes', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  assert.ok(Math.abs(now - Date.now()) < 60_000)
  const key = Buffer.from([0xff, 0x00, 0x31])
  await fillStream(redis, key, { count: 12_000, from: now - 12_000, stepMs: 1, bytes: 30 })
  assert.equal(await redis.command('XLEN', key), 12_000)
  assert.deepEqual(await streamIds(redis, key, 2), [`${now - 2}-11998`, `${now - 1}-11999`])
  assert.equal((await streamIds(redis, key))[0], `${now - 12_000}-0`)
  await fillStream(redis, 'same', { count: 3, from: 5, stepMs: 0, bytes: 1 })
  assert.deepEqual(await streamIds(redis, 'same'), ['5-0', '5-1', '5-2'])
})

test('waiting in vain ends at the deadline with an error that says what for', async () => {
  await assert.rejects(
    waitUntil(() => false, { timeoutMs: 50, what: 'godot' }),
    /50 ms in vain for godot/,
  )
})

test('series are parsed with their labels, and summed over all labels that are not given', () => {
  const series = parseExposition(
    '# HELP a b\n# TYPE a counter\na{x="1",y="q\\"\\\\\\n,}"} 2\na{x="2",y="z"} 3e1\na_bucket{le="+Inf"} 7\nb NaN\n',
  )
  assert.deepEqual(series[0], { name: 'a', labels: { x: '1', y: 'q"\\\n,}' }, value: 2 })
  assert.equal(sumOf(series, 'a'), 32)
  assert.equal(sumOf(series, 'a', { x: '2' }), 30)
  assert.equal(sumOf(series, 'a', { x: '3' }), undefined)
  assert.ok(Number.isNaN(sumOf(series, 'b')))
})

test('each fault of the proxy takes effect and heals', async (t) => {
  const redis = await startRedis(t)
  const proxy = await startProxy(t, redis.port)
  const connected = async () => {
    const client = makeClient({
      socket: { host: '127.0.0.1', port: proxy.port, reconnectStrategy: false, connectTimeout: 20_000 },
    })
    t.after(() => client.destroy())
    await client.connect()
    return client
  }
  const silent = async (reply: Promise<unknown>) => {
    reply.catch(() => {})
    return (await Promise.race([reply, pause(150, 'silence')])) === 'silence'
  }

  await t.test('without a fault commands pass', async () => {
    const client = await connected()
    assert.equal(await client.sendCommand(['ECHO', 'hello']), 'hello')
    assert.equal(proxy.connections, 1)
    client.destroy()
  })

  await t.test('delay: replies arrive late and in order', async () => {
    const client = await connected()
    proxy.delay(100)
    const began = performance.now()
    assert.deepEqual(await Promise.all(['a', 'b'].map((word) => client.sendCommand(['ECHO', word]))), ['a', 'b'])
    assert.ok(performance.now() - began >= 95)
    await proxy.heal()
    assert.equal(await client.sendCommand(['ECHO', 'c']), 'c')
    client.destroy()
  })

  await t.test('swallowReplies: Redis executes the command, and the reply is lost', async () => {
    const client = await connected()
    proxy.swallowReplies()
    assert.ok(await silent(client.sendCommand(['SET', 'swallowed', 'yes'])))
    assert.equal(await redis.command('GET', 'swallowed'), 'yes')
    await proxy.heal()
    await waitUntil(() => proxy.connections === 0, { timeoutMs: 30_000, what: 'the damaged connection to be closed' })
  })

  await t.test('cut: the connection ends in the middle of a reply, at the given byte', async () => {
    const client = await connected()
    const before = proxy.replyBytes
    proxy.cutAfterReplyBytes(7)
    await assert.rejects(client.sendCommand(['ECHO', 'a reply longer than seven bytes']))
    assert.equal(proxy.replyBytes - before, 7)
    await proxy.heal()
  })

  await t.test('blackhole: connections are accepted, but nothing reaches the server', async () => {
    const client = await connected()
    proxy.blackhole()
    assert.ok(await silent(client.sendCommand(['SET', 'blackhole', 'yes'])))
    assert.equal(await redis.command('GET', 'blackhole'), null)
    const accepted = proxy.accepted
    assert.ok(await silent(connected().then((next) => next.sendCommand(['PING']))))
    await waitUntil(() => proxy.accepted > accepted, { timeoutMs: 30_000, what: 'the connection to be accepted' })
    await proxy.heal()
  })

  await t.test('hold: a request waits with all that follow it, until the fault heals', async () => {
    const client = await connected()
    proxy.hold('HELD', 1)
    assert.equal(await client.sendCommand(['SET', 'first', 'HELD']), 'OK')
    assert.equal(proxy.held, 0)
    const held = client.sendCommand(['SET', 'second', 'HELD'])
    await waitUntil(() => proxy.held > 0, { timeoutMs: 30_000, what: 'the request to be held' })
    const behind = client.sendCommand(['ECHO', 'behind'])
    assert.ok(await silent(behind))
    assert.equal(await redis.command('GET', 'second'), null)
    await proxy.heal()
    assert.deepEqual(await Promise.all([held, behind]), ['OK', 'behind'])
    client.destroy()
  })

  await t.test('refuse: nobody can connect until the fault heals', async () => {
    await proxy.refuse()
    await assert.rejects(connected(), { code: 'ECONNREFUSED' })
    await proxy.heal()
    const client = await connected()
    client.destroy()
  })

  await t.test('drop: open connections break, new ones work', async () => {
    const client = await connected()
    const reply = client.sendCommand(['BLPOP', 'nothing', '0'])
    proxy.dropAll()
    await assert.rejects(reply)
    const next = await connected()
    assert.equal(await next.sendCommand(['PING']), 'PONG')
  })
})

test("the program runs without the test's own XTRIMD variables", async () => {
  process.env.XTRIMD_MAX_AGE = 'nonsense'
  try {
    const ended = await runXtrimd(['--version'])
    assert.equal(ended.code, 0, ended.stderr)
    assert.match(ended.stdout, /^\d+\.\d+\.\d+\n$/)
    const refused = await runXtrimd(['sweep'], { env: { XTRIMD_MAX_AGE: 'nonsense' } })
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /nonsense/)
  } finally {
    delete process.env.XTRIMD_MAX_AGE
  }
})

test('a program that does not end in time is killed, and the error shows its output', async (t) => {
  const redis = await startRedis(t)
  const args = ['run', '--redis-url', redis.url, '--http-bind', '127.0.0.1:0']
  await assert.rejects(runXtrimd(args, { timeoutMs: 1_500 }), /1500 ms in vain.*--- stdout/s)
})

test('a daemon can be started, read and stopped', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, 'stream:conversation:1', { count: 500, from: 1_000, stepMs: 1, bytes: 10 })
  const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER])
  const line = await daemon.waitForLog('sweep')
  assert.equal(line.result, 'success')
  assert.equal(await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (sweeps) => sweeps > 0), 1)
  assert.equal(await daemon.metric('xtrimd_streams'), 1)
  await assert.rejects(daemon.metric('xtrimd_nothing'), /no xtrimd_nothing/)
  assert.equal((await daemon.get('/healthz')).status, 200)
  assert.ok((await daemon.rssBytes()) > 30e6)
  await assert.rejects(daemon.waitForLog('never', 100), /'never'.*--- stdout\n\{/s)
  const ended = await daemon.stop()
  assert.equal(ended.code, 0)
  assert.ok(ended.ms < 10_000)
  await assert.rejects(daemon.waitForLog('never'), /ended before/)
})

test("the error of a daemon that cannot start shows the daemon's output", async (t) => {
  await assert.rejects(startDaemon(t, ['--max-age', 'nonsense']), /ended before.*--max-age/s)
})

/** A test file that leaves a process behind, whose pid it writes to a file. */
const HANGING = `
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
test('passes', () => writeFileSync('pid', String(spawn('sleep', ['6']).pid)))
`

test('a test file that hangs is ended with what it has started, and fails', async (t) => {
  const folder = temporaryFolder(t, 'hanging')
  writeFileSync(join(folder, 'hanging.test.mjs'), HANGING)
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const run = (...how: string[]) =>
    spawnSync(process.execPath, [...how, '--test', '--test-timeout=1000', '--test-reporter=spec', 'hanging.test.mjs'], {
      cwd: folder,
      env: { ...env, TEST_FILE_SECONDS: '1' },
      encoding: 'utf8',
    })
  const { status, stdout } = run('--import', join(ROOT, 'test/harness/deadline.ts'))
  assert.equal(status, 1)
  const pid = readFileSync(join(folder, 'pid'), 'utf8')
  assert.match(stdout, new RegExp(`gave up on .*hanging.test.mjs after 1 s; still running:\\n  ${pid} sleep 6`))
  assert.match(stdout, /failed|failing/)
  await waitUntil(() => readCommand(pid) === '', { timeoutMs: 10_000, what: 'what it started to end' })

  // The control: the timeout of the test runner alone waits for what was left behind.
  const began = performance.now()
  assert.equal(run().status, 0)
  assert.ok(performance.now() - began > 5_000)
})

/** The command line of a process; empty once it has ended. */
function readCommand(pid: string): string {
  return existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : ''
}

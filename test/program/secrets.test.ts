/** Secrets are used and never shown, whatever goes wrong and wherever they were given. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from '../../scripts/stage/free_port.ts'
import { configure } from '../../src/config/config.ts'
import { temporaryFolder } from '../harness/files.ts'
import { type Daemon, EVERY_SECOND, runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const KEY = 'stream:conversation:1'

/** Contains a character that URLs must encode. The search finds either half, encoded or not. */
const SECRET = 'Troubadour4/Xyzzy99'
const ENCODED = encodeURIComponent(SECRET)
const SEARCH = /troubadour4|xyzzy99/i

function assertHidden(texts: Readonly<Record<string, string>>): void {
  for (const [what, text] of Object.entries(texts)) {
    assert.doesNotMatch(text, SEARCH, `the secret is in ${what}`)
  }
}

/** Invalid URLs of every kind. Each holds the secret. */
const BAD_URLS = [
  SECRET,
  `user:${SECRET}@host`,
  `http://user:${ENCODED}@host`,
  `redis:user:${ENCODED}@host`,
  `redis://user:${SECRET}@host`,
  `redis://user:${ENCODED}@`,
  `redis://user:${ENCODED}@host:99999`,
  `redis://user:${ENCODED}@host:port`,
  `redis://user:${ENCODED}@ho st`,
  `redis://user:${ENCODED}@[::1`,
  `redis://user:${ENCODED}@host/${ENCODED}`,
  `redis://user:${ENCODED}@host/-1`,
  `redis://user:${ENCODED}@host/0?password=${ENCODED}`,
  `redis://host/0?password=${ENCODED}`,
  `redis://host#${ENCODED}`,
  `redis://user:%zz${ENCODED}@host`,
  `redis://user:1/${SECRET}@host`,
  `redis://user:1?${SECRET}@host`,
  `redis://user:1#${SECRET}@host`,
  `redis://user:Troubadour4,Xyzzy99@host`,
  `redis://user:${ENCODED}@host:1,redis://user:other@host:2`,
  `redis://user:${ENCODED}@host:1,redis://user:${ENCODED}@host:2`,
  `redis://${ENCODED}@host`,
  `rediss://user:${ENCODED}@host:6379x`,
  `unix://user:${ENCODED}@relative`,
  `unix:///socket?db=${ENCODED}`,
  `unix:///socket?${ENCODED}=1`,
  `unix:///socket#${ENCODED}`,
]

test('a message about a URL, a flag or a variable never quotes a possible secret', () => {
  const given: [readonly string[], Record<string, string>][] = BAD_URLS.flatMap((url) => [
    [['sweep', '--redis-url', url], {}],
    [['run', `--redis-url=${url}`], {}],
    [['plan'], { XTRIMD_REDIS_URL: url }],
    [['sweep'], { REDIS_URL: url }],
  ])
  const url = ['--redis-url', 'redis://host']
  for (const flag of ['--redis-password', '--password', '--pass', '--requirepass', '-a', '-p', '--redis_password']) {
    given.push([['sweep', flag, SECRET], {}], [['sweep', `${flag}=${SECRET}`], {}], [[flag, SECRET, 'sweep'], {}])
  }
  given.push([[`-a${SECRET}`], {}])
  given.push([['sweep', ...url, '--redis-username', SECRET], {}])
  given.push([['sweep', ...url, '--redis-password-file', SECRET], {}])
  given.push([['sweep', ...url, '--redis-password-file', 'Xyzzy99'], {}])
  given.push([['sweep', ...url], { XTRIMD_REDIS_PASSWORD_FILE: 'Xyzzy99' }])
  given.push([['sweep', ...url, '--max-age', '1'], { XTRIMD_REDIS_PASSWORD: SECRET }])
  given.push([['sweep', ...url, '--redis-password-file', 'package.json'], { XTRIMD_REDIS_PASSWORD: SECRET }])
  given.push([['sweep', ...url, '--policy', 'x,max-age=y'], { XTRIMD_REDIS_PASSWORD: SECRET, XTRIMD_PASSWORD: SECRET }])

  for (const [args, env] of given) {
    const configured = configure(args, env, '0')
    assert.equal(configured.kind, 'problems', JSON.stringify([args, env]))
    assertHidden({ [`the answer to ${JSON.stringify([args, env])}`]: JSON.stringify(configured) })
    // The control: the input does hold the secret.
    assert.match(JSON.stringify([args, env]), SEARCH)
  }
})

test('bad input exits with 2 and shows no secret', async () => {
  const args = ['sweep', '--redis-url', `redis://user:${ENCODED}@host:99999`, '--redis-password', SECRET, '-a', SECRET]
  const env = { XTRIMD_REDIS_PASSWORD: SECRET, XTRIMD_REDIS_PASSWROD: SECRET, REDIS_URL: `redis://:${ENCODED}@host` }
  const ended = await runXtrimd([...args, '--max-age', '1', '--log-level', 'trace'], { env })
  assert.equal(ended.code, 2)
  for (const problem of ['--redis-url must', 'unknown flag --redis-password', 'unknown flag -a', '--max-age must']) {
    assert.match(ended.stderr, new RegExp(`^xtrimd: ${problem}\\b`, 'm'))
  }
  assertHidden({ stdout: ended.stdout, stderr: ended.stderr })
})

test('a sweep that cannot log in or connect shows no secret', async (t) => {
  const folder = await secretFolder(t)
  const open = await startRedis(t)
  const locked = await startRedis(t, { config: { requirepass: 'another' } })
  const nobody = await freePort()
  const at = (port: number, scheme = 'redis'): string => `${scheme}://user:${ENCODED}@127.0.0.1:${port}`
  const cases: [string, readonly string[], Record<string, string>, RegExp][] = [
    ['wrong password in the URL', ['--redis-url', at(locked.port)], {}, /WRONGPASS/],
    ['wrong password in REDIS_URL', [], { REDIS_URL: `redis://:${ENCODED}@127.0.0.1:${locked.port}` }, /WRONGPASS/],
    ['wrong password in the file', ['--redis-url', locked.url, '--redis-password-file', folder.file], {}, /WRONGPASS/],
    ['a user nobody knows', ['--redis-url', open.url, '--redis-username', SECRET], password('x'), /WRONGPASS/],
    ['a password nobody asks for', ['--redis-url', open.url], password(SECRET), /AUTH/],
    ['TLS to plain', ['--redis-url', at(open.port, 'rediss')], {}, /connect|timeout/],
    ['nobody there', ['--redis-url', at(nobody)], {}, /ECONNREFUSED/],
    [
      'no such host',
      ['--redis-url', `redis://user:${ENCODED}@redis.invalid`],
      {},
      /redis\.invalid.*(ENOTFOUND|EAI_AGAIN)/,
    ],
    ['no such host, TLS', ['--redis-url', `rediss://user:${ENCODED}@redis.invalid`], {}, /ENOTFOUND|EAI_AGAIN/],
    ['no such socket', ['--redis-url', `unix://user:${ENCODED}@/nowhere/redis.sock`], {}, /ENOENT/],
    ['no sentinel', ['--redis-url', at(nobody), '--redis-mode', 'sentinel', '--sentinel-master', 'm'], {}, /REFUSED/],
    ['no cluster', ['--redis-url', at(locked.port), '--redis-mode', 'cluster'], {}, /WRONGPASS/],
    // The control: this server does need a password.
    ['none at all', ['--redis-url', locked.url], {}, /NOAUTH/],
  ]
  await twoAtATime(cases, async ([what, args, env, said], i) => {
    const format = ['--log-format', i % 2 === 0 ? 'json' : 'pretty', '--output', i % 4 < 2 ? 'text' : 'json']
    const patience = ['--reply-timeout', '2s', '--log-level', 'trace']
    const ended = await runXtrimd(['sweep', ...args, ...format, ...patience], { env })
    assert.equal(ended.code, 1, what)
    assert.match(ended.stdout, said, what)
    assertHidden({ [`${what}, stdout`]: ended.stdout, [`${what}, stderr`]: ended.stderr })
  })
})

test('a daemon shows no secret while it sweeps, while it is locked out, and while Redis is down', async (t) => {
  const { file } = await secretFolder(t)
  const redis = await startRedis(t, { config: { requirepass: SECRET } })
  await redis.command('ACL', 'SETUSER', SECRET, 'on', `>${SECRET}`, '~*', '&*', '+@all')
  await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
  const withSecret = `redis://:${ENCODED}@127.0.0.1:${redis.port}`
  const places: [readonly string[], Record<string, string>][] = [
    [['--redis-url', withSecret], {}],
    [[], { XTRIMD_REDIS_URL: withSecret }],
    [[], { REDIS_URL: withSecret }],
    [['--redis-url', redis.url, '--redis-username', SECRET], password(SECRET)],
    [['--redis-url', redis.url, '--redis-password-file', file], {}],
    [['--redis-url', withSecret, '--log-format', 'pretty'], {}],
    [['--redis-url', redis.url, '--redis-password-file', file, '--log-format', 'pretty'], {}],
  ]
  // Use every part that connects to Redis: each daemon leads, watches and reads memory.
  const between = ['--watch', '--watch-configure', '--pressure', '1tb', '--pressure-interval', '1s']
  const common = [...EVERY_SECOND, '--log-level', 'trace', ...between]
  const daemons = await Promise.all(
    places.map(([args, env], i) => startDaemon(t, [...args, ...common, '--lease-key', `lease:${i}`], { env })),
  )
  const successes = () =>
    Promise.all(
      daemons.map((daemon) => daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (n) => n > 0)),
    )
  const failures = (cause: string) =>
    Promise.all(daemons.map((daemon) => daemon.waitForMetric('xtrimd_sweep_failures_total', { cause }, (n) => n > 0)))
  const say = (...messages: string[]) =>
    waitUntil(() => daemons.every(({ stdout }) => messages.every((message) => stdout.includes(message))), {
      timeoutMs: 60_000,
      what: `all to say ${messages}`,
    })
  const shown = async (daemon: Daemon) => ({
    stdout: daemon.stdout,
    stderr: daemon.stderr,
    metrics: await daemon.metrics(),
    page: await (await daemon.get('/')).text(),
    probes: (await (await daemon.get('/healthz')).text()) + (await (await daemon.get('/readyz')).text()),
    'ps output': await cmdlineOf(daemon.pid),
  })
  const assertAllHidden = async () => {
    for (const daemon of daemons) assertHidden(await shown(daemon))
  }

  // The control: the secret lets every daemon in.
  await successes()
  await say('watching')
  await assertAllHidden()

  await redis.command('CONFIG', 'SET', 'requirepass', 'another')
  await redis.command('ACL', 'SETUSER', SECRET, 'resetpass', '>another')
  await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await failures('WRONGPASS')
  await say('could not acquire the lease', 'watch lost', 'could not read memory')
  await assertAllHidden()

  await rm(file)
  await redis.kill()
  await failures('connect')
  await assertAllHidden()
  for (const daemon of daemons) {
    const { code, stdout, stderr } = await daemon.stop()
    assert.equal(code, 0)
    // The control: there were errors to log. The password file is gone, too.
    assert.match(stdout, /WRONGPASS[\s\S]*(ECONNREFUSED|ENOENT)/)
    assertHidden({ stdout, stderr })
  }
})

/**
 * Bugs to inject once the program is running. Each fails like Node itself when it cannot parse a URL, with the whole URL in
 * the error beside the message.
 */
const BUGS: Readonly<Record<string, string>> = {
  'an uncaught error': 'new URL(bad)',
  'an unhandled rejection': 'Promise.reject(failure)',
  'several errors in one': 'Promise.any([Promise.reject(failure), Promise.reject(failure)])',
  'an error inside another': "throw Object.assign(new Error('outer', { cause: failure }), { inner: failure })",
}

test('a crash shows no secret and is reported as a bug', async (t) => {
  const redis = await startRedis(t)
  const url = `redis://user:${ENCODED}@127.0.0.1:${redis.port}`
  const cases = Object.entries(BUGS).flatMap(([what, bug]) =>
    ['json', 'pretty'].map((format) => ({ what, bug, format })),
  )
  await twoAtATime(cases, async ({ what, bug, format }) => {
    // Two ports make the URL invalid.
    const setUp = `const bad = process.env.XTRIMD_REDIS_URL + ':1'; let failure; try { new URL(bad) } catch (e) { failure = e }`
    const isUnderWay = "process.listenerCount('uncaughtException') > 0"
    const brought = (when: string) =>
      `${setUp}; const timer = setInterval(() => { if (${when}) { clearInterval(timer); ${bug} } }, 10)`
    const env = { XTRIMD_REDIS_URL: url }
    const code = `data:text/javascript,${encodeURIComponent(brought(isUnderWay))}`
    const args = ['run', '--http-bind', '127.0.0.1:0', '--log-format', format, '--log-level', 'trace', ...EVERY_SECOND]
    const ended = await runXtrimd(args, { env: { ...env, NODE_OPTIONS: `--import=${code}` } })
    assert.equal(ended.code, 1, ended.stderr)
    assert.match(ended.stdout, /bug: please report it/)
    assert.match(ended.stdout, /TypeError: Invalid URL\b/, 'the injected bug is the one that was reported')
    assertHidden({ [`${what}, ${format}, stdout`]: ended.stdout, [`${what}, ${format}, stderr`]: ended.stderr })

    // The control: Node itself shows the secret.
    const plain = spawn(process.execPath, ['-e', brought('true')], { stdio: ['ignore', 'ignore', 'pipe'], env })
    let shown = ''
    plain.stderr.setEncoding('utf8').on('data', (text: string) => {
      shown += text
    })
    await once(plain, 'close')
    assert.match(shown, SEARCH)
  })
})

test('a crash before the log exists shows no secret and is reported as a bug', async () => {
  const env = { XTRIMD_REDIS_URL: `redis://user:${ENCODED}@127.0.0.1:1` }
  const fails = `Object.defineProperty(process, 'title', { set: () => new URL(process.env.XTRIMD_REDIS_URL + ':1') })`
  const ended = await runXtrimd(['run'], {
    env: { ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(fails)}` },
  })
  assert.deepEqual([ended.code, ended.stdout], [1, ''])
  assert.match(ended.stderr, /^xtrimd: bug: please report it: TypeError: Invalid URL\n/)
  assertHidden({ stderr: ended.stderr })
})

test('control: the search finds the secret where it is', async (t) => {
  const { file } = await secretFolder(t)
  assert.match(await readFile(file, 'utf8'), SEARCH)
  for (const text of [ENCODED, SECRET.toLowerCase(), `redis://:${ENCODED}@host`]) assert.match(text, SEARCH)
  assert.throws(() => assertHidden({ here: `error: ${SECRET}` }), /the secret is in here/)
  // A process that does not hide its arguments shows what `ps` would print.
  const args = ['-e', 'console.log("up"); setInterval(() => {}, 1000)', SECRET]
  const plain = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'], env: password(SECRET) })
  t.after(() => plain.kill('SIGKILL'))
  await once(plain.stdout, 'data')
  assert.match(await cmdlineOf(plain.pid as number), SEARCH)
  assert.match(await readFile(`/proc/${plain.pid}/environ`, 'utf8'), SEARCH)
})

test('a unix socket works with a password from the URL or from a file', async (t) => {
  const { file } = await secretFolder(t)
  const redis = await startRedis(t, { config: { requirepass: SECRET } })
  const args = ['sweep', '--output', 'json', '--redis-url']
  for (const [url, more, result] of [
    [`unix://:${ENCODED}@${redis.socketPath}`, [], 'success'],
    [`unix://${redis.socketPath}`, ['--redis-password-file', file], 'success'],
    [`unix://${redis.socketPath}`, [], 'failed'],
  ] as const) {
    await refill(redis)
    const ended = await runXtrimd([...args, url, ...more])
    const report = JSON.parse(ended.stdout)
    assert.equal(report.result, result, ended.stdout)
    assert.equal(await redis.command('XLEN', KEY), result === 'success' ? 1_000 : 3_000)
    assertHidden({ stdout: ended.stdout, stderr: ended.stderr })
  }
})

test('rotating the password in its file while the daemon runs costs no sweep', async (t) => {
  const { file } = await secretFolder(t)
  const redis = await startRedis(t)
  await redis.command('ACL', 'SETUSER', 'ops', 'on', `>${SECRET}`, '~*', '+@all')
  const url = `unix://${redis.socketPath}`
  const given = ['--redis-url', url, '--redis-username', 'ops', '--redis-password-file', file]
  const daemon = await startDaemon(t, [...given, ...EVERY_SECOND])
  await daemon.waitForSuccesses(1)

  // A rotation without downtime: both passwords are valid for a while.
  const next = `next-${SECRET}`
  await redis.command('ACL', 'SETUSER', 'ops', `>${next}`)
  await writeFile(file, `${next}\r\n`)
  // After two more successes, every sweep that read the old file has ended.
  await daemon.waitForSuccesses(2)
  await redis.command('ACL', 'SETUSER', 'ops', `<${SECRET}`)
  await refill(redis)
  await daemon.waitForSuccesses(2)
  assert.equal(await redis.command('XLEN', KEY), 1_000)
  assert.equal(await daemon.metric('xtrimd_sweep_failures_total'), 0)

  // The control: the old password no longer works.
  await writeFile(file, SECRET)
  await daemon.waitForMetric('xtrimd_sweep_failures_total', { cause: 'WRONGPASS' }, (failures) => failures > 0)
  assertHidden({ stdout: daemon.stdout, metrics: await daemon.metrics() })
})

function password(text: string): { XTRIMD_REDIS_PASSWORD: string } {
  return { XTRIMD_REDIS_PASSWORD: text }
}

/** A folder with the secret in a file, removed after the test. */
async function secretFolder(t: TestContext): Promise<{ file: string }> {
  const folder = temporaryFolder(t, 'secrets')
  const file = join(folder, 'password')
  await writeFile(file, `${SECRET}\n`)
  return { file }
}

async function refill(redis: RedisServer): Promise<void> {
  await redis.command('DEL', KEY)
  await fillStream(redis, KEY, { count: 3_000, from: (await redisNow(redis)) - HOUR, stepMs: 1, bytes: 10 })
}

/** What `ps` shows for a process. */
async function cmdlineOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8')
}

/** Starting programs takes most of the time here. Two at once use the two processors of a small machine. */
async function twoAtATime<T>(items: readonly T[], work: (item: T, i: number) => Promise<void>): Promise<void> {
  const entries = items.entries()
  const worker = async () => {
    for (const [i, item] of entries) await work(item, i)
  }
  await Promise.all([worker(), worker()])
}

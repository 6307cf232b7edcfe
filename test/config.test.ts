/** Configuration: what is taken, what is refused, and in which words. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Config, configure } from '../src/config/config.ts'
import { type FlagName, flags, variableOf } from '../src/config/flags.ts'
import { runXtrimd } from './harness/program.ts'

type Environment = Readonly<Record<string, string>>

/** What is wrong with these arguments and variables, line by line; nothing for what is accepted. Without what points into the value. */
function problemsOf(args: readonly string[], env: Environment = {}): readonly string[] {
  const configured = configure(args, env, '0.0.0')
  return configured.kind === 'problems' ? configured.lines.map((line) => line.split('\n')[0] ?? '') : []
}

/** The configuration of what must be accepted. */
function configOf(args: readonly string[], env: Environment = {}): Config {
  const configured = configure(args, env, '0.0.0')
  assert.equal(configured.kind, 'config', configured.kind === 'problems' ? configured.lines.join('\n') : '')
  return (configured as { config: Config }).config
}

const DURATION = 'must be a duration with units such as 500ms, 90s, 15m, 24h, 7d or 1h30m'
const COUNT = 'must be a whole number of at least 1, in plain digits, or off'
const FIELDS = 'must have five fields (minute hour day month weekday), or six with seconds in front'
const USER = 'must come with a password for its user: in the URL, by --redis-password-file or by XTRIMD_REDIS_PASSWORD'

/** A secret as people have them: no message may hold it. */
const SECRET = 'hunter2'

const BAD: readonly [args: readonly string[], line: string][] = [
  [['--max-agee', '24h'], '--max-agee: is no flag of xtrimd; did you mean --max-age?'],
  [['--frobnicate'], '--frobnicate: is no flag of xtrimd'],
  [['-v'], '-v: is no flag of xtrimd'],
  [['sweeep'], 'command: must be run or sweep or plan; did you mean sweep?; got "sweeep"'],
  [['constructor'], 'command: must be run or sweep or plan; got "constructor"'],
  [['run', 'sweep'], 'command: must be one alone, and run stands before it; got "sweep"'],
  [['--max-age', '24'], `--max-age: ${DURATION}, or off; got "24"`],
  [['--max-age', '5m garbage'], `--max-age: ${DURATION}, or off; got "5m garbage"`],
  [['--max-age', '30m1h'], `--max-age: ${DURATION}, or off; got "30m1h"`],
  [['--max-age', '1.5h'], `--max-age: ${DURATION}, or off; got "1.5h"`],
  [['--max-age', ''], `--max-age: ${DURATION}, or off; got ""`],
  [['--max-age', '0s'], '--max-age: must be longer than 0, or off; got "0s"'],
  [['--max-age', '36501d'], '--max-age: must be at most 36500d, or off; got "36501d"'],
  [['--max-age'], '--max-age: must have a value: --max-age <duration|off>'],
  [['--max-length', '-1'], `--max-length: ${COUNT}; got "-1"`],
  [['--max-length', '1e3'], `--max-length: ${COUNT}; got "1e3"`],
  [['--max-length', '0'], `--max-length: ${COUNT}; got "0"`],
  [['--max-length', '1_000'], `--max-length: ${COUNT}; got "1_000"`],
  [['--max-length', '99999999999999999999'], `--max-length: ${COUNT}; got "99999999999999999999"`],
  [['--max-bytes', '10MiB'], '--max-bytes: must be a size with a unit such as 512kb, 64mb or 1gb, or off; got "10MiB"'],
  [['--max-bytes', '0kb'], '--max-bytes: must be more than 0, or off; got "0kb"'],
  [
    ['--max-age', 'off', '--max-length', 'off'],
    '--max-length: must not be off where max-age and max-bytes are off too: nothing would ever be trimmed; got "off"',
  ],
  [['--hard-max-length', '999'], '--hard-max-length: must not be below max-length (1000); got "999"'],
  [['--hard-max-age', '23h'], '--hard-max-age: must not be shorter than max-age (1d); got "23h"'],
  [
    ['--delete-empty', '--max-age', 'off'],
    '--delete-empty: must go with a max-age: only a stream last written longer ago is deleted; got "true"',
  ],
  [['--trim', 'EXACT'], '--trim: must be one of approx, exact; got "EXACT"'],
  [['--protect', 'all'], '--protect: must be one of none, unread, unacked; got "all"'],
  [['--match', ''], '--match: must not be empty; got ""'],
  [['--cron', '0 0 30 2 *'], '--cron: must fire some day, and this one never does; got "0 0 30 2 *"'],
  [['--cron', '61 * * * *'], '--cron: must be a cron pattern (Invalid value for minute: 61); got "61 * * * *"'],
  [['--cron', '* * * *'], `--cron: ${FIELDS}; got "* * * *"`],
  [['--cron', '* * * * * * *'], `--cron: ${FIELDS}; got "* * * * * * *"`],
  [['--cron', '@hourly'], `--cron: ${FIELDS}; got "@hourly"`],
  [['--cron', '2030-01-01T00:00:00'], `--cron: ${FIELDS}; got "2030-01-01T00:00:00"`],
  [['--timezone', 'Mars/Olympus'], '--timezone: must be a time zone such as UTC or Europe/Berlin; got "Mars/Olympus"'],
  [['--run-on-start', 'no'], '--run-on-start: must be one of true, false; got "no"'],
  [['--run-on-start=1'], '--run-on-start: must be one of true, false; got "1"'],
  [['--dry-run=TRUE'], '--dry-run: must be one of true, false; got "TRUE"'],
  [['--no-run-on-start'], '--no-run-on-start: is no flag of xtrimd; did you mean --run-on-start?'],
  [['--sweep-timeout', '25d'], '--sweep-timeout: must be at most 24d, or off; got "25d"'],
  [['--reply-timeout', 'off'], `--reply-timeout: ${DURATION}; got "off"`],
  [['--pace', '101'], '--pace: must be a whole number from 1 to 100, in plain digits; got "101"'],
  [['--page-size', '0'], '--page-size: must be a whole number from 1 to 100000, in plain digits; got "0"'],
  [['--watch-every', '0'], '--watch-every: must be a whole number of at least 1, in plain digits; got "0"'],
  [
    ['--watch', '--max-length', 'off'],
    '--watch: must go with a max-length or max-bytes in some policy: it holds streams to nothing else; got "true"',
  ],
  [['--pressure', '101%'], '--pressure: must be a whole number from 1 to 100, as in 80%; got "101%"'],
  [['--pressure', '0'], '--pressure: must be a whole number from 1 to 100, as in 80%; got "0"'],
  [['--pressure', '0gb'], '--pressure: must be more than 0; got "0gb"'],
  [['--pressure', '2gib'], '--pressure: must be a size with a unit such as 512kb, 64mb or 1gb; got "2gib"'],
  [['--pressure', '0.8'], '--pressure: must be a share such as 80%, a size such as 2gb, or off; got "0.8"'],
  [['--pressure-interval', '10'], `--pressure-interval: ${DURATION}; got "10"`],
  [
    ['--pressure-max-length', 'off'],
    '--pressure-max-length: must be a whole number of at least 1, in plain digits; got "off"',
  ],
  [['--stream-metrics', '-1'], '--stream-metrics: must be a whole number from 0 to 10000, in plain digits; got "-1"'],
  [['--http-bind', '9464'], '--http-bind: must be host:port such as 0.0.0.0:9464 or [::]:9464; got "9464"'],
  [
    ['--http-bind', '0.0.0.0:65536'],
    '--http-bind: must be host:port such as 0.0.0.0:9464 or [::]:9464; got "0.0.0.0:65536"',
  ],
  [['--log-level', 'loud'], '--log-level: must be one of trace, debug, info, warn, error, fatal, silent; got "loud"'],
  [['--log-format', 'xml'], '--log-format: must be one of json, pretty; got "xml"'],
  [['run', '--output', 'json'], '--output: must go with sweep or plan; the daemon logs; got "json"'],
  [['--redis-url', `http://me:${SECRET}@host`], '--redis-url: must begin with redis://, rediss:// or unix://'],
  [['--redis-url', 'localhost:6379'], '--redis-url: must begin with redis://, rediss:// or unix://'],
  [
    ['--redis-url', `redis://:${SECRET}@host/first`],
    '--redis-url: must name its database as a whole number, as in redis://host/1',
  ],
  [
    ['--redis-url', `redis://me:${SECRET}@host:port/x`],
    '--redis-url: must be redis://[user:password@]host[:port][/database]',
  ],
  [['--redis-url', 'redis://host:0'], '--redis-url: must be redis://[user:password@]host[:port][/database]'],
  [['--redis-url', 'redis://me@host'], `--redis-url: ${USER}`],
  [['--redis-username', ''], '--redis-username: must not be empty'],
  [['--redis-username', 'me'], `--redis-username: ${USER}`],
  [['--redis-url', `redis://me:${SECRET}%@host`], '--redis-url: must percent-encode its user, password and path'],
  [['--redis-url', `redis://host?password=${SECRET}`], '--redis-url: must not carry a query or a fragment'],
  [['--redis-url', 'unix://run/redis.sock'], '--redis-url: must be unix:///absolute/path[?db=n]'],
  [['--redis-url', 'unix:///%zz'], '--redis-url: must percent-encode its user, password and path'],
  [
    ['--redis-url', `unix:///redis.sock?auth=${SECRET}`],
    '--redis-url: must carry no parameter but db, as in unix:///path?db=1',
  ],
  [['--redis-password', SECRET], '--redis-password: is no flag of xtrimd; did you mean --redis-password-file?'],
  [[`--redis-password=${SECRET}`], '--redis-password: is no flag of xtrimd; did you mean --redis-password-file?'],
  [['--token', SECRET], '--token: is no flag of xtrimd'],
  [[`--token=${SECRET}`], '--token: is no flag of xtrimd'],
  [[`-p${SECRET}`], '-p: is no flag of xtrimd'],
  [['-a', SECRET], '-a: is no flag of xtrimd'],
  [[`redis://:${SECRET}@host`], 'command: must be run or sweep or plan'],
  [
    ['--redis-password-file', '/nowhere/at/all'],
    '--redis-password-file: must be a file that can be read (ENOENT); got "/nowhere/at/all"',
  ],
  [['--redis-password-file', '/'], '--redis-password-file: must be a file that can be read (EISDIR); got "/"'],
  [['--tls-ca', '/', '--redis-url', 'rediss://host'], '--tls-ca: must be a file that can be read (EISDIR); got "/"'],
]

test('each bad input has its own complaint of one line: the flag, the rule, the value, and no secret', () => {
  for (const [args, line] of BAD) {
    assert.deepEqual(problemsOf(args), [line], args.join(' '))
    assert.doesNotMatch(line, new RegExp(SECRET))
  }
})

test('all problems are told at once, on stderr alone, with exit code 2', async () => {
  // Flags that do not contradict one another, so that each has one line; the first of each is the one that counts.
  const several: (readonly [readonly string[], string])[] = [
    [['--max-age', '24'], `--max-age: ${DURATION}, or off; got "24"`],
    [['--max-length', '1e3'], `--max-length: ${COUNT}; got "1e3"`],
    [['--cron', '61 * * * *'], '--cron: must be a cron pattern (Invalid value for minute: 61); got "61 * * * *"'],
    [['--timezone', 'Mars'], '--timezone: must be a time zone such as UTC or Europe/Berlin; got "Mars"'],
    [['--http-bind', 'x'], '--http-bind: must be host:port such as 0.0.0.0:9464 or [::]:9464; got "x"'],
    [
      ['--redis-url', `redis://me:${SECRET}@host/x`],
      '--redis-url: must name its database as a whole number, as in redis://host/1',
    ],
    [['--frobnicate', SECRET], '--frobnicate: is no flag of xtrimd'],
  ]
  const ended = await runXtrimd(['run', ...several.flatMap(([args]) => args)], { env: { XTRIMD_PACE: '0' } })
  assert.deepEqual([ended.code, ended.stdout], [2, ''])
  const pace = '--pace (from XTRIMD_PACE): must be a whole number from 1 to 100, in plain digits; got "0"'
  const lines = ended.stderr.trimEnd().split('\n')
  assert.deepEqual(
    lines.slice(0, -1).sort(),
    [...several.map(([, line]) => line), pace].map((line) => `xtrimd: ${line}`).sort(),
  )
  assert.equal(lines.at(-1), 'xtrimd --help tells all flags')
  assert.doesNotMatch(ended.stderr, new RegExp(SECRET))
})

test('a bad input ends the sweep and the plan with exit code 2 as well, before anything is asked of Redis', async () => {
  for (const command of ['sweep', 'plan']) {
    const ended = await runXtrimd([
      command,
      '--output',
      'json',
      '--max-age',
      '24',
      '--redis-url',
      'redis://127.0.0.1:1',
    ])
    assert.deepEqual([ended.code, ended.stdout], [2, ''])
    assert.match(ended.stderr, /^xtrimd: --max-age: /)
  }
})

test('an address that cannot be listened on is a bad input: in use, or not of this machine', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.after(() => taken.close())
  const { port } = taken.address() as { port: number }
  for (const { bind, rule } of [
    { bind: '[fe80::1]:9464', rule: 'must be an address that can be listened on (EINVAL)' },
    { bind: `127.0.0.1:${port}`, rule: 'must be an address that is free (EADDRINUSE)' },
    { bind: '192.0.2.1:9464', rule: 'must be an address of this machine (EADDRNOTAVAIL)' },
  ]) {
    const ended = await runXtrimd(['run', '--log-level', 'silent', '--http-bind', bind])
    assert.deepEqual([ended.code, ended.stdout], [2, ''])
    assert.equal(ended.stderr, `xtrimd: --http-bind: ${rule}; got "${bind}"\nxtrimd --help tells all flags\n`)
  }
  const env = { XTRIMD_HTTP_BIND: `127.0.0.1:${port}` }
  const { stderr } = await runXtrimd(['run', '--log-level', 'silent'], { env })
  assert.match(stderr, /^xtrimd: --http-bind \(from XTRIMD_HTTP_BIND\): must be an address that is free /)
})

test('no secret is told, wherever it comes from and whatever else is wrong', () => {
  for (const variable of ['REDIS_URL', 'XTRIMD_REDIS_URL']) {
    for (const url of [
      `http://me:${SECRET}@host`,
      `redis://me:${SECRET}@host:port/x`,
      `redis://${SECRET}:@host`,
      SECRET,
    ]) {
      const lines = problemsOf([], { [variable]: url })
      assert.equal(lines.length, 1)
      assert.match(lines[0] ?? '', new RegExp(`^--redis-url \\(from ${variable}\\): must `))
      assert.doesNotMatch(lines[0] ?? '', new RegExp(SECRET))
    }
  }
  const lines = problemsOf(['--redis-password-file', '/', '--pace', '0'], { XTRIMD_REDIS_PASSWORD: SECRET })
  assert.ok(lines.includes('--redis-password-file: must not be given together with XTRIMD_REDIS_PASSWORD; got "/"'))
  assert.doesNotMatch(lines.join('\n'), new RegExp(SECRET))
})

test('a flag beats its variable, and a variable its default', () => {
  assert.equal(configOf([]).policies[0]?.maxLength, 1000)
  assert.equal(configOf([], { XTRIMD_MAX_LENGTH: '5' }).policies[0]?.maxLength, 5)
  assert.equal(configOf(['--max-length', '7'], { XTRIMD_MAX_LENGTH: '5' }).policies[0]?.maxLength, 7)
  // Nor is a variable that does not count looked at.
  assert.equal(configOf(['--max-length', '7'], { XTRIMD_MAX_LENGTH: 'x' }).policies[0]?.maxLength, 7)
})

test('pressure is a share of maxmemory, with or without its sign, or a size', () => {
  for (const [text, threshold] of [
    ['80%', { share: 0.8 }],
    ['80', { share: 0.8 }],
    ['2gb', { bytes: 2 * 1024 ** 3 }],
  ] as const) {
    const { pressure } = configOf(['--pressure', text])
    assert.deepEqual(pressure, { threshold, maxLength: Number.POSITIVE_INFINITY, intervalMs: 10_000 })
  }
  assert.equal(configOf(['--pressure', 'off', '--pressure-max-length', '5']).pressure, null)
  assert.deepEqual(configOf(['--watch', '--watch-every', '7']).watch, { every: 7, configure: false })
})

test('a page is small unless the pace is full', () => {
  assert.equal(configOf([]).pageSize, 400)
  assert.equal(configOf(['--pace', '100']).pageSize, 2000)
  assert.equal(configOf(['--pace', '100', '--page-size', '7']).pageSize, 7)
})

test('an empty variable counts as unset, for every flag', () => {
  const empty = Object.fromEntries(Object.keys(flags).map((name) => [variableOf(name), '']))
  const comparable = (config: Config) => JSON.stringify(config)
  assert.equal(
    comparable(configOf([], { ...empty, XTRIMD_REDIS_PASSWORD: '', REDIS_URL: '' })),
    comparable(configOf([])),
  )
})

test('a switch takes true and false in both forms, and means true where nothing stands behind it', () => {
  const switches = Object.keys(flags).filter((name) => flags[name as FlagName].isSwitch)
  assert.ok(switches.length >= 3)
  const runOnStart = (args: readonly string[], env: Environment = {}) => configOf(args, env).runOnStart
  assert.equal(runOnStart([]), true)
  assert.equal(runOnStart([], { XTRIMD_RUN_ON_START: 'false' }), false)
  assert.equal(runOnStart([], { XTRIMD_RUN_ON_START: 'true' }), true)
  assert.equal(runOnStart(['--run-on-start=false']), false)
  assert.equal(runOnStart(['--run-on-start', 'false']), false)
  assert.equal(runOnStart(['--run-on-start'], { XTRIMD_RUN_ON_START: 'false' }), true)
  assert.equal(runOnStart(['--run-on-start', '--dry-run'], { XTRIMD_RUN_ON_START: 'false' }), true)

  const dryRun = (args: readonly string[], env: Environment = {}) => configOf(args, env).dryRun
  assert.equal(dryRun([]), false)
  assert.equal(dryRun(['--dry-run']), true)
  assert.equal(dryRun(['--dry-run', 'false']), false)
  assert.equal(dryRun([], { XTRIMD_DRY_RUN: 'false' }), false)
  // The name of a command behind it is the command.
  const config = configOf(['--dry-run', 'sweep'])
  assert.deepEqual([config.dryRun, config.command], [true, 'sweep'])
})

test('flags stand before the command or behind it, with a space or an equals sign, the last of two counting', () => {
  for (const args of [
    ['sweep', '--max-length', '7'],
    ['--max-length', '7', 'sweep'],
    ['--max-length=7', 'sweep'],
    ['sweep', '--max-length', '5', '--max-length', '7'],
    ['--', 'sweep', '--max-length', '7'],
  ]) {
    const config = configOf(args)
    assert.deepEqual([config.command, config.policies[0]?.maxLength], ['sweep', 7])
  }
  assert.equal(configOf([]).command, 'run')
})

test('a variable that looks like ours and is none is warned of, but for those Kubernetes sets itself', async () => {
  const { warnings } = configOf([], {
    XTRIMD_MAX_AGGE: '1h',
    XTRIMD_COLOUR: 'green',
    XTRIMD_REDIS_PASSWORD: SECRET,
    XTRIMD_SERVICE_HOST: '10.0.0.1',
    XTRIMD_PORT_9464_TCP_ADDR: '10.0.0.1',
    OTHER_MAX_AGE: 'x',
  })
  assert.deepEqual(warnings, [
    'XTRIMD_MAX_AGGE is no variable of xtrimd and has no effect; did you mean XTRIMD_MAX_AGE?',
    'XTRIMD_COLOUR is no variable of xtrimd and has no effect',
  ])
  const args = ['sweep', '--redis-url', 'redis://127.0.0.1:1', '--log-format', 'json']
  const ended = await runXtrimd(args, { env: { XTRIMD_MAX_AGGE: SECRET } })
  const line = JSON.parse(ended.stderr.split('\n')[0] ?? '') as Record<string, unknown>
  assert.deepEqual([line.level, line.warning], ['warn', warnings[0]])
  assert.doesNotMatch(ended.stderr, new RegExp(SECRET))
})

test('REDIS_URL is read where nothing else is given', () => {
  const address = (args: readonly string[], env: Environment) => configOf(args, env).redis.topology.addresses
  const platform = { REDIS_URL: 'redis://platform:1' }
  assert.deepEqual(address([], {}), [{ host: '127.0.0.1', port: 6379 }])
  assert.deepEqual(address([], platform), [{ host: 'platform', port: 1 }])
  assert.deepEqual(address([], { ...platform, XTRIMD_REDIS_URL: 'redis://own' }), [{ host: 'own', port: 6379 }])
  assert.deepEqual(address(['--redis-url', 'redis://[::1]:2'], platform), [{ host: '::1', port: 2 }])
  assert.deepEqual(address(['--redis-url', 'unix:///run/redis.sock?db=3'], platform), [{ path: '/run/redis.sock' }])
  assert.equal(configOf(['--redis-url', 'unix:///run/redis.sock?db=3']).redis.reach.database, 3)
  assert.equal(configOf(['--redis-url', 'redis://host/15']).redis.reach.database, 15)
})

test('user and password come from the URL, and flags and variables before it', () => {
  const credentials = (args: readonly string[], env: Environment = {}) => configOf(args, env).redis.reach.credentials()
  const url = ['--redis-url', 'redis://me:pa%2Fss@host']
  assert.deepEqual(credentials(url), { username: 'me', password: 'pa/ss' })
  assert.deepEqual(credentials([...url, '--redis-username', 'you']), { username: 'you', password: 'pa/ss' })
  assert.deepEqual(credentials(url, { XTRIMD_REDIS_PASSWORD: 'variable' }), { username: 'me', password: 'variable' })
  assert.deepEqual(credentials([], { XTRIMD_REDIS_PASSWORD: 'variable' }), { username: null, password: 'variable' })
})

test('the password file gives its first line, and is read again whenever it is asked', (t) => {
  const file = passwordFile(t, 'first\r\nsecond\n')
  const { credentials } = configOf(['--redis-password-file', file]).redis.reach
  assert.equal(credentials().password, 'first')
  writeFileSync(file, ' rotated ')
  assert.equal(credentials().password, ' rotated ')
  rmSync(file)
  assert.throws(credentials, {
    name: 'Fault',
    code: 'connect',
    message: '--redis-password-file: must be a file that can be read (ENOENT)',
  })
})

test('a password file without a password is refused', (t) => {
  const file = passwordFile(t, '\nbehind an empty line\n')
  assert.deepEqual(problemsOf(['--redis-password-file', file]), [
    `--redis-password-file: must be a file with the password in its first line; got ${JSON.stringify(file)}`,
  ])
})

function passwordFile(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-config-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'password')
  writeFileSync(file, text)
  return file
}

test('a policy takes what it does not name from the plain flags, and the plain flags come last', () => {
  const { policies } = configOf([
    ...['--max-age', '2h', '--trim', 'exact', '--match', 'chat:*'],
    ...['--policy', 'stream:fanout:*,max-length=100000,max-age=1h'],
    ...['--policy', 'vip:*,name=vip,trim=approx,max-length=off,delete-empty'],
  ])
  assert.deepEqual(
    policies.map(({ name, match, maxAgeMs, maxLength, trim, deleteEmpty }) => [
      ...[name, match, maxAgeMs / 3_600_000],
      ...[maxLength, trim, deleteEmpty],
    ]),
    [
      ['stream:fanout:*', 'stream:fanout:*', 1, 100_000, 'exact', false],
      ['vip', 'vip:*', 2, Number.POSITIVE_INFINITY, 'approx', true],
      ['chat:*', 'chat:*', 2, 1000, 'exact', false],
    ],
  )
})

test('a policy for the pattern of --match takes the place of the plain flags', () => {
  const { policies } = configOf(['--policy', 'stream:conversation:*,name=chat,max-length=5'])
  assert.deepEqual(
    policies.map(({ name, maxLength }) => [name, maxLength]),
    [['chat', 5]],
  )
})

test('a comma of the glob is escaped, and every other backslash is the glob’s own', () => {
  const { policies } = configOf(['--policy', 'a\\,b[\\]]\\*,name=x'])
  assert.equal(policies[0]?.match, 'a,b[\\]]\\*')
  assert.ok(policies[0]?.matches(Buffer.from('a,b]*')))
  assert.ok(!policies[0]?.matches(Buffer.from('a,b]x')))
})

test('the variable of --policy holds one policy a line', () => {
  // As files have it whose lines are indented, and end as on another system.
  const env = { XTRIMD_POLICY: 'a:*,max-length=1\n\n  b:*,max-length=2\r\n' }
  assert.deepEqual(
    configOf([], env).policies.map(({ match, maxLength }) => [match, maxLength]),
    [
      ['a:*', 1],
      ['b:*', 2],
      ['stream:conversation:*', 1000],
    ],
  )
  assert.equal(configOf(['--policy', 'c:*'], env).policies.length, 2)
  const bad = 'a:*,max-length=x\nb:*,max-age=1'
  assert.deepEqual(problemsOf([], { XTRIMD_POLICY: bad }), [
    `--policy (from XTRIMD_POLICY): holds a max-length at character 5 that ${COUNT}; got "a:*,max-length=x"`,
    `--policy (from XTRIMD_POLICY): holds a max-age at character 5 that ${DURATION}, or off; got "b:*,max-age=1"`,
  ])
})

test('each bad policy has its own complaint, with the place in it', () => {
  const NAMES =
    'name and max-length, max-age, max-bytes, trim, protect, hard-max-length, hard-max-age, stale-group-after, delete-empty'
  const OWN_NAME = 'must have a name of its own: metrics tell policies apart by it'
  for (const [specs, line] of [
    [[''], 'must begin with a glob; got ""'],
    [[',max-age=1h'], 'must begin with a glob; got ",max-age=1h"'],
    [
      ['a,max-agee=1h'],
      `must hold only ${NAMES} behind its glob; "max-agee" at character 3 is none of them; got "a,max-agee=1h"`,
    ],
    [['a,'], `must hold only ${NAMES} behind its glob; "" at character 3 is none of them; got "a,"`],
    [
      ['a,__proto__=1'],
      `must hold only ${NAMES} behind its glob; "__proto__" at character 3 is none of them; got "a,__proto__=1"`,
    ],
    [['a,max-age'], 'must give "max-age" at character 3 a value, as in max-age=…; got "a,max-age"'],
    [['a,name'], 'must give "name" at character 3 a value, as in name=…; got "a,name"'],
    [
      ['a,max-age=1h,max-age=2h'],
      'must hold each limit once; "max-age" at character 14 is there again; got "a,max-age=1h,max-age=2h"',
    ],
    [['a,name=x,name=y'], 'must hold each limit once; "name" at character 10 is there again; got "a,name=x,name=y"'],
    [['a\\,b,max-age=24'], `holds a max-age at character 6 that ${DURATION}, or off; got "a\\\\,b,max-age=24"`],
    [
      ['a,name=my chat'],
      'must be named with 1 to 64 letters, digits or any of _ . : - ; the name at character 3 is not; got "a,name=my chat"',
    ],
    [['a', 'a'], `${OWN_NAME}; got "a"`],
    [['a,name=x', 'b,name=x'], `${OWN_NAME}; got "b,name=x"`],
    [
      ['a,max-age=off,max-length=off'],
      'max-length must not be off where max-age and max-bytes are off too: nothing would ever be trimmed; got "a,max-age=off,max-length=off"',
    ],
    [['a,hard-max-length=10'], 'hard-max-length must not be below max-length (1000); got "a,hard-max-length=10"'],
  ] as const) {
    const args = specs.flatMap((spec) => ['--policy', spec])
    assert.deepEqual(problemsOf(args), [`--policy: ${line}`], args.join(' '))
  }
})

test('a limit that contradicts another names the variable it came from, and a bad policy hides none behind it', () => {
  assert.deepEqual(problemsOf([], { XTRIMD_HARD_MAX_LENGTH: '999' }), [
    '--hard-max-length (from XTRIMD_HARD_MAX_LENGTH): must not be below max-length (1000); got "999"',
  ])
  assert.deepEqual(problemsOf([], { XTRIMD_MATCH: 'chat', XTRIMD_POLICY: 'a,name=chat' }), [
    '--policy (from XTRIMD_POLICY): must not be named like the pattern of --match; got "a,name=chat"',
  ])
  assert.deepEqual(problemsOf(['--policy', 'a', '--policy', ',max-age=1h', '--policy', 'b,hard-max-length=10']), [
    '--policy: must begin with a glob; got ",max-age=1h"',
    '--policy: hard-max-length must not be below max-length (1000); got "b,hard-max-length=10"',
  ])
})

test('a mistake in a policy is pointed at, in a long one too', () => {
  const pointerOf = (spec: string): string[] => {
    const configured = configure(['--policy', spec], {}, '0.0.0')
    return configured.kind === 'problems' ? (configured.lines[0]?.split('\n').slice(1) ?? []) : []
  }
  assert.deepEqual(pointerOf('a:*,max-agee=1h'), ['    a:*,max-agee=1h', '        ^'])
  assert.deepEqual(pointerOf('a:*,max-age=1h,max-age=2h'), ['    a:*,max-age=1h,max-age=2h', '                   ^'])
  assert.deepEqual(pointerOf('a:*,name=?'), ['    a:*,name=?', '        ^'])
  const [shown = '', caret = ''] = pointerOf(`${'long:'.repeat(20)}*,max-length=5,trim=no,max-age=1h`)
  assert.ok(shown.length <= 80 && shown.startsWith('    …'), shown)
  assert.equal(shown.slice(caret.indexOf('^')).startsWith('trim=no'), true)
  // The control: where nothing is known of the place, nothing is pointed at.
  assert.deepEqual(pointerOf(''), [])
})

test('where Redis is is told as a URL that leads there, without what may be secret in it', () => {
  const told = (url: string) => configOf(['--redis-url', url]).settings.find(({ flag }) => flag === 'redis-url')?.value
  for (const [url, without] of [
    [`rediss://me:${SECRET}@host/3`, 'rediss://host:6379/3'],
    [`redis://:${SECRET}@[::1]:7`, 'redis://[::1]:7'],
    [`unix://:${SECRET}@/run/my%20redis.sock?db=2`, 'unix:///run/my%20redis.sock?db=2'],
  ] as const) {
    assert.equal(told(url), without)
    const [given, again] = [url, without].map((one) => configOf(['--redis-url', one]).redis)
    assert.deepEqual(again?.topology, given?.topology)
    assert.deepEqual(
      [again?.reach.database, again?.reach.tls === null],
      [given?.reach.database, given?.reach.tls === null],
    )
  }
})

test('the configuration in effect tells of every value where it came from, and no secret', () => {
  const { settings } = configOf(['--max-age', '2h', '--policy', 'a:*,max-length=1', '--policy', 'b:*'], {
    XTRIMD_MAX_LENGTH: '5',
    XTRIMD_PACE: '',
    REDIS_URL: `redis://me:${SECRET}@host`,
  })
  const from = (flag: string) => settings.filter((one) => one.flag === flag).map(({ value, from }) => [value, from])
  assert.deepEqual(from('max-age'), [['2h', 'flag']])
  assert.deepEqual(from('max-length'), [['5', 'XTRIMD_MAX_LENGTH']])
  assert.deepEqual(from('pace'), [[flags.pace.default, 'default']])
  assert.deepEqual(from('redis-url'), [['redis://host:6379', 'REDIS_URL']])
  assert.deepEqual(from('redis-password'), [['given', 'URL']])
  assert.deepEqual(from('policy'), [
    ['a:*,max-length=1', 'flag'],
    ['b:*', 'flag'],
  ])
  assert.ok(!JSON.stringify(settings).includes(SECRET))
  const told = new Set(settings.map(({ flag }) => flag))
  for (const [name, flag] of Object.entries(flags)) if (flag.default !== null) assert.ok(told.has(name), name)
})

test('--help shows every flag with its variable, and --version the version, on stdout with exit code 0', async () => {
  const help = await runXtrimd(['--help'])
  assert.deepEqual([help.code, help.stderr], [0, ''])
  for (const name of Object.keys(flags)) {
    assert.ok(help.stdout.includes(`--${name} `) && help.stdout.includes(variableOf(name)), name)
  }
  for (const line of help.stdout.split('\n')) assert.ok(line.length <= 80, line)
  // Help is asked for by who has got something else wrong.
  const { kind } = configure(['sweep', '--help', '--max-age', 'x'], { XTRIMD_PACE: 'x' }, '0.0.0')
  assert.equal(kind, 'text')
})

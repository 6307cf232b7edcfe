/** Configuration from flags, variables and files, and how it is reported. */

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Config, configure } from '../../src/config/config.ts'
import { type FlagName, flags, variableOf } from '../../src/flags/flags.ts'
import { configOf, type Environment, problemsOf, SECRET } from '../harness/configured.ts'
import { temporaryFolder } from '../harness/files.ts'
import { runXtrimd, startDaemon } from '../harness/program.ts'

test('a flag beats its variable, and a variable its default', () => {
  assert.equal(configOf([]).policies[0]?.maxLength, 1000)
  assert.equal(configOf([], { XTRIMD_MAX_LENGTH: '5' }).policies[0]?.maxLength, 5)
  assert.equal(configOf(['--max-length', '7'], { XTRIMD_MAX_LENGTH: '5' }).policies[0]?.maxLength, 7)
  // A variable that does not count is not parsed.
  assert.equal(configOf(['--max-length', '7'], { XTRIMD_MAX_LENGTH: 'x' }).policies[0]?.maxLength, 7)
})

test('--pressure takes a percentage of maxmemory, with or without %, or a size', () => {
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

test('pages are small unless --pace is 100', () => {
  assert.equal(configOf([]).pageSize, 240)
  assert.equal(configOf(['--pace', '100']).pageSize, 2000)
  assert.equal(configOf(['--pace', '100', '--page-size', '7']).pageSize, 7)
})

test('the default pace is 10, and 25 with --watch', () => {
  assert.equal(configOf([]).pacePercent, 10)
  assert.equal(configOf(['--watch']).pacePercent, 25)
  assert.equal(configOf(['--watch', '--pace', '7']).pacePercent, 7)
  assert.equal(configOf(['--watch=false'], { XTRIMD_PACE: '8' }).pacePercent, 8)
})

test('an empty variable counts as unset, for every flag', () => {
  const empty = Object.fromEntries(Object.keys(flags).map((name) => [variableOf(name), '']))
  const comparable = (config: Config) => JSON.stringify(config)
  assert.equal(
    comparable(configOf([], { ...empty, XTRIMD_REDIS_PASSWORD: '', REDIS_URL: '' })),
    comparable(configOf([])),
  )
})

test('a switch takes true and false as flag and variable, and means true without a value', () => {
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
  // A command name after it is the command, not its value.
  const config = configOf(['--dry-run', 'sweep'])
  assert.deepEqual([config.dryRun, config.command], [true, 'sweep'])
})

test('flags go before or after the command, with a space or an equals sign; the last of two counts', () => {
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

test('an unknown XTRIMD_ variable causes a warning, except those that Kubernetes sets', async () => {
  const { warnings } = configOf([], {
    XTRIMD_MAX_AGGE: '1h',
    XTRIMD_COLOUR: 'green',
    XTRIMD_REDIS_PASSWORD: SECRET,
    XTRIMD_SERVICE_HOST: '10.0.0.1',
    XTRIMD_PORT_9464_TCP_ADDR: '10.0.0.1',
    OTHER_MAX_AGE: 'x',
  })
  assert.deepEqual(warnings, [
    'unknown variable XTRIMD_MAX_AGGE has no effect; did you mean XTRIMD_MAX_AGE?',
    'unknown variable XTRIMD_COLOUR has no effect',
  ])
  const args = ['sweep', '--redis-url', 'redis://127.0.0.1:1', '--log-format', 'json']
  const ended = await runXtrimd(args, { env: { XTRIMD_MAX_AGGE: SECRET } })
  const line = JSON.parse(ended.stderr.split('\n')[0] ?? '') as Record<string, unknown>
  assert.deepEqual([line.level, line.warning], ['warn', warnings[0]])
  assert.doesNotMatch(ended.stderr, new RegExp(SECRET))
})

test('REDIS_URL is read if no other URL is given', () => {
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

test('flags and variables for user and password beat the URL', () => {
  const credentials = (args: readonly string[], env: Environment = {}) => configOf(args, env).redis.reach.credentials()
  const url = ['--redis-url', 'redis://me:pa%2Fss@host']
  assert.deepEqual(credentials(url), { username: 'me', password: 'pa/ss' })
  assert.deepEqual(credentials([...url, '--redis-username', 'you']), { username: 'you', password: 'pa/ss' })
  assert.deepEqual(credentials(url, { XTRIMD_REDIS_PASSWORD: 'variable' }), { username: 'me', password: 'variable' })
  assert.deepEqual(credentials([], { XTRIMD_REDIS_PASSWORD: 'variable' }), { username: null, password: 'variable' })
})

test('the password is the first line of its file, which is read again every time', (t) => {
  const file = passwordFile(t, 'first\r\nsecond\n')
  const { credentials } = configOf(['--redis-password-file', file]).redis.reach
  assert.equal(credentials().password, 'first')
  writeFileSync(file, ' rotated ')
  assert.equal(credentials().password, ' rotated ')
  rmSync(file)
  assert.throws(credentials, {
    name: 'Fault',
    code: 'connect',
    message: '--redis-password-file: must be a readable file (ENOENT)',
  })
})

test('a password file without a password is refused', (t) => {
  const file = passwordFile(t, '\nbehind an empty line\n')
  assert.deepEqual(problemsOf(['--redis-password-file', file]), [
    `--redis-password-file must be a file whose first line is the password; got ${JSON.stringify(file)}`,
  ])
})

function passwordFile(t: TestContext, text: string): string {
  const folder = temporaryFolder(t, 'config')
  const file = join(folder, 'password')
  writeFileSync(file, text)
  return file
}

test('the address of Redis is reported as a URL without user and password', () => {
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

test('the configuration in effect says where every value came from, and holds no secret', () => {
  const { settings } = configOf(['--max-age', '2h', '--policy', 'a:*,max-length=1', '--policy', 'b:*'], {
    XTRIMD_MAX_LENGTH: '5',
    XTRIMD_PACE: '',
    REDIS_URL: `redis://me:${SECRET}@host`,
  })
  const from = (flag: string) => settings.filter((one) => one.flag === flag).map(({ value, from }) => [value, from])
  assert.deepEqual(from('max-age'), [['2h', 'flag']])
  assert.deepEqual(from('max-length'), [['5', 'XTRIMD_MAX_LENGTH']])
  assert.deepEqual(from('pace'), [['10', 'default']])
  assert.deepEqual(from('redis-url'), [['redis://host:6379', 'REDIS_URL']])
  assert.deepEqual(from('redis-password'), [['given', 'URL']])
  assert.deepEqual(from('policy'), [
    ['a:*,max-length=1', 'flag'],
    ['b:*', 'flag'],
  ])
  assert.ok(!JSON.stringify(settings).includes(SECRET))
  const told = new Set(settings.map(({ flag }) => flag))
  for (const [name, flag] of Object.entries(flags)) if (flag.default !== null) assert.ok(told.has(name), name)
  assert.deepEqual([from('page-size'), from('log-format')], [[['240', 'default']], [['json', 'default']]])
})

test('values that depend on other flags are reported as they take effect: page size by pace, pace by --watch, log format by terminal, no lease in a dry run', () => {
  const told = (args: readonly string[], isTerminal = false) => {
    const configured = configure(args, {}, '0.0.0', () => isTerminal)
    assert.equal(configured.kind, 'config')
    const { settings } = (configured as { config: Config }).config
    return (name: FlagName) => settings.filter(({ flag }) => flag === name).map(({ value, from }) => `${value} ${from}`)
  }
  assert.deepEqual(told(['--pace', '100'])('page-size'), ['2000 default'])
  assert.deepEqual(told(['--page-size', '7'])('page-size'), ['7 flag'])
  assert.deepEqual(told(['--watch'])('pace'), ['25 default'])
  assert.deepEqual(told([], true)('log-format'), ['pretty default'])
  assert.deepEqual(told(['--log-format', 'json'], true)('log-format'), ['json flag'])
  assert.deepEqual(told(['--dry-run'])('lease'), ['false --dry-run'])
  assert.deepEqual(told([])('lease'), ['true default'])
  assert.deepEqual(told(['--dry-run', '--lease=false'])('lease'), ['false flag'])
})

test('the daemon logs its configuration at start, with where each value came from', async (t) => {
  const args = ['--redis-url', `redis://:${SECRET}@127.0.0.1:1`, '--max-length', '7']
  const daemon = await startDaemon(t, args, { env: { XTRIMD_PACE: '50' } })
  const { settings } = (await daemon.waitForLog('starting')) as { settings?: Record<string, unknown> }
  assert.deepEqual(settings?.['max-length'], { value: '7', from: 'flag' })
  assert.deepEqual(settings?.pace, { value: '50', from: 'XTRIMD_PACE' })
  assert.deepEqual(settings?.['page-size'], { value: '240', from: 'default' })
  assert.deepEqual(settings?.['redis-password'], { value: 'given', from: 'URL' })
})

test('--help shows every flag in at most 120 lines of 80 columns, and --version the version, on stdout with exit code 0', async () => {
  const help = await runXtrimd(['--help'])
  assert.deepEqual([help.code, help.stderr], [0, ''])
  for (const name of Object.keys(flags)) {
    assert.match(help.stdout, new RegExp(`^  --${name} `, 'm'))
  }
  assert.match(help.stdout, /^Every flag has a variable: --max-age is XTRIMD_MAX_AGE\./m)
  // Three screens of 40 lines.
  const lines = help.stdout.split('\n')
  assert.ok(lines.length <= 120, `${lines.length} lines`)
  for (const line of lines) assert.ok(line.length <= 80, line)
  for (const args of [['-h'], ['help'], ['sweep', 'help']]) {
    assert.deepEqual(configure(args, {}, '0.0.0'), { kind: 'text', text: help.stdout }, args.join(' '))
  }
  for (const flag of ['-V', '--version']) {
    assert.deepEqual(configure([flag], {}, '0.0.0'), { kind: 'text', text: '0.0.0\n' })
  }
  // Help works in spite of other mistakes: they may be why somebody asks for it.
  const { kind } = configure(['sweep', '--help', '--max-age', 'x'], { XTRIMD_PACE: 'x' }, '0.0.0')
  assert.equal(kind, 'text')
})

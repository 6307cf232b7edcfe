/** Bad input: each has a complaint of its own, and is the end of it with exit code 2. */

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { COUNT, DURATION, problemsOf, SECRET } from './harness/configured.ts'
import { runXtrimd } from './harness/program.ts'

const FIELDS = 'must have five fields (minute hour day month weekday), or six with seconds in front'
const USER = 'must come with a password for its user: in the URL, by --redis-password-file or by XTRIMD_REDIS_PASSWORD'

const BAD: readonly [args: readonly string[], line: string][] = [
  [['--max-agee', '24h'], '--max-agee: is no flag of xtrimd; did you mean --max-age?'],
  [['--frobnicate'], '--frobnicate: is no flag of xtrimd'],
  [['-v'], '-v: is no flag of xtrimd'],
  [['sweeep'], 'command: must be run or sweep or plan; did you mean sweep?; got "sweeep"'],
  [['constructor'], 'command: must be run or sweep or plan; got "constructor"'],
  [['run', 'sweep'], 'command: must be one alone, and run stands before it; got "sweep"'],
  [['plan', 'stream:*'], 'command: must be one alone, and plan stands before it'],
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
  [['--no-run-on-start'], '--no-run-on-start: is no flag of xtrimd; did you mean --run-on-start=false?'],
  [['--no-lease'], '--no-lease: is no flag of xtrimd; did you mean --lease=false?'],
  [['--hepl'], '--hepl: is no flag of xtrimd; did you mean --help?'],
  [['--versoin'], '--versoin: is no flag of xtrimd; did you mean --version?'],
  [['--maxlen', '5'], '--maxlen: is no flag of xtrimd; did you mean --max-length?'],
  [['--url', `redis://:${SECRET}@host`], '--url: is no flag of xtrimd; did you mean --redis-url?'],
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
  [['--pressure', '80%', '--pressure-interval', '99ms'], '--pressure-interval: must be at least 100ms; got "99ms"'],
  [['--pressure-interval', '1s'], '--pressure-interval: must go with --pressure: alone it does nothing; got "1s"'],
  [['--pressure-max-length', '5'], '--pressure-max-length: must go with --pressure: alone it does nothing; got "5"'],
  [['--watch-every', '5'], '--watch-every: must go with --watch: alone it does nothing; got "5"'],
  [['--watch-configure'], '--watch-configure: must go with --watch: alone it does nothing; got "true"'],
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

test('an unknown flag takes one value, and hides nothing that stands behind it', () => {
  const unknown = '--max-agee: is no flag of xtrimd; did you mean --max-age?'
  const second = 'command: must be one alone, and plan stands before it; got "swep"'
  assert.deepEqual(problemsOf(['plan', '--max-agee', '1h', 'swep']), [unknown, second])
  assert.deepEqual(problemsOf(['plan', '--max-agee=1h', 'swep']), [unknown, second])
  assert.deepEqual(problemsOf(['plan', '-p', SECRET]), ['-p: is no flag of xtrimd'])
})

test('variables that look like ours and are none are told with the problems that they may be the cause of', () => {
  const env = { XTRIMD_REDIS_MODE: 'sentinel', XTRIMD_SENTINEL_MASTR: 'x' }
  assert.deepEqual(problemsOf([], env), [
    '--sentinel-master: must be given with --redis-mode sentinel',
    'XTRIMD_SENTINEL_MASTR is no variable of xtrimd and has no effect; did you mean XTRIMD_SENTINEL_MASTER?',
  ])
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

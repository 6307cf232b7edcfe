/** Bad input: each gets its own message, and the program exits with 2. */

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { COUNT, DURATION, problemsOf, SECRET } from '../harness/configured.ts'
import { runXtrimd } from '../harness/program.ts'

const FIELDS = 'must have five fields (minute hour day month weekday), or six with seconds first'
const USER = 'must come with a password for the user, in the URL, --redis-password-file or XTRIMD_REDIS_PASSWORD'

const BAD: readonly [args: readonly string[], line: string][] = [
  [['--max-agee', '24h'], 'unknown flag --max-agee; did you mean --max-age?'],
  [['--frobnicate'], 'unknown flag --frobnicate'],
  [['-v'], 'unknown flag -v'],
  [['sweeep'], 'unknown command "sweeep"; did you mean sweep?'],
  [
    ['constructor'],
    'unknown command "constructor"; must be one of run, sweep, plan, explain, top, archive ls, archive cat, archive restore, pause, resume',
  ],
  [['run', 'sweep'], 'unexpected argument "sweep" after run'],
  [['plan', 'stream:*'], 'unexpected argument after plan'],
  [['--max-age', '24'], `--max-age ${DURATION}, or off; got "24"`],
  [['--max-age', '5m garbage'], `--max-age ${DURATION}, or off; got "5m garbage"`],
  [['--max-age', '30m1h'], `--max-age ${DURATION}, or off; got "30m1h"`],
  [['--max-age', '1.5h'], `--max-age ${DURATION}, or off; got "1.5h"`],
  [['--max-age', ''], `--max-age ${DURATION}, or off; got ""`],
  [['--max-age', '0s'], '--max-age must be longer than 0, or off; got "0s"'],
  [['--max-age', '36501d'], '--max-age must be at most 36500d, or off; got "36501d"'],
  [['--max-age'], '--max-age must have a value, as in --max-age <duration|off>'],
  [['--max-length', '-1'], `--max-length ${COUNT}; got "-1"`],
  [['--max-length', '1e3'], `--max-length ${COUNT}; got "1e3"`],
  [['--max-length', '0'], `--max-length ${COUNT}; got "0"`],
  [['--max-length', '1_000'], `--max-length ${COUNT}; got "1_000"`],
  [['--max-length', '99999999999999999999'], `--max-length ${COUNT}; got "99999999999999999999"`],
  [['--max-bytes', '10MiB'], '--max-bytes must be a size such as 512kb, 64mb or 1gb, or off; got "10MiB"'],
  [['--max-bytes', '0kb'], '--max-bytes must be more than 0, or off; got "0kb"'],
  [
    ['--max-age', 'off', '--max-length', 'off'],
    '--max-length must not be off when max-age and max-bytes are off too; nothing would ever be trimmed; got "off"',
  ],
  [['--hard-max-length', '999'], '--hard-max-length must not be below max-length (1000); got "999"'],
  [['--hard-max-age', '23h'], '--hard-max-age must not be shorter than max-age (1d); got "23h"'],
  [
    ['--delete-empty', '--max-age', 'off'],
    '--delete-empty must be used with a max-age; it deletes only streams last written longer ago; got "true"',
  ],
  [
    ['--reap-groups', 'a*', '--stale-group-after', 'off'],
    '--reap-groups must be used with a stale-group-after; it destroys only groups that are dead by it; got "a*"',
  ],
  [['--trim', 'EXACT'], '--trim must be one of approx, exact; got "EXACT"'],
  [['--protect', 'all'], '--protect must be one of none, unread, unacked; got "all"'],
  [['--match', ''], '--match must not be empty; got ""'],
  [['--cron', '0 0 30 2 *'], '--cron must fire at some time; this pattern never does; got "0 0 30 2 *"'],
  [['--cron', '61 * * * *'], '--cron must be a valid cron pattern (Invalid value for minute: 61); got "61 * * * *"'],
  [['--cron', '* * * *'], `--cron ${FIELDS}; got "* * * *"`],
  [['--cron', '* * * * * * *'], `--cron ${FIELDS}; got "* * * * * * *"`],
  [['--cron', '@hourly'], `--cron ${FIELDS}; got "@hourly"`],
  [['--cron', '2030-01-01T00:00:00'], `--cron ${FIELDS}; got "2030-01-01T00:00:00"`],
  [['--timezone', 'Mars/Olympus'], '--timezone must be a time zone such as UTC or Europe/Berlin; got "Mars/Olympus"'],
  [['--run-on-start', 'no'], '--run-on-start must be one of true, false; got "no"'],
  [['--run-on-start=1'], '--run-on-start must be one of true, false; got "1"'],
  [['--dry-run=TRUE'], '--dry-run must be one of true, false; got "TRUE"'],
  [['--no-run-on-start'], 'unknown flag --no-run-on-start; did you mean --run-on-start=false?'],
  [['--no-lease'], 'unknown flag --no-lease; did you mean --lease=false?'],
  [['--hepl'], 'unknown flag --hepl; did you mean --help?'],
  [['--versoin'], 'unknown flag --versoin; did you mean --version?'],
  [['--maxlen', '5'], 'unknown flag --maxlen; did you mean --max-length?'],
  [['--url', `redis://:${SECRET}@host`], 'unknown flag --url; did you mean --redis-url?'],
  [['--sweep-timeout', '25d'], '--sweep-timeout must be at most 24d, or off; got "25d"'],
  [['--reply-timeout', 'off'], `--reply-timeout ${DURATION}; got "off"`],
  [['--pace', '101'], '--pace must be a whole number from 1 to 100, digits only; got "101"'],
  [['--page-size', '0'], '--page-size must be a whole number from 1 to 100000, digits only; got "0"'],
  [['--watch-every', '0'], '--watch-every must be a whole number of at least 1, digits only; got "0"'],
  [
    ['--watch', '--max-length', 'off'],
    '--watch must be used with a max-length or max-bytes in some policy; it enforces only those; got "true"',
  ],
  [['--pressure', '101%'], '--pressure must be a percentage from 1 to 100, such as 80%; got "101%"'],
  [['--pressure', '0'], '--pressure must be a percentage from 1 to 100, such as 80%; got "0"'],
  [['--pressure', '0gb'], '--pressure must be more than 0; got "0gb"'],
  [['--pressure', '2gib'], '--pressure must be a size such as 512kb, 64mb or 1gb; got "2gib"'],
  [['--pressure', '0.8'], '--pressure must be a percentage such as 80%, a size such as 2gb, or off; got "0.8"'],
  [['--pressure-interval', '10'], `--pressure-interval ${DURATION}; got "10"`],
  [['--pressure', '80%', '--pressure-interval', '99ms'], '--pressure-interval must be at least 100ms; got "99ms"'],
  [['--pressure-interval', '1s'], '--pressure-interval must be used with --pressure; it has no effect alone; got "1s"'],
  [
    ['--pressure-max-length', '5'],
    '--pressure-max-length must be used with --pressure; it has no effect alone; got "5"',
  ],
  [['--watch-every', '5'], '--watch-every must be used with --watch; it has no effect alone; got "5"'],
  [['--watch-configure'], '--watch-configure must be used with --watch; it has no effect alone; got "true"'],
  [
    ['--pressure-max-length', 'off'],
    '--pressure-max-length must be a whole number of at least 1, digits only; got "off"',
  ],
  [['--stream-metrics', '-1'], '--stream-metrics must be a whole number from 0 to 10000, digits only; got "-1"'],
  [['--http-bind', '9464'], '--http-bind must be host:port such as 0.0.0.0:9464 or [::]:9464; got "9464"'],
  [
    ['--http-bind', '0.0.0.0:65536'],
    '--http-bind must be host:port such as 0.0.0.0:9464 or [::]:9464; got "0.0.0.0:65536"',
  ],
  [['--log-level', 'loud'], '--log-level must be one of trace, debug, info, warn, error, fatal, silent; got "loud"'],
  [['--log-format', 'xml'], '--log-format must be one of json, pretty; got "xml"'],
  [
    ['run', '--output', 'json'],
    '--output must be used with sweep, plan, explain or top; the daemon writes a log; got "json"',
  ],
  [['--redis-url', `http://me:${SECRET}@host`], '--redis-url must start with redis://, rediss:// or unix://'],
  [['--redis-url', 'localhost:6379'], '--redis-url must start with redis://, rediss:// or unix://'],
  [
    ['--redis-url', `redis://:${SECRET}@host/first`],
    '--redis-url must name the database by number, as in redis://host/1',
  ],
  [
    ['--redis-url', `redis://me:${SECRET}@host:port/x`],
    '--redis-url must be redis://[user:password@]host[:port][/database]',
  ],
  [['--redis-url', 'redis://host:0'], '--redis-url must be redis://[user:password@]host[:port][/database]'],
  [['--redis-url', 'redis://me@host'], `--redis-url ${USER}`],
  [['--redis-username', ''], '--redis-username must not be empty'],
  [['--redis-username', 'me'], `--redis-username ${USER}`],
  [['--redis-url', `redis://me:${SECRET}%@host`], '--redis-url must have its user, password and path percent-encoded'],
  [['--redis-url', `redis://host?password=${SECRET}`], '--redis-url must not have a query (?…) or a fragment (#…)'],
  [['--redis-url', 'unix://run/redis.sock'], '--redis-url must be unix:///absolute/path[?db=n]'],
  [['--redis-url', 'unix:///%zz'], '--redis-url must have its user, password and path percent-encoded'],
  [
    ['--redis-url', `unix:///redis.sock?auth=${SECRET}`],
    '--redis-url must have only the parameter db, as in unix:///path?db=1',
  ],
  [['--redis-password', SECRET], 'unknown flag --redis-password; did you mean --redis-password-file?'],
  [[`--redis-password=${SECRET}`], 'unknown flag --redis-password; did you mean --redis-password-file?'],
  [['--token', SECRET], 'unknown flag --token'],
  [[`--token=${SECRET}`], 'unknown flag --token'],
  [[`-p${SECRET}`], 'unknown flag -p'],
  [['-a', SECRET], 'unknown flag -a'],
  [
    [`redis://:${SECRET}@host`],
    'unknown command; must be one of run, sweep, plan, explain, top, archive ls, archive cat, archive restore, pause, resume',
  ],
  [
    ['--redis-password-file', '/nowhere/at/all'],
    '--redis-password-file must be a readable file (ENOENT); got "/nowhere/at/all"',
  ],
  [['--redis-password-file', '/'], '--redis-password-file must be a readable file (EISDIR); got "/"'],
  [['--tls-ca', '/', '--redis-url', 'rediss://host'], '--tls-ca must be a readable file (EISDIR); got "/"'],
]

test('each bad input gets its own line with the flag, the rule and the value, and without secrets', () => {
  for (const [args, line] of BAD) {
    assert.deepEqual(problemsOf(args), [line], args.join(' '))
    assert.doesNotMatch(line, new RegExp(SECRET))
  }
})

test('an unknown flag may have one value, and hides no problem after it', () => {
  const unknown = 'unknown flag --max-agee; did you mean --max-age?'
  const second = 'unexpected argument "swep" after plan'
  assert.deepEqual(problemsOf(['plan', '--max-agee', '1h', 'swep']), [unknown, second])
  assert.deepEqual(problemsOf(['plan', '--max-agee=1h', 'swep']), [unknown, second])
  assert.deepEqual(problemsOf(['plan', '-p', SECRET]), ['unknown flag -p'])
})

test('unknown XTRIMD_ variables are listed after the problems, which they may explain', () => {
  const env = { XTRIMD_REDIS_MODE: 'sentinel', XTRIMD_SENTINEL_MASTR: 'x' }
  assert.deepEqual(problemsOf([], env), [
    '--sentinel-master must be given when --redis-mode is sentinel',
    'unknown variable XTRIMD_SENTINEL_MASTR has no effect; did you mean XTRIMD_SENTINEL_MASTER?',
  ])
})

test('all problems are printed at once, only on stderr, with exit code 2', async () => {
  // These flags do not conflict, so each gives one line.
  const several: (readonly [readonly string[], string])[] = [
    [['--max-age', '24'], `--max-age ${DURATION}, or off; got "24"`],
    [['--max-length', '1e3'], `--max-length ${COUNT}; got "1e3"`],
    [['--cron', '61 * * * *'], '--cron must be a valid cron pattern (Invalid value for minute: 61); got "61 * * * *"'],
    [['--timezone', 'Mars'], '--timezone must be a time zone such as UTC or Europe/Berlin; got "Mars"'],
    [['--http-bind', 'x'], '--http-bind must be host:port such as 0.0.0.0:9464 or [::]:9464; got "x"'],
    [
      ['--redis-url', `redis://me:${SECRET}@host/x`],
      '--redis-url must name the database by number, as in redis://host/1',
    ],
    [['--frobnicate', SECRET], 'unknown flag --frobnicate'],
  ]
  const ended = await runXtrimd(['run', ...several.flatMap(([args]) => args)], { env: { XTRIMD_PACE: '0' } })
  assert.deepEqual([ended.code, ended.stdout], [2, ''])
  const pace = '--pace (from XTRIMD_PACE) must be a whole number from 1 to 100, digits only; got "0"'
  const lines = ended.stderr.trimEnd().split('\n')
  assert.deepEqual(
    lines.slice(0, -1).sort(),
    [...several.map(([, line]) => line), pace].map((line) => `xtrimd: ${line}`).sort(),
  )
  assert.equal(lines.at(-1), 'see xtrimd --help for all flags')
  assert.doesNotMatch(ended.stderr, new RegExp(SECRET))
})

test('sweep and plan also exit with 2 for bad input, before they connect to Redis', async () => {
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
    assert.match(ended.stderr, /^xtrimd: --max-age must /)
  }
})

test('an address that cannot be listened on is bad input: in use, or not of this machine', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.after(() => taken.close())
  const { port } = taken.address() as { port: number }
  for (const { bind, rule } of [
    { bind: '[fe80::1]:9464', rule: 'must be an address that the system can listen on (EINVAL)' },
    { bind: `127.0.0.1:${port}`, rule: 'must be an address that is not in use (EADDRINUSE)' },
    { bind: '192.0.2.1:9464', rule: 'must be an address of this machine (EADDRNOTAVAIL)' },
  ]) {
    const ended = await runXtrimd(['run', '--log-level', 'silent', '--http-bind', bind])
    assert.deepEqual([ended.code, ended.stdout], [2, ''])
    assert.equal(ended.stderr, `xtrimd: --http-bind ${rule}; got "${bind}"\nsee xtrimd --help for all flags\n`)
  }
  const env = { XTRIMD_HTTP_BIND: `127.0.0.1:${port}` }
  const { stderr } = await runXtrimd(['run', '--log-level', 'silent'], { env })
  assert.match(stderr, /^xtrimd: --http-bind \(from XTRIMD_HTTP_BIND\) must be an address that is not in use /)
})

test('no message holds a secret, wherever it comes from and whatever else is wrong', () => {
  for (const variable of ['REDIS_URL', 'XTRIMD_REDIS_URL']) {
    for (const url of [
      `http://me:${SECRET}@host`,
      `redis://me:${SECRET}@host:port/x`,
      `redis://${SECRET}:@host`,
      SECRET,
    ]) {
      const lines = problemsOf([], { [variable]: url })
      assert.equal(lines.length, 1)
      assert.match(lines[0] ?? '', new RegExp(`^--redis-url \\(from ${variable}\\) must `))
      assert.doesNotMatch(lines[0] ?? '', new RegExp(SECRET))
    }
  }
  const lines = problemsOf(['--redis-password-file', '/', '--pace', '0'], { XTRIMD_REDIS_PASSWORD: SECRET })
  assert.ok(lines.includes('--redis-password-file must not be given together with XTRIMD_REDIS_PASSWORD; got "/"'))
  assert.doesNotMatch(lines.join('\n'), new RegExp(SECRET))
})

/** `--policy`: its values, what it inherits, and what is refused. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configure } from '../../src/config/config.ts'
import { COUNT, configOf, DURATION, problemsOf } from '../harness/configured.ts'

test('a policy inherits what it does not name from the plain flags, which are the last policy', () => {
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

test('a policy for the pattern of --match replaces the plain flags', () => {
  const { policies } = configOf(['--policy', 'stream:conversation:*,name=chat,max-length=5'])
  assert.deepEqual(
    policies.map(({ name, maxLength }) => [name, maxLength]),
    [['chat', 5]],
  )
})

test('a comma in the glob is escaped, and any other backslash belongs to the glob', () => {
  const { policies } = configOf(['--policy', 'a\\,b[\\]]\\*,name=x'])
  assert.equal(policies[0]?.match, 'a,b[\\]]\\*')
  assert.ok(policies[0]?.matches(Buffer.from('a,b]*')))
  assert.ok(!policies[0]?.matches(Buffer.from('a,b]x')))
})

test('XTRIMD_POLICY holds one policy a line', () => {
  // A file may indent its lines and end them with CRLF.
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
    `--policy (from XTRIMD_POLICY): max-length at character 16 ${COUNT}; got "a:*,max-length=x"`,
    `--policy (from XTRIMD_POLICY): max-age at character 13 ${DURATION}, or off; got "b:*,max-age=1"`,
  ])
})

test('each bad policy gets its own message, with the place of the mistake', () => {
  const NAMES =
    'must be one of name, max-length, max-age, max-bytes, trim, protect, hard-max-length, hard-max-age, stale-group-after, acked-after, reap-consumers-after, reap-groups, reap-pending, delete-idle, delete-empty, archive'
  const OWN_NAME = 'must have a name of its own; metrics tell policies apart by name'
  for (const [specs, line] of [
    [[''], 'must start with a glob; got ""'],
    [[',max-age=1h'], 'must start with a glob; got ",max-age=1h"'],
    [['a,max-agee=1h'], `unknown limit "max-agee" at character 3 (did you mean max-age?); got "a,max-agee=1h"`],
    [['a,'], `unknown limit "" at character 3 (${NAMES}); got "a,"`],
    [['a,__proto__=1'], `unknown limit "__proto__" at character 3 (${NAMES}); got "a,__proto__=1"`],
    [['a,max-age'], 'must give "max-age" at character 3 a value, as in max-age=…; got "a,max-age"'],
    [['a,name'], 'must give "name" at character 3 a value, as in name=…; got "a,name"'],
    [
      ['a,max-age=1h,max-age=2h'],
      'must set each limit once; "max-age" is repeated at character 14; got "a,max-age=1h,max-age=2h"',
    ],
    [['a,name=x,name=y'], 'must set each limit once; "name" is repeated at character 10; got "a,name=x,name=y"'],
    [['a\\,b,max-age=24'], `max-age at character 14 ${DURATION}, or off; got "a\\\\,b,max-age=24"`],
    [['a,name=my chat'], 'name at character 8 must be 1 to 64 letters, digits or any of _ . : -; got "a,name=my chat"'],
    [['a', 'a'], `${OWN_NAME}; got "a"`],
    [['a,name=x', 'b,name=x'], `${OWN_NAME}; got "b,name=x"`],
    [
      ['a,max-age=off,max-length=off'],
      'max-length must not be off when max-age and max-bytes are off too; nothing would ever be trimmed; got "a,max-age=off,max-length=off"',
    ],
    [['a,hard-max-length=10'], 'hard-max-length must not be below max-length (1000); got "a,hard-max-length=10"'],
  ] as const) {
    const args = specs.flatMap((spec) => ['--policy', spec])
    assert.deepEqual(problemsOf(args), [`--policy${line.startsWith('must ') ? '' : ':'} ${line}`], args.join(' '))
  }
})

test('a policy without limits is accepted if it removes something else', () => {
  for (const settings of [
    'acked-after=0s',
    'delete-idle=30d',
    'reap-groups=a*',
    'reap-consumers-after=1d',
    'reap-pending=true',
  ])
    assert.deepEqual(problemsOf(['--policy', `a,max-age=off,max-length=off,${settings}`]), [], settings)
})

test('a conflict between limits names the variable it came from, and a bad policy hides no later one', () => {
  assert.deepEqual(problemsOf([], { XTRIMD_HARD_MAX_LENGTH: '999' }), [
    '--hard-max-length (from XTRIMD_HARD_MAX_LENGTH) must not be below max-length (1000); got "999"',
  ])
  assert.deepEqual(problemsOf([], { XTRIMD_MATCH: 'chat', XTRIMD_POLICY: 'a,name=chat' }), [
    '--policy (from XTRIMD_POLICY) must not have the pattern of --match as its name; got "a,name=chat"',
  ])
  assert.deepEqual(problemsOf(['--policy', 'a', '--policy', ',max-age=1h', '--policy', 'b,hard-max-length=10']), [
    '--policy must start with a glob; got ",max-age=1h"',
    '--policy: hard-max-length must not be below max-length (1000); got "b,hard-max-length=10"',
  ])
})

test('a caret points at the mistake in a policy, even in a long one', () => {
  const pointerOf = (...specs: string[]): string[] => {
    const configured = configure(
      specs.flatMap((spec) => ['--policy', spec]),
      {},
      '0.0.0',
    )
    return configured.kind === 'problems' ? (configured.lines[0]?.split('\n').slice(1) ?? []) : []
  }
  /** The text from the caret on. */
  const pointedAt = (...specs: string[]): string | undefined => {
    const [shown = '', caret = ''] = pointerOf(...specs)
    return caret === '' ? undefined : shown.slice(caret.indexOf('^'))
  }
  assert.deepEqual(pointerOf('a:*,max-agee=1h'), ['    a:*,max-agee=1h', '        ^'])
  for (const [specs, at] of [
    [['a:*,max-age=1h,max-age=2h'], 'max-age=2h'],
    [['a:*,max-age'], 'max-age'],
    [['a:*,name=?'], '?'],
    [['a:*,max-age=5,trim=exact'], '5,trim=exact'],
    [['a:*,delete-empty=maybe'], 'maybe'],
    [[',max-age=1h'], ',max-age=1h'],
    [['a', 'a,max-age=1h'], 'a,max-age=1h'],
    [['a,name=x', 'b,name=x'], 'x'],
    [['a,max-age=1h,name=stream:conversation:*', 'b'], 'stream:conversation:*'],
    [['a,trim=exact,hard-max-length=10'], '10'],
    [['a,trim=exact,max-age=off,max-length=off'], 'off'],
    [['a,max-age=off,delete-empty'], 'delete-empty'],
  ] as const) {
    assert.equal(pointedAt(...specs), at, specs.join(' '))
  }
  // If a limit conflicts with an inherited one, the caret points at the one that the policy names.
  const inherited = configure(['--hard-max-length', '5000', '--policy', 'a,max-length=6000'], {}, '0.0.0')
  const told = inherited.kind === 'problems' ? (inherited.lines[0] ?? '') : ''
  assert.match(told, /hard-max-length must not be below max-length \(6000\).*\n.*\n {17}\^$/)
  const [shown = '', caret = ''] = pointerOf(`${'long:'.repeat(20)}*,max-length=5,trim=no,max-age=1h`)
  assert.ok(shown.length <= 80 && shown.startsWith('    …'), shown)
  assert.equal(shown.slice(caret.indexOf('^')).startsWith('no,max-age'), true)
  // The control: an empty policy gets no caret.
  assert.deepEqual(pointerOf(''), [])
})

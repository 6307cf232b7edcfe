/** Policies as they are typed: what they take, what they inherit, and what is refused. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configure } from '../src/config/config.ts'
import { COUNT, configOf, DURATION, problemsOf } from './harness/configured.ts'

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
    `--policy (from XTRIMD_POLICY): holds a max-length at character 16 that ${COUNT}; got "a:*,max-length=x"`,
    `--policy (from XTRIMD_POLICY): holds a max-age at character 13 that ${DURATION}, or off; got "b:*,max-age=1"`,
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
      `must hold only ${NAMES} behind its glob; "max-agee" at character 3 is none of them; did you mean max-age?; got "a,max-agee=1h"`,
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
    [['a\\,b,max-age=24'], `holds a max-age at character 14 that ${DURATION}, or off; got "a\\\\,b,max-age=24"`],
    [
      ['a,name=my chat'],
      'must be named with 1 to 64 letters, digits or any of _ . : - ; the name at character 8 is not; got "a,name=my chat"',
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
  const pointerOf = (...specs: string[]): string[] => {
    const configured = configure(
      specs.flatMap((spec) => ['--policy', spec]),
      {},
      '0.0.0',
    )
    return configured.kind === 'problems' ? (configured.lines[0]?.split('\n').slice(1) ?? []) : []
  }
  /** What the caret points at, up to its end. */
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
  // Where it contradicts what it inherits, what it names itself is pointed at.
  const inherited = configure(['--hard-max-length', '5000', '--policy', 'a,max-length=6000'], {}, '0.0.0')
  const told = inherited.kind === 'problems' ? (inherited.lines[0] ?? '') : ''
  assert.match(told, /hard-max-length must not be below max-length \(6000\).*\n.*\n {17}\^$/)
  const [shown = '', caret = ''] = pointerOf(`${'long:'.repeat(20)}*,max-length=5,trim=no,max-age=1h`)
  assert.ok(shown.length <= 80 && shown.startsWith('    …'), shown)
  assert.equal(shown.slice(caret.indexOf('^')).startsWith('no,max-age'), true)
  // The control: where there is nothing, nothing is pointed at.
  assert.deepEqual(pointerOf(''), [])
})

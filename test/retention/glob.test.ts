/** Our glob equals Redis's: compared with a real Redis, on bytes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RESP_TYPES } from '@redis/client'
import { compileGlob, literalPrefix } from '../../src/retention/glob.ts'
import { type Limits, makePolicy, policyFor, scanPattern } from '../../src/retention/policy.ts'
import { startRedis } from '../harness/redis_server.ts'
import { Random } from '../harness/retention_model/random.ts'

const PATTERNS = 6_000
const KEYS = 400

/** A failure prints the seed; `GLOB_SEED=<seed>` repeats the same patterns and keys. */
const seed = Number(process.env.GLOB_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** Special characters, ordinary ones, and ones of several bytes. */
const PIECES = [
  '*',
  '**',
  '?',
  '[',
  ']',
  '[^',
  '^',
  '-',
  '\\',
  'a',
  'b',
  'c',
  'ab',
  'z',
  ':',
  '/',
  '{',
  'é',
  '日',
  '\n',
]
const BYTES = [...Buffer.from('abcz:/{[]^-*?\\\n'), 0x00, 0x7f, 0x80, 0xa9, 0xc3, 0xe9, 0xff]

function anyPattern(random: Random): string {
  if (random.chance(0.2)) return anySet(random) + (random.chance(0.5) ? '*' : '')
  return Array.from({ length: random.int(0, 7) }, () =>
    random.chance(0.15) ? anySet(random) : random.pick(PIECES),
  ).join('')
}

/** A set such as `[a-c]`, mostly closed, with ranges in either direction. */
function anySet(random: Random): string {
  const member = () => {
    const one = random.pick(['a', 'b', 'c', 'z', '\\]', '\\-', '^', '-', 'é', '*'])
    return random.chance(0.4) ? `${one}-${random.pick(['a', 'c', 'z', 'é', ']', '\\'])}` : one
  }
  const members = Array.from({ length: random.int(0, 3) }, member).join('')
  return `[${random.chance(0.3) ? '^' : ''}${members}${random.chance(0.85) ? ']' : ''}`
}

function anyKey(random: Random): Buffer {
  if (random.chance(0.3)) return Buffer.from(anyPattern(random))
  return Buffer.from(Array.from({ length: random.int(0, 6) }, () => random.pick(BYTES)))
}

test(`a glob matches the same keys as KEYS (GLOB_SEED=${seed})`, async (t) => {
  const redis = await startRedis(t)
  const random = new Random(seed)
  const keys = Array.from({ length: KEYS }, () => anyKey(random))
  await redis.command('MSET', ...keys.flatMap((key) => [key, 'x']))
  const distinct = [...new Map(keys.map((key) => [key.toString('latin1'), key])).values()]
  const client = redis.client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })

  const patterns = Array.from({ length: PATTERNS }, () => anyPattern(random))
  const answers = await Promise.all(patterns.map((pattern) => client.sendCommand(['KEYS', Buffer.from(pattern)])))
  let matches = 0
  patterns.forEach((pattern, i) => {
    const redisSays = (answers[i] as unknown as Buffer[]).map((key) => key.toString('latin1')).sort()
    const covers = compileGlob(pattern)
    const weSay = distinct
      .filter((key) => covers(key))
      .map((key) => key.toString('latin1'))
      .sort()
    assert.deepEqual(weSay, redisSays, `pattern ${JSON.stringify(pattern)}`)
    matches += weSay.length
  })
  // The control: patterns do match, about one key in ten.
  assert.ok(matches > PATTERNS && matches < (PATTERNS * distinct.length) / 2, `${matches} matches`)
})

test('a pattern that makes naive matchers exponential is matched at once', () => {
  const covers = compileGlob(`${'a*'.repeat(40)}b`)
  assert.equal(covers(Buffer.from('a'.repeat(5_000))), false)
  assert.equal(covers(Buffer.from(`${'a'.repeat(5_000)}b`)), true)
})

test('the literal prefix is everything before the first special character', () => {
  for (const [pattern, prefix] of [
    ['stream:conversation:*', 'stream:conversation:'],
    ['a?c', 'a'],
    ['a[bc]', 'a'],
    ['a\\*', 'a'],
    ['*', ''],
    ['exactly', 'exactly'],
    ['', ''],
  ] as const) {
    assert.equal(literalPrefix(pattern), prefix)
  }
})

test(`the pattern for SCAN matches every key of every policy (GLOB_SEED=${seed})`, () => {
  const random = new Random(seed)
  const limits: Limits = {
    ...{ maxAgeMs: 1, maxLength: 1, maxBytes: 1, hardMaxAgeMs: 1, hardMaxLength: 1, staleGroupAfterMs: 1 },
    ...{
      trim: 'approx',
      protect: 'none',
      ackedAfterMs: Number.POSITIVE_INFINITY,
      deleteIdleMs: Number.POSITIVE_INFINITY,
      reapConsumersAfterMs: Number.POSITIVE_INFINITY,
      reapGroups: null,
      reapPending: false,
      deleteEmpty: false,
    },
  }
  const keys = Array.from({ length: KEYS }, () => anyKey(random))
  let covered = 0
  for (let round = 0; round < 500; round++) {
    const patterns = Array.from({ length: random.int(1, 3) }, () => anyPattern(random))
    const policies = patterns.map((pattern, i) => makePolicy(String(i), pattern, limits))
    const scanned = compileGlob(scanPattern(policies))
    for (const key of keys) {
      const first = policyFor(policies, key)
      assert.equal(
        first,
        policies.findIndex(({ matches }) => matches(key)),
      )
      if (first < 0) continue
      covered++
      assert.ok(scanned(key), `${JSON.stringify(patterns)} cover ${key.toString('latin1')}`)
    }
  }
  assert.ok(covered > 500)
  assert.equal(scanPattern([makePolicy('a', 'stream:a:*', limits), makePolicy('b', 'stream:b', limits)]), 'stream:*')
  assert.equal(scanPattern([makePolicy('a', 'a[b]', limits)]), 'a[b]')
})

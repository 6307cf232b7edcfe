/** Parsing what people type, and formatting sizes, durations and keys for them. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nearest } from '../../src/text/nearest.ts'
import {
  BrokenRule,
  formatDuration,
  formatSize,
  oneOf,
  orOff,
  parseDuration,
  parseSize,
  parseSwitch,
  parseTimer,
  roundDuration,
  roundSize,
  wholeNumber,
} from '../../src/text/quantities.ts'
import { shown } from '../../src/text/shown.ts'
import { Random } from '../harness/retention_model/random.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Checks the value a parser returns for each text; `null` means it must refuse. */
function assertReads<T>(read: (text: string) => T, table: readonly (readonly [text: string, value: T | null])[]): void {
  for (const [text, value] of table) {
    if (value === null) assert.throws(() => read(text), BrokenRule, JSON.stringify(text))
    else assert.equal(read(text), value, JSON.stringify(text))
  }
}

test('a duration has each unit once, the largest first, and nothing else', () => {
  assertReads(parseDuration, [
    ['500ms', 500],
    ['90s', 90 * SECOND],
    ['15m', 15 * MINUTE],
    ['24h', DAY],
    ['7d', 7 * DAY],
    ['1h30m', 90 * MINUTE],
    ['1d2h3m4s5ms', DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND + 5],
    ['0d1s', SECOND],
    ['36500d', 36_500 * DAY],
    ...['', '24', '0', '0s', '5m garbage', ' 5m', '5m ', '5 m', '5M', '1.5h', '-5m', '+5m', '1e3s', '5min', '1w'].map(
      (text) => [text, null] as const,
    ),
    ...['30m1h', '1h1h', 'h', '36500d1ms', '99999999999999999999d', '٣h', '5m\n', 'off', 'infinity'].map(
      (text) => [text, null] as const,
    ),
  ])
})

test('a duration for a timer is at most what a timer can hold', () => {
  assertReads(parseTimer, [
    ['24d', 24 * DAY],
    ['24d1ms', null],
    ['0s', null],
  ])
  assert.ok(parseTimer('24d') < 2 ** 31)
})

test('a size has one unit in upper or lower case, a power of 1024, and nothing else', () => {
  assertReads(parseSize, [
    ['1b', 1],
    ['512kb', 512 * 1024],
    ['64mb', 64 * 1024 ** 2],
    ['1gb', 1024 ** 3],
    ['2TB', 2 * 1024 ** 4],
    ['8191tb', 8191 * 1024 ** 4],
    ...['', '512', '0kb', '10MiB', '10k', '1.5gb', '-1kb', '1 kb', 'kb', '1kb2kb', '8192tb', 'off'].map(
      (text) => [text, null] as const,
    ),
  ])
})

test('a whole number has digits only and is in range', () => {
  assertReads(wholeNumber(1), [
    ['1', 1],
    ['1000', 1000],
    ['9007199254740991', 2 ** 53 - 1],
    ...['0', '-1', '+1', '1e3', '1_000', '1.0', '01', ' 1', '0x10', '', '9007199254740992'].map(
      (text) => [text, null] as const,
    ),
  ])
  assertReads(wholeNumber(0, 100), [
    ['0', 0],
    ['100', 100],
    ['101', null],
  ])
})

test('a limit may be off, which is Infinity', () => {
  assertReads(orOff(wholeNumber(1)), [
    ['off', Number.POSITIVE_INFINITY],
    ['5', 5],
    ['OFF', null],
    ['false', null],
  ])
  const careless = orOff(() => {
    throw new TypeError('a bug')
  })
  assert.throws(() => careless('x'), TypeError)
})

test('a word must be in its set, and a switch must be true or false', () => {
  assertReads<string>(oneOf('approx', 'exact'), [
    ['approx', 'approx'],
    ['Approx', null],
    ['', null],
    ['app', null],
  ])
  assertReads(parseSwitch, [
    ['true', true],
    ['false', false],
    ...['1', '0', 'yes', 'TRUE', '', 'on'].map((text) => [text, null] as const),
  ])
})

test('a duration is written in the largest units and parses back to the same value', () => {
  for (const [ms, text] of [
    [500, '500ms'],
    [90 * SECOND, '1m30s'],
    [90 * MINUTE, '1h30m'],
    [DAY, '1d'],
    [0, '0s'],
    [Number.POSITIVE_INFINITY, 'off'],
  ] as const) {
    assert.equal(formatDuration(ms), text)
  }
  const random = new Random(1)
  for (let i = 0; i < 1_000; i++) {
    const ms = random.magnitude(1, 36_500 * DAY)
    assert.equal(parseDuration(formatDuration(ms)), ms)
  }
})

test('a size is written in the largest unit that divides it and parses back to the same value', () => {
  for (const [bytes, text] of [
    [1, '1b'],
    [1536, '1536b'],
    [1536 * 1024, '1536kb'],
    [64 * 1024 ** 2, '64mb'],
    [2 * 1024 ** 4, '2tb'],
    [Number.POSITIVE_INFINITY, 'off'],
  ] as const) {
    assert.equal(formatSize(bytes), text)
  }
  const random = new Random(1)
  for (let i = 0; i < 1_000; i++) {
    const bytes = random.magnitude(1, 2 ** 40)
    for (const size of [bytes, bytes * 1024]) assert.equal(parseSize(formatSize(size)), size)
  }
})

test('a measured size has three digits in the largest unit', () => {
  for (const [bytes, text] of [
    [0, '0b'],
    [1, '1b'],
    [1023, '1020b'],
    [1536, '1.5kb'],
    [64 * 1024 ** 2, '64mb'],
    [1024 ** 5, '1020tb'],
  ] as const) {
    assert.equal(roundSize(bytes), text)
  }
})

test('a key is shown as it is if printable, and escaped otherwise', () => {
  for (const [key, text] of [
    ['stream:conversation:1', 'stream:conversation:1'],
    ['日本 é "quoted" <b>', '日本 é "quoted" <b>'],
    ['a\\b', 'a\\\\b'],
    ['a\nb\tc\x00', 'a\\x0ab\\x09c\\x00'],
    ['\x7f\x85', '\\x7f\\xc2\\x85'],
    ['\u202ereversed\u2028', '\\xe2\\x80\\xaereversed\\xe2\\x80\\xa8'],
    ['\ufeffbom', '\\xef\\xbb\\xbfbom'],
    ['', ''],
  ] as const) {
    assert.equal(shown(Buffer.from(key)), text)
  }
  assert.equal(shown(Buffer.from([0xff, 0x41, 0x5c, 0xc3])), '\\xffA\\\\\\xc3')
})

test('a shown key is printable, and different keys are shown differently', () => {
  const random = new Random(2)
  const bytes = [0x00, 0x0a, 0x1b, 0x41, 0x5c, 0x78, 0x30, 0x7f, 0x80, 0xa9, 0xc3, 0xe2, 0xae, 0xff]
  for (let i = 0; i < 20_000; i++) {
    const key = Buffer.from(Array.from({ length: random.int(0, 8) }, () => random.pick(bytes)))
    const text = shown(key)
    assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Cs}\ufffd]/u)
    // The bytes can be recovered, so two keys never look alike.
    assert.deepEqual(unescaped(text), key)
  }
})

function unescaped(text: string): Buffer {
  const parts = text.match(/\\\\|\\x[0-9a-f]{2}|[^\\]/gu) ?? []
  return Buffer.concat(
    parts.map((part) => {
      if (part === '\\\\') return Buffer.from('\\')
      return part.startsWith('\\x') ? Buffer.from(part.slice(2), 'hex') : Buffer.from(part)
    }),
  )
}

test('a measured duration is in ms, seconds or larger units by its length', () => {
  for (const [ms, told] of [
    [0.4, '0 ms'],
    [180.2, '180 ms'],
    [1240, '1.2 s'],
    [12_300, '12s'],
    [3_723_000, '1h2m3s'],
  ] as const) {
    assert.equal(roundDuration(ms), told)
  }
})

test('the word meant is found from a misspelling, from its beginning, and from a part of it', () => {
  const known = ['max-length', 'max-age', 'redis-url', 'pace', 'help']
  for (const [typed, meant] of [
    ['max-agee', 'max-age'],
    ['max-lenght', 'max-length'],
    ['hepl', 'help'],
    ['pcae', 'pace'],
    ['MAX_AGE', 'max-age'],
    ['maxlen', 'max-length'],
    ['url', 'redis-url'],
    ['ur', null],
    ['', null],
    ['peace-treaty', null],
    ['colour', null],
  ] as const) {
    assert.equal(nearest(typed, known), meant, typed)
  }
})

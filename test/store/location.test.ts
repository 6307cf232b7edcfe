/** Where an archive may be. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatLocation, parseEndpoint, parseLocation } from '../../src/store/location.ts'
import { BrokenRule } from '../../src/text/quantities.ts'

test('an archive is a folder by its absolute path, or a bucket with or without a prefix', () => {
  for (const [text, location] of [
    ['file:///var/archive', { kind: 'file', folder: '/var/archive' }],
    ['file:///var/my archive%20', { kind: 'file', folder: '/var/my archive%20' }],
    ['s3://my-bucket', { kind: 's3', bucket: 'my-bucket', prefix: '' }],
    ['s3://my.bucket/chat/old', { kind: 's3', bucket: 'my.bucket', prefix: 'chat/old' }],
  ] as const) {
    assert.deepEqual(parseLocation(text), location)
    assert.equal(formatLocation(location), text)
  }
  assert.deepEqual(parseLocation('file:///var/archive/'), { kind: 'file', folder: '/var/archive' })
  assert.deepEqual(parseLocation('s3://my-bucket/chat/'), { kind: 's3', bucket: 'my-bucket', prefix: 'chat' })
})

test('anything else is refused', () => {
  for (const text of [
    ...[
      '',
      'on',
      '/var/archive',
      'http://x',
      'FILE:///x',
      's3:bucket',
      's3://',
      's3:///prefix',
      's3://ab',
      's3://Bucket',
    ],
    ...[
      'file://',
      'file:///',
      'file://host/x',
      'file://x',
      'file:///a/../b',
      'file:///a//b',
      'file:///a?b',
      'file:///a#b',
      'file:///a\nb',
    ],
    ...[
      's3://bucket//x',
      's3://bucket/../x',
      's3://key:secret@bucket',
      's3://key@bucket/x',
      's3://bucket/x?y',
      's3://bucket:9000/x',
    ],
  ])
    assert.throws(() => parseLocation(text), BrokenRule, text)
})

test('an endpoint is a URL without credentials', () => {
  assert.equal(parseEndpoint('http://127.0.0.1:9000'), 'http://127.0.0.1:9000')
  for (const text of [
    '',
    '127.0.0.1:9000',
    'ftp://x',
    'http://',
    'https://user:secret@host',
    'https://host?x',
    'https://host#x',
  ])
    assert.throws(() => parseEndpoint(text), BrokenRule, text)
})

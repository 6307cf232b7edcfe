/** What is remembered of groups has a bound, beyond which it still helps. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BoundedMemory, groupKey } from '../../src/remembered/bounded_memory.ts'

test('a memory that is too small for all keys, passed in the same order again and again, still finds most of what it holds', () => {
  const [most, keys] = [1_000, 2_000]
  const memory = new BoundedMemory<number>(most)
  let found = 0
  for (let sweep = 0; sweep < 10; sweep++) {
    found = 0
    for (let i = 0; i < keys; i++) {
      if (memory.get(`key-${i}`) === i) found++
      else memory.set(`key-${i}`, i)
    }
  }
  assert.ok(found > most * 0.75 && found <= most, `${found}`)
})

test('keys that no longer come make room for others in the end', () => {
  const memory = new BoundedMemory<number>(100)
  for (let i = 0; i < 100; i++) memory.set(`gone-${i}`, i)
  for (let sweep = 0; sweep < 200; sweep++) for (let i = 0; i < 100; i++) memory.set(`key-${i}`, i)
  const found = Array.from({ length: 100 }, (_, i) => memory.get(`key-${i}`)).filter((value) => value !== undefined)
  assert.ok(found.length > 80, `${found.length}`)
})

test('two groups never share a key, whatever bytes their names have', () => {
  const names = ['a', 'ab', 'b', '1:a', ':', ''].map((name) => Buffer.from(name))
  const keys = names.flatMap((stream) => names.map((group) => groupKey(stream, group)))
  assert.equal(new Set(keys).size, keys.length)
})

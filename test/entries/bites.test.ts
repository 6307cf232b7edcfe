/** How much one XTRIM may do, without Redis. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { biteOf, bitesAtOnce, costOfBite, largerBite } from '../../src/entries/bites.ts'

test('the larger the entries, the smaller the bite, down to ten entries', () => {
  for (const [entryBytes, limit] of [
    [0, 10_000],
    [1, 10_000],
    [400, 10_000],
    [500, 8_388],
    [4096, 1_024],
    [1024 ** 2, 10],
    [1024 ** 3, 10],
  ] as const) {
    assert.equal(biteOf(entryBytes), limit, `${entryBytes} bytes`)
  }
})

test('a bite that removed nothing grows until it covers the first node, whatever its size, or nothing is left', () => {
  for (const nodeEntries of [1, 9, 10, 11, 100, 4096, 10_000, 123_456, 1_000_000]) {
    for (const candidates of [nodeEntries - 1, nodeEntries, nodeEntries + 1, nodeEntries * 50]) {
      for (const entryBytes of [10, 10_000_000]) {
        let limit: number | null = biteOf(entryBytes)
        let tries = 0
        // Redis removes the node if both the LIMIT and the candidates cover it.
        while (limit !== null && limit < nodeEntries) {
          limit = largerBite(limit, candidates)
          assert.ok(++tries < 10)
        }
        assert.equal(limit !== null, candidates >= nodeEntries || biteOf(entryBytes) >= nodeEntries)
        // A bite takes at most ten nodes at once, or what the first bite asked for.
        if (limit !== null) assert.ok(limit <= Math.max(biteOf(entryBytes), nodeEntries * 10))
      }
    }
  }
})

test('bites sent together remove only what is due, and for large entries there are at most two', () => {
  for (const [limit, entryBytes, candidates, times] of [
    [10_000, 10, 1_000_000, 5],
    [10_000, 10, 35_000, 3],
    [10_000, 10, 9_999, 1],
    [10_000, 100, 1_000_000, 5],
    [10_000, 400, 1_000_000, 2],
    [4_194, 1_000, 1_000_000, 2],
    [10, 1_000_000, 1_000_000, 1],
    // A bite that grew because the nodes are larger.
    [100_000, 10, 1_000_000, 1],
  ] as const) {
    assert.equal(bitesAtOnce(limit, entryBytes, candidates), times, `${limit} of ${entryBytes} bytes`)
  }
})

test('bites of many streams go together up to one large bite, by entries, by bytes or by number', () => {
  for (const [entries, entryBytes, most] of [
    [20, 100, 227],
    [10_000, 10, 4],
    [100, 10_000, 8],
    [1, 1, 248],
  ] as const) {
    assert.equal(Math.floor(1 / costOfBite(entries, entryBytes)), most, `${entries} of ${entryBytes} bytes`)
  }
})

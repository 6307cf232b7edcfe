/** How many columns of a terminal a text takes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { columnsOf, firstColumns, lastColumns, padColumns } from '../../src/text/columns.ts'
import { wrapped } from '../../src/text/wrapped.ts'

/** A letter, two of East Asia, an emoji beyond the first 65,536 characters, and a letter with a combining accent. */
const MIXED = 'a日本🙂e\u0301'

test('a character takes one column, one of East Asia and an emoji two, and a combining one none', () => {
  for (const [text, columns] of [
    ['', 0],
    ['stream:conversation:42', 22],
    ['…≈é', 3],
    ['日本語', 6],
    ['한국', 4],
    ['ｆｕｌｌ', 8],
    ['🙂', 2],
    [MIXED, 8],
  ] as const)
    assert.equal(columnsOf(text), columns, text)
})

test('a text is cut at whole characters, and filled up to the columns that it takes', () => {
  const firsts = Array.from({ length: 10 }, (_, columns) => firstColumns(MIXED, columns))
  assert.deepEqual(firsts, ['', 'a', 'a', 'a日', 'a日', 'a日本', 'a日本', 'a日本🙂', MIXED, MIXED])
  const lasts = Array.from({ length: 10 }, (_, columns) => lastColumns(MIXED, columns))
  const accented = 'e\u0301'
  assert.deepEqual(lasts.slice(1, 4), [accented, accented, `🙂${accented}`])
  assert.equal(lasts[9], MIXED)
  assert.equal(padColumns('日', 4), '日  ')
  assert.equal(padColumns('abc', 2), 'abc')
  for (const line of wrapped(`key ${MIXED.repeat(30)}`, 40, '  ')) {
    assert.ok(columnsOf(line) <= 40, line)
    assert.ok(line.isWellFormed(), 'no character is cut in two')
  }
})

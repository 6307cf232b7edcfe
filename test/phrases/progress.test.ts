/** The progress line of a sweep on a terminal. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeProgressLine } from '../../src/phrases/progress.ts'

test('the progress line fits its terminal, and says that its share is an estimate', async () => {
  for (const [columns, figure, told] of [
    [80, 1, /^\[#{10}\.{10}\] 1 stream, about 50 % of 2 keys, \d+\/s, 1 removed$/],
    [80, 99_999_999, /^99999999 streams, about 50 % of 199999998 keys, \d+\/s, \d+ r/],
    [50, 1, /^1 stream, about 50 % of 2 keys, \d+\/s, 1 removed$/],
  ] as const) {
    let seen = ''
    const line = makeProgressLine(
      (text) => {
        seen = text
      },
      columns,
      'removed',
    )
    line.extent.expect(2 * figure)
    line.extent.visit(figure)
    line.update(() => ({ streams: figure, removed: figure }))
    const drawn = seen.replace('\r\x1b[K', '')
    assert.ok(drawn.length < columns, drawn)
    assert.match(drawn, told)
    line.clear()
    assert.equal(seen, '\r\x1b[K')
  }
})

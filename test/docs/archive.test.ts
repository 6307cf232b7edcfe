/** Holds docs/archive.md to the program. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ARCHIVE_CAUSES } from '../../src/store/store.ts'
import { readPage, sectionOf, tableIn } from '../harness/documents.ts'

test('docs/archive.md says of every cause of a failure what happened and what to do', () => {
  const rows = tableIn(sectionOf(readPage('docs/archive.md'), 'What if the archive fails\\?'))
  assert.deepEqual(
    rows.map(([cause]) => cause),
    ARCHIVE_CAUSES.map((cause) => `\`${cause}\``),
  )
  for (const [cause, ...told] of rows) assert.ok(told.length === 2 && told.every((text) => text.length > 10), cause)
})

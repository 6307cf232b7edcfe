/** Holds docs/archive.md to the program. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { ARCHIVE_CAUSES } from '../../src/store/store.ts'
import { configOf } from '../harness/configured.ts'
import { readPage, sectionOf, tableIn } from '../harness/documents.ts'

test('docs/archive.md says of every cause of a failure what happened and what to do', () => {
  const rows = tableIn(sectionOf(readPage('docs/archive.md'), 'What if the archive fails\\?'))
  assert.deepEqual(
    rows.map(([cause]) => cause),
    ARCHIVE_CAUSES.map((cause) => `\`${cause}\``),
  )
  for (const [cause, ...told] of rows) assert.ok(told.length === 2 && told.every((text) => text.length > 10), cause)
})

test('the example of docs/kubernetes.md for a pod that archives is accepted as it is', () => {
  const [, yaml = ''] =
    /^```yaml\n([\s\S]*?)^```$/m.exec(sectionOf(readPage('docs/kubernetes.md'), 'How do I archive from a pod\\?')) ?? []
  const { configMapGenerator } = parse(yaml) as { configMapGenerator: readonly { literals: readonly string[] }[] }
  const literals = configMapGenerator.flatMap(({ literals }) => literals.map((literal) => literal.split('=')))
  const { archive } = configOf([], Object.fromEntries(literals))
  assert.deepEqual(archive?.location, { kind: 's3', bucket: 'my-bucket', prefix: 'chat' })
  assert.equal(archive.s3.region, 'eu-central-1')
})

/** Every link in README and docs leads to a file and a heading that exist. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { anchorsOf, linksOf, PAGES, readPage } from '../harness/documents.ts'

const ROOT = new URL('../../', import.meta.url)

/** The links of a page that lead nowhere. */
function brokenLinks(page: string, text = readPage(page)): string[] {
  return linksOf(page, text)
    .filter(({ path, anchor }) => {
      if (!existsSync(new URL(path, ROOT))) return true
      return anchor !== '' && !anchorsOf(path === page ? text : readPage(path)).includes(anchor)
    })
    .map(({ path, anchor }) => `${path}#${anchor}`)
}

for (const page of PAGES) {
  test(`every link of ${page} leads to a file and a heading that exist`, () => {
    assert.deepEqual(brokenLinks(page), [])
  })
}

test('README links to every page of docs', () => {
  const linked = new Set(linksOf('README.md').map(({ path }) => path))
  assert.deepEqual(
    PAGES.filter((page) => page !== 'README.md' && !linked.has(page)),
    [],
  )
})

test('control: a broken file, heading and picture are noticed', () => {
  const text =
    '# A page\n\n## One here\n\n[a](#one-here) [b](#two) [c](nowhere.md) [d](flags.md#nothing) <img src="no.png">\n'
  assert.deepEqual(brokenLinks('docs/errors.md', text), [
    'docs/errors.md#two',
    'docs/nowhere.md#',
    'docs/flags.md#nothing',
    'docs/no.png#',
  ])
})

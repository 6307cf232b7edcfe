/** The forms for issues on GitHub, and where the project says how to report and how to behave. */

import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { repository } from '../harness/checkout.ts'
import { linksOf, readPage } from '../harness/documents.ts'
import { ROOT } from '../harness/files.ts'

const FOLDER = '.github/ISSUE_TEMPLATE'
const FORMS = readdirSync(join(ROOT, FOLDER)).filter((name) => name !== 'config.yml')

/** The keys that GitHub knows in a form, in an element of it, and in an element's attributes. */
const KNOWN = {
  form: ['name', 'description', 'title', 'labels', 'assignees', 'body'],
  element: ['type', 'id', 'attributes', 'validations'],
  attributes: ['label', 'description', 'placeholder', 'value', 'render'],
}

/** What GitHub would reject in a form. */
function problemsOf(text: string): string[] {
  const form = parse(text)
  const unknown = (object: object, known: readonly string[]): string[] =>
    Object.keys(object)
      .filter((key) => !known.includes(key))
      .map((key) => `unknown key ${key}`)
  const ids = form.body.map(({ id }: { id: string }) => id)
  return [
    ...unknown(form, KNOWN.form),
    ...['name', 'description'].filter((key) => typeof form[key] !== 'string').map((key) => `no ${key}`),
    ...(new Set(ids).size === ids.length ? [] : ['an id twice']),
    ...form.body.flatMap((element: { type: string; id?: string; attributes: { label?: string } }) => [
      ...unknown(element, KNOWN.element),
      ...unknown(element.attributes, KNOWN.attributes),
      ...(['input', 'textarea'].includes(element.type) ? [] : [`unknown type ${element.type}`]),
      ...(/^[\w-]+$/.test(element.id ?? '') ? [] : ['no id']),
      ...(element.attributes.label ? [] : ['no label']),
    ]),
  ]
}

test('the forms for issues have only what GitHub knows', () => {
  assert.deepEqual(FORMS.toSorted(), ['bug.yml', 'idea.yml'])
  for (const form of FORMS) assert.deepEqual(problemsOf(readPage(`${FOLDER}/${form}`)), [], form)
  const text = readPage(`${FOLDER}/bug.yml`)
  for (const [right, wrong, problem] of [
    ['id: log', 'id: plan', 'an id twice'],
    ['type: input', 'type: text', 'unknown type text'],
    ['label: Versions', 'lable: Versions', 'unknown key lable'],
  ] as const) {
    assert.ok(problemsOf(text.replace(right, wrong)).includes(problem), `the control: ${problem}`)
  }
})

test('vulnerabilities are reported in private, on the page and in the list of forms alike', () => {
  const address = `https://github.com/${repository()}/security/advisories/new`
  assert.ok(readPage('SECURITY.md').includes(address))
  assert.equal(parse(readPage(`${FOLDER}/config.yml`)).contact_links[0].url, address)
})

test('every link in SECURITY.md leads to a file of the project', () => {
  assert.deepEqual(
    linksOf('SECURITY.md').map(({ path }) => path),
    ['README.md', 'docs/security.md'],
  )
})

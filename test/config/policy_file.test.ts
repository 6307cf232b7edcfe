/** `--policy-file`: what it may contain, and how mistakes in it are shown. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { configure } from '../../src/config/config.ts'
import { configOf, problemsOf } from '../harness/configured.ts'
import { temporaryFolder } from '../harness/files.ts'
import { runXtrimd } from '../harness/program.ts'

/** A file with this content. @returns its path */
function fileOf(t: TestContext, content: string | Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-policies-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'policies'), content)
  return join(folder, 'policies')
}

test('policies from flags come first, then those of the file, then the plain flags', (t) => {
  const path = fileOf(t, '# ours\n\n  b:*,max-length=2\r\n\t# indented\n[#]c:*,name=c,trim=exact')
  const args = ['--policy', 'a:*,max-length=1', '--max-age', '2h']
  const { policies, policyFile } = configOf([...args, '--policy-file', path])
  assert.deepEqual(
    policies.map(({ name, match, maxLength, trim, maxAgeMs }) => [name, match, maxLength, trim, maxAgeMs]),
    [
      ['a:*', 'a:*', 1, 'approx', 7_200_000],
      ['b:*', 'b:*', 2, 'approx', 7_200_000],
      ['c', '[#]c:*', 1000, 'exact', 7_200_000],
      ['stream:conversation:*', 'stream:conversation:*', 1000, 'approx', 7_200_000],
    ],
  )
  assert.match(policyFile?.version ?? '', /^[0-9a-f]{12}$/)
  assert.equal(configOf(args, { XTRIMD_POLICY_FILE: path }).policies.length, 4, 'the variable works too')
  assert.equal(configOf(args).policyFile, null)
})

test('two files differ in their version exactly if they differ in content', (t) => {
  const versionOf = (content: string) => configOf(['--policy-file', fileOf(t, content)]).policyFile?.version
  assert.equal(versionOf('a:*'), versionOf('a:*'))
  assert.notEqual(versionOf('a:*'), versionOf('a:*,max-length=2'))
})

test('every mistake in the file is shown with its line and column, and the program exits with 2', async (t) => {
  const path = fileOf(t, '# ours\n  a:*,max-agee=1h\nb:*\n\nb:*,max-length=7\nc:*,max-length=x\n')
  const { code, stdout, stderr } = await runXtrimd(['plan', '--policy-file', path])
  assert.deepEqual([code, stdout], [2, ''])
  assert.equal(
    stderr,
    [
      `xtrimd: line 2 of --policy-file ${path}: unknown limit "max-agee" at character 7 (did you mean max-age?); got "  a:*,max-agee=1h"`,
      '      a:*,max-agee=1h',
      '          ^',
      `xtrimd: line 6 of --policy-file ${path}: max-length at character 16 must be a whole number of at least 1, digits only, or off; got "c:*,max-length=x"`,
      '    c:*,max-length=x',
      '                   ^',
      `xtrimd: line 5 of --policy-file ${path} must have a name of its own; metrics tell policies apart by name; got "b:*,max-length=7"`,
      '    b:*,max-length=7',
      '    ^',
      'see xtrimd --help for all flags',
      '',
    ].join('\n'),
  )
})

test('a name must be unique over flags and file, and a limit of the file may not contradict a plain flag', (t) => {
  const path = fileOf(t, ' a:*,name=x\nb:*,hard-max-length=10')
  assert.deepEqual(problemsOf(['--policy', 'c:*,name=x', '--policy-file', path]), [
    `line 1 of --policy-file ${path} must have a name of its own; metrics tell policies apart by name; got " a:*,name=x"`,
    `line 2 of --policy-file ${path}: hard-max-length must not be below max-length (1000); got "b:*,hard-max-length=10"`,
  ])
})

test('a file that is missing, empty, all comments or not UTF-8 is refused', (t) => {
  const refused = (path: string) => problemsOf(['--policy-file', path]).map((line) => line.replace(path, '…'))
  assert.deepEqual(refused('/nowhere/policies'), ['--policy-file must be a readable file (ENOENT); got "…"'])
  for (const content of ['', '\n', '# a:*\n'])
    assert.deepEqual(refused(fileOf(t, content)), ['--policy-file must be a file with at least one policy; got "…"'])
  const latin1 = Buffer.from('stream:caf\xe9:*,max-length=1', 'latin1')
  assert.deepEqual(refused(fileOf(t, latin1)), ['--policy-file must be a file in UTF-8; got "…"'])
})

test('a pipe, a device, a folder and a file that is far too big are refused at once', (t) => {
  const refused = (path: string) => problemsOf(['--policy-file', path]).map((line) => line.replace(path, '…'))
  const folder = temporaryFolder(t, 'pipe')
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  // Reading it would wait for a writer, and no sweep would follow.
  for (const path of [pipe, '/dev/zero'])
    assert.deepEqual(refused(path), ['--policy-file must be a readable file (not a file); got "…"'])
  assert.deepEqual(refused(folder), ['--policy-file must be a readable file (EISDIR); got "…"'])
  const most = 1024 * 1024
  const spec = 'stream:conversation:*,max-length=5\n'
  assert.deepEqual(refused(fileOf(t, spec.padEnd(most + 1, '#'))), [
    '--policy-file must be a file of at most 1mb; got "…"',
  ])
  assert.equal(configOf(['--policy-file', fileOf(t, spec.padEnd(most, '#'))]).policies[0]?.maxLength, 5, 'the control')
  const [line = ''] = problemsOf(['--policy-file', fileOf(t, `a:*,${'x'.repeat(500_000)}`)])
  assert.ok(line.length < 5_000, 'a line that does not hold a policy is not repeated in full')
})

test('reading the file again applies the same rules as the start', (t) => {
  const path = fileOf(t, 'a:*,max-length=5')
  const { policyFile } = configOf(['--watch', '--max-length', 'off', '--policy-file', path])
  writeFileSync(path, 'a:*,max-age=1h\n')
  const again = policyFile?.readAgain()
  assert.deepEqual(again && 'problems' in again && again.problems, [
    '--watch must be used with a max-length or max-bytes in some policy; it enforces only those; got "true"',
  ])
  writeFileSync(path, 'a:*,max-length=6\n')
  const mended = policyFile?.readAgain()
  assert.ok(mended !== undefined && 'policies' in mended)
  assert.equal(mended.policies[0]?.maxLength, 6)
  assert.notEqual(mended.fileVersion, policyFile?.version)
  // The control: a start with the refused content is refused in the same words.
  writeFileSync(path, 'a:*,max-age=1h\n')
  const configured = configure(['--watch', '--max-length', 'off', '--policy-file', path], {}, '0')
  assert.deepEqual(configured.kind === 'problems' && configured.lines, again && 'problems' in again && again.problems)
})

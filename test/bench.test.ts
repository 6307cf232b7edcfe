/** The benchmarks run, at sizes whose figures mean nothing, and write what they should where they are told to. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { ValueCounter } from '../bench/wire.ts'

const BENCH = fileURLToPath(new URL('../bench/', import.meta.url))

const CHART = /<svg .*prefers-color-scheme: dark.*<\/svg>/s

test('every section of the benchmark ends in a table, beside a chart', { timeout: 400_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-bench-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const committed = await readFile(join(BENCH, 'RESULTS.md'), 'utf8')

  const args = [join(BENCH, 'main.ts'), '--streams', '300', '--quick', '--out', folder]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args)

  assert.equal(stderr, '')
  const results = await readFile(join(folder, 'RESULTS.md'), 'utf8')
  const titles = [...results.matchAll(/^## (.*)$/gm)].map(([, title]) => title)
  assert.deepEqual(titles, [
    'Steady state: nothing to remove',
    'Three of ten streams have gone stale',
    'Gentle: what a foreground writer waits for',
    'Backlog: never trimmed before',
    'What --watch costs',
    'The pace is honest',
    'Memory of the daemon',
  ])
  assert.match(results, /^Written by `npm run bench -- --streams 300 --quick/m)
  for (const row of ['the limit', 'xtrimd run --pace 100', 'xtrimd sweep', 'one blocking Lua script', 'ioredis']) {
    assert.match(results, new RegExp(`^\\| [^|]*${row}[^|]* \\| [\\d,.]+ \\| [\\d,.]+ \\|`, 'm'), row)
  }
  assert.doesNotMatch(results, /NaN|undefined|Infinity/)
  assert.match(stdout, /against the limit: [\d.]+/)
  assert.match(await readFile(join(folder, 'results.svg'), 'utf8'), CHART)
  assert.equal(await readFile(join(BENCH, 'RESULTS.md'), 'utf8'), committed)
})

test('the memory of a week is told and drawn, with the limits one by one and together', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-bench-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))

  const args = [join(BENCH, 'claim.ts'), '--days', '7', '--out', folder]
  await promisify(execFile)(process.execPath, args)

  const [row = ''] = /^\| 7 .*$/m.exec(await readFile(join(folder, 'MEMORY.md'), 'utf8')) ?? []
  const [, messages, , ...saved] = row
    .split('|')
    .map((cell) => cell.trim())
    .slice(1)
  assert.equal(messages, '168,000')
  const [length = 0, age = 0, both = 0] = saved.map((cell) => Number(/\(([\d.]+) %\)/.exec(cell)?.[1]))
  // 1,000 of 1,680 messages a conversation, and a day of seven, less what is left of a node.
  assert.ok(length > 38 && length < 42, row)
  assert.ok(age > 83 && age < 87, row)
  assert.ok(both >= age - 1, row)
  assert.match(await readFile(join(folder, 'memory.svg'), 'utf8'), CHART)
})

test('values on the wire are counted whole, wherever the pieces are cut', () => {
  const values = ['*2\r\n$4\r\nXLEN\r\n$1\r\nk\r\n', ':7\r\n', '+OK\r\n', '$-1\r\n', '*-1\r\n', '*0\r\n', '$0\r\n\r\n']
  const nested = '*2\r\n$1\r\n0\r\n*2\r\n$3\r\na\r\n\r\n*1\r\n:1\r\n'
  const bytes = Buffer.from([...values, nested].join(''))
  for (let size = 1; size <= bytes.length; size++) {
    const counter = new ValueCounter()
    for (let at = 0; at < bytes.length; at += size) counter.push(bytes.subarray(at, at + size))
    assert.equal(counter.whole, values.length + 1, `in pieces of ${size}`)
    // The control: without its last byte the last value is none yet.
    const cut = new ValueCounter()
    cut.push(bytes.subarray(0, -1))
    assert.equal(cut.whole, values.length)
  }
})

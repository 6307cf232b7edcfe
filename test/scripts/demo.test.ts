/** The demo: what it shows is true, and it leaves nothing behind. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseExposition, sumOf } from '../harness/exposition.ts'
import { waitUntil } from '../harness/waiting.ts'

const DEMO = fileURLToPath(new URL('../../scripts/demo.ts', import.meta.url))

/** Starts the demo with its own temporary folder, which would hold anything that it leaves behind. */
async function startDemo(
  t: TestContext,
  args: readonly string[],
  turn: 'gives way' | 'goes first' = 'gives way',
  env: Readonly<Record<string, string>> = {},
) {
  const folder = await mkdtemp(join(tmpdir(), 'demo-test-'))
  const [command = '', ...words] = [...(turn === 'gives way' ? ['nice'] : []), process.execPath, DEMO, ...args]
  const demo = spawn(command, words, { env: { ...process.env, ...env, TMPDIR: folder } })
  const closed = once(demo, 'close') as Promise<[number | null]>
  t.after(async () => {
    demo.kill('SIGTERM')
    await closed
    await rm(folder, { recursive: true, force: true })
  })
  let output = ''
  for (const stream of [demo.stdout, demo.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return {
    demo,
    output: () => output,
    async exitCode() {
      const ended = closed.then(([code]) => ({ code }))
      await waitUntil(() => demo.exitCode !== null || demo.signalCode !== null, {
        timeoutMs: 300_000,
        what: 'the demo',
      })
      return (await ended).code
    },
    processesFound: async () => new Set((await processesNaming(folder)).map((path) => path.split('/')[2])).size,
    async assertNothingLeft() {
      await waitUntil(async () => (await processesNaming(folder)).length === 0, {
        timeoutMs: 60_000,
        what: 'the processes of the demo to end',
      })
      assert.deepEqual(await readdir(folder), [])
    },
  }
}

/** Finds processes by their arguments or environment, because a program that sets its title overwrites one of them. */
async function processesNaming(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  const texts = pids.flatMap((pid) => [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`])
  const read = await Promise.all(texts.map((path) => readFile(path, 'utf8').catch(() => '')))
  return texts.filter((_, index) => read[index]?.includes(folder))
}

// Nothing else should slow down the writers of a burst.
suite('the demo', { concurrency: 2 }, () => {
  test('the demo of a burst shows the effect of --watch and --pressure, in 80 columns, and leaves nothing behind', async (t) => {
    const { exitCode, output, assertNothingLeft } = await startDemo(t, ['--burst'], 'goes first')
    assert.equal(await exitCode(), 0, output())
    for (const line of output().split('\n')) assert.ok(line.length <= 80, line)
    const scenes = output()
      .split('$ xtrimd run')
      .slice(1)
      .map((scene) =>
        [...scene.matchAll(/^ {2}\d+ +([\d,]+) +([\d,]+) +([\d,]+) /gm)].map((row) => row.slice(1).map(number)),
      )
    const last = (scene: number, column: number): number => scenes[scene]?.at(-1)?.[column] ?? Number.NaN
    const [, refused, longest] = [0, 1, 2]
    assert.ok(last(0, longest) > 2 * last(1, longest), output())
    assert.ok(last(2, refused) > 0, output())
    assert.equal(last(3, refused), 0, output())
    assert.match(output(), /under pressure: [\d,]+ entries removed/)
    await assertNothingLeft()
  })

  test('the demo frees at least 85 % of the memory with one sweep, in 80 columns, and leaves nothing behind', async (t) => {
    const { exitCode, output, assertNothingLeft } = await startDemo(t, ['--once'])
    assert.equal(await exitCode(), 0, output())
    assert.match(output(), /before {3}768,\d{3} entries in 101 streams/)
    const saved = Number(/saved +([\d.]+) % of the entries' memory/.exec(output())?.[1])
    assert.ok(saved >= 85 && saved < 100, output())
    const figures = (pattern: RegExp): number[] => (pattern.exec(output()) ?? []).slice(1).map(number)
    const [before = 0] = figures(/before {3}([\d,]+) entries/)
    const [age = 0, length = 0] = figures(/^ {2}success +[\d.]+ s +([\d,]+) +([\d,]+) /m)
    const [after = 0, longest = 0] = figures(/after {4}([\d,]+) entries in 101 streams, the longest ([\d,]+);/)
    const published = after - (before - age - length)
    assert.ok(published >= 0, output())
    // The limit, plus one node, plus what the publisher wrote meanwhile.
    assert.ok(longest >= 1_000 && longest < 1_100 + published, output())
    for (const line of output().split('\n')) assert.ok(line.length <= 80, line)
    await assertNothingLeft()
  })

  test('the demo of the archive loses no message, reads one conversation back, in 80 columns, and leaves nothing behind', async (t) => {
    const { exitCode, output, assertNothingLeft } = await startDemo(t, ['--archive'])
    assert.equal(await exitCode(), 0, output())
    for (const line of output().split('\n')) assert.ok(line.length <= 80, line)
    const found = (pattern: RegExp): number[] => (pattern.exec(output()) ?? []).slice(1).map(number)
    const [before = 0, after = 0] = found(/^ {2}entries in Redis +([\d,]+) +([\d,]+)$/m)
    const [bytesBefore = 0, bytesAfter = 0] = found(/^ {2}memory +([\d.]+) MB +([\d.]+) MB$/m)
    const [archived = 0] = found(/archived ([\d,]+) entries/)
    // The fan-out is trimmed without an archive.
    assert.ok(archived > 180_000 && archived < before - after && after < 30_000, output())
    assert.ok(bytesBefore > 10 * bytesAfter, output())
    assert.equal(output().match(/^ {2}\["\d{13}-\d+","user-\d+","/gm)?.length, 3, output())
    const [stored, left = 0, written] = found(
      /([\d,]+) messages in the archive; Redis still holds ([\d,]+) of ([\d,]+)$/m,
    )
    assert.deepEqual([written, found(/([\d,]+) messages are back/)], [(stored ?? 0) + left, [stored]], output())
    await assertNothingLeft()
  })

  test('the demo of reaping shows what pods left behind, loses nothing pending, in 80 columns, and leaves nothing behind', async (t) => {
    const { exitCode, output, assertNothingLeft } = await startDemo(t, ['--reap'])
    assert.equal(await exitCode(), 0, output())
    for (const line of output().split('\n')) assert.ok(line.length <= 80, line)
    const row = (what: string): number[] =>
      (new RegExp(`^ {2}${what} +([\\d,.]+)(?: MB)? +([\\d,.]+)(?: MB)?$`, 'm').exec(output()) ?? [])
        .slice(1)
        .map(number)
    const [, reaped, groups, references] =
      /reaped ([\d,]+) consumers, ([\d,]+) groups and ([\d,]+) references/.exec(output()) ?? []
    const [[, deleted] = []] = [/deleted ([\d,]+) idle streams/.exec(output()) ?? []]
    const lost = (what: string): number => (row(what)[0] ?? Number.NaN) - (row(what)[1] ?? Number.NaN)
    assert.equal(lost('consumer groups'), number(groups ?? ''), output())
    // Each gateway's group had one consumer, and its entries are acknowledged.
    assert.equal(lost('consumers'), number(reaped ?? '') + number(groups ?? ''))
    assert.equal(lost('pending, the entry is gone'), number(references ?? ''))
    assert.deepEqual([row('pending, the entry is gone')[1], lost('pending, the entry exists')], [0, 0])
    assert.equal(lost('streams'), number(deleted ?? ''))
    assert.ok(number(reaped ?? '') > 2_000 && number(deleted ?? '') > 2_000 && lost('memory') > 5, output())
    await assertNothingLeft()
  })

  test('the demo keeps sweeping and serves metrics until Ctrl-C, exits with 0, and leaves nothing behind', async (t) => {
    // The test of --once writes the whole month.
    const few = { DEMO_MESSAGES_PER_HOUR: '100' }
    const { demo, exitCode, output, processesFound, assertNothingLeft } = await startDemo(t, [], 'gives way', few)
    const sweeps = () => output().match(/^ {2}success /gm)?.length ?? 0
    await waitUntil(() => demo.exitCode !== null || sweeps() >= 2, { timeoutMs: 300_000, what: 'two sweeps' })
    const url = /http:\S+\/metrics/.exec(output())?.[0]
    assert.ok(url, output())
    const series = parseExposition(await (await fetch(url)).text())
    assert.ok((sumOf(series, 'xtrimd_entries_trimmed_total') ?? 0) > 50_000)
    // The control for the assertion at the end: the demo, Redis and the daemon can be found.
    assert.ok((await processesFound()) >= 3)
    demo.kill('SIGINT')
    assert.equal(await exitCode(), 0, output())
    assert.match(output(), /saved +[\d.]+ % of the entries' memory/)
    await assertNothingLeft()
  })

  test('Ctrl-C ends the demo also while it fills Redis, and it leaves nothing behind', async (t) => {
    const { demo, exitCode, output, assertNothingLeft } = await startDemo(t, [])
    await waitUntil(() => output().includes('A private redis-server'), { timeoutMs: 60_000, what: 'the demo to begin' })
    demo.kill('SIGINT')
    assert.equal(await exitCode(), 0, output())
    assert.doesNotMatch(output(), /written/)
    await assertNothingLeft()
  })
})

function number(text: string): number {
  return Number(text.replaceAll(',', ''))
}

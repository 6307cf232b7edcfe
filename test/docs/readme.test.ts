/** Compares README and docs with the program: tables, commands, and how pages begin. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { withoutOurs } from '../../scripts/stage/environment.ts'
import { TRIGGERS } from '../../src/daemon/sweep_line.ts'
import { flags, variableOf } from '../../src/flags/flags.ts'
import { ERROR_WORDS } from '../../src/redis/refusal.ts'
import { commandsIn, linksOf, PAGES, readPage, sectionOf, tableIn } from '../harness/documents.ts'
import { ROOT } from '../harness/files.ts'
import { startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'

const README = readPage('README.md')
const FLAGS = readPage('docs/flags.md')
const METRICS = sectionOf(readPage('docs/metrics-and-alerts.md'), 'Metrics')

test('docs/flags.md lists every flag with its default and help, and only those', () => {
  const told = tableIn(FLAGS)
  const real = Object.entries(flags).map(([name, flag]) => [
    `\`--${name} ${flag.value}\``,
    flag.default === null ? '' : `\`${flag.default}\``,
    flag.help,
  ])
  assert.deepEqual(told, real)
})

test('docs/metrics-and-alerts.md lists every metric with its type and help, and only those', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, 'stream:conversation:a', { count: 10, from: await redisNow(redis), stepMs: 1, bytes: 10 })
  await redis.command('XGROUP', 'CREATE', 'stream:conversation:a', 'group', '0')
  const daemon = await startDaemon(t, ['--redis-url', redis.url, '--group-metrics', '5'])
  await daemon.waitForLog('sweep')
  const text = await daemon.metrics()
  const described = (what: string): Map<string, string> =>
    new Map(
      Array.from(text.matchAll(new RegExp(`^# ${what} (xtrimd_\\S+) (.*)$`, 'gm')), ([, name, is]) => [
        name ?? '',
        is ?? '',
      ]),
    )
  const types = described('TYPE')
  const helps = described('HELP')
  assert.deepEqual(
    tableIn(METRICS).map(([name, type, , help]) => [name, type, help]),
    [...types].map(([name, type]) => [`\`${name}\``, type, helps.get(name)]),
  )
  for (const [name = '', , labels = ''] of tableIn(METRICS)) {
    const [told = '', values = ''] = labels.split(/: (?=[^,]+(?:,|$))/)
    const metric = name.replaceAll('`', '')
    const series = text.split('\n').filter((line) => new RegExp(`^${metric}(_bucket|_sum|_count)?[ {]`).test(line))
    assert.notEqual(series.length, 0, `${metric} has a series from the start`)
    for (const label of told.split(', ').filter((word) => word !== '')) {
      assert.ok(
        series.every((line) => line.includes(`${label.replace(/:.*/, '')}="`)),
        `${metric} has the label ${label}`,
      )
    }
    for (const value of values.split(', ').filter((word) => word !== '')) {
      assert.ok(
        series.some((line) => line.includes(`="${value}"`)),
        `${metric} has a series for ${value}`,
      )
    }
  }
  for (const word of ERROR_WORDS) assert.ok(METRICS.includes(`\`${word}\``), `the page names the error word ${word}`)
})

test('control: the comparison notices a wrong row', () => {
  const changed = FLAGS.replace('| `--max-age <duration\\|off>` | `24h` |', '| `--max-age <duration\\|off>` | `25h` |')
  assert.notEqual(changed, FLAGS)
  assert.notDeepEqual(tableIn(changed), tableIn(FLAGS))
})

test('the pictures of README and docs are there, small, and in neither the image nor the package', () => {
  const pictures = new Set(
    PAGES.flatMap((page) => linksOf(page))
      .map(({ path }) => path)
      .filter((path) => /\.(?:png|svg)$/.test(path)),
  )
  const drawn = ['bench/memory.svg', 'bench/results.svg']
  const taken = ['dashboard', 'plan', 'status_page_dark', 'status_page_light', 'top'].map((name) => `docs/${name}.png`)
  assert.deepEqual([...pictures].sort(), [...drawn, ...taken])
  for (const picture of taken) {
    const bytes = readFileSync(new URL(`../../${picture}`, import.meta.url))
    assert.equal(bytes.toString('latin1', 1, 4), 'PNG', picture)
    assert.ok(bytes.length < 150_000, `${picture} has ${bytes.length} bytes`)
  }
  const { files } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    files: string[]
  }
  assert.deepEqual(files, ['dist', 'schema', 'CHANGELOG.md'])
  // The build context holds only what the Dockerfile copies, so it holds no pictures either.
  const lines = readFileSync(new URL('../../.dockerignore', import.meta.url), 'utf8').split('\n')
  const [everything, ...but] = lines.filter((line) => line !== '' && !line.startsWith('#'))
  assert.equal(everything, '*')
  const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8')
  const copied = Array.from(dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm), ([, sources = '']) =>
    sources.split(' '),
  )
  assert.deepEqual(
    but.toSorted(),
    copied
      .flat()
      .map((source) => `!${source}`)
      .sort(),
  )
})

test('docs/errors.md names every trigger of a sweep', () => {
  const told =
    /line `sweep`, whose `trigger` says why it was made: (.*?)\./s.exec(readPage('docs/errors.md'))?.[1] ?? ''
  assert.deepEqual([...told.matchAll(/`(\w+)`/g)].map(([, word]) => word).sort(), TRIGGERS.toSorted())
})

test('variables are named as README and docs/flags.md say', () => {
  for (const page of [README, FLAGS]) assert.ok(page.includes(`\`${variableOf('max-age')}\``))
})

test('README has at most 20 KB', () => {
  assert.ok(Buffer.byteLength(README) <= 20_000, `${Buffer.byteLength(README)} bytes`)
})

test('the flags in README have the defaults of the program', () => {
  const rows = tableIn(sectionOf(README, 'The flags most people need'))
  assert.equal(rows.length, 5)
  for (const [flag = '', value] of rows) {
    const name = flag.replaceAll(/`|--/g, '') as keyof typeof flags
    assert.equal(value, `\`${flags[name].default}\``, flag)
  }
})

test('every page of docs is titled with a question and opens with a paragraph that answers it', () => {
  for (const page of PAGES.filter((path) => path !== 'README.md')) {
    const [title = '', answer = ''] = readPage(page).split('\n\n')
    assert.match(title, /^# .*\?$/, page)
    // Not a heading, a table, a list, a picture or a block.
    assert.match(answer, /^(?![#|!<-]|```)[\s\S]{40,500}\.$/, page)
  }
})

test('the commands of the README work, and print what it shows', async (t) => {
  const redis = await startRedis(t)
  const now = await redisNow(redis)
  const key = 'stream:conversation:a'
  await fillStream(redis, key, { count: 3000, from: now - 1_000_000, stepMs: 1, bytes: 100 })
  const { version } = JSON.parse(readPage('package.json')) as { version: string }
  const packed = ['npm pack --silent', `npx --yes --package ./xtrimd-${version}.tgz xtrimd --version`]
  const commands = commandsIn(README).filter((line) => !line.startsWith('scripts/'))
  // package.test.ts tests the packed package.
  assert.deepEqual(
    commands.filter((line) => /^np[mx] (?!run)/.test(line)),
    packed,
  )
  const [plan = '', sweep = '', run = '', ...others] = commands
    .filter((line) => !packed.includes(line))
    .map((line) => line.replace('127.0.0.1:6379', `127.0.0.1:${redis.port}`))
  assert.deepEqual(others, [], 'this test runs every command of README')

  const planned = (await shell(t, plan)).stdout
  assert.match(planned, /nothing was changed/)
  const shown = PLAN_SHOWN.exec(README)?.[1] ?? ''
  const words = shown.split('\n').filter((line) => line !== '' && !/\d/.test(line) && line !== '…')
  assert.ok(words.length >= 3)
  for (const line of words) assert.ok(squeezed(planned).includes(squeezed(line)), `plan prints: ${line}`)
  assert.equal(await redis.command('XLEN', key), 3000)
  assert.match((await shell(t, sweep)).stdout, /^success/)
  assert.ok(Number(await redis.command('XLEN', key)) <= 1100)
  const daemon = await shell(t, run, /"msg":"sweep"/)
  assert.match(daemon.stdout, /"result":"success"/)
  assert.equal(daemon.code, 0)
})

test('every command in a block of shell commands works in a fresh clone, where follow_readme runs it', () => {
  const commands = PAGES.flatMap((page) => commandsIn(readPage(page)))
  assert.ok(commands.length >= 6)
  // Other commands stand in `console` blocks: they need Docker, a cluster or an installed xtrimd.
  assert.deepEqual(
    commands.filter((command) => !/^(?:scripts\/|test\/|npm |npx )/.test(command)),
    [],
  )
})

/** What README shows that `plan` prints: the block behind the command. */
const PLAN_SHOWN = /xtrimd -- plan .*\n```\n\n```\n([\s\S]*?)^```$/m

/** Squeezes spaces, because columns are as wide as the figures in them. */
function squeezed(text: string): string {
  return text.replace(/ +/g, ' ')
}

/** Types a command at the project's root; once its output matches `until`, asks it to end. */
async function shell(
  t: TestContext,
  command: string,
  until?: RegExp,
): Promise<{ code: number | null; stdout: string }> {
  const child = spawn('bash', ['-c', `exec ${command}`], {
    cwd: ROOT,
    env: { ...withoutOurs(), XTRIMD_HTTP_BIND: '127.0.0.1:0' },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 120_000,
  })
  t.after(() => child.kill('SIGKILL'))
  let stdout = ''
  let asked = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    if (until?.test(stdout) && !asked) {
      asked = true
      child.kill('SIGTERM')
    }
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, stdout }
}

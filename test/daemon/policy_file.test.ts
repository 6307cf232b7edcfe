/** `--policy-file` while the daemon runs: applied, broken, mended, and swapped as Kubernetes swaps a ConfigMap. */

import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { parseExposition } from '../harness/exposition.ts'
import { type Daemon, EVERY_SECOND, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fillBurst } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

const RELOADED = 'reloaded --policy-file'
const REFUSED = 'could not reload --policy-file: the last valid version stays in force'

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-policies-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Replaces a file at once, as a careful editor does. */
function replace(path: string, content: string): void {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

/**
 * A ConfigMap as the kubelet mounts it: the file is a link into `..data`, itself a link to a folder with a date. An update
 * makes another folder, replaces the link `..data` in one step, and removes the old folder.
 */
function configMap(folder: string, content: string): { path: string; update(content: string): void } {
  let n = 0
  const update = (text: string): void => {
    const data = `..2026_01_01_00_00_0${n++}.1`
    mkdirSync(join(folder, data))
    writeFileSync(join(folder, data, 'policies'), text)
    symlinkSync(data, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
    if (n > 1) rmSync(join(folder, `..2026_01_01_00_00_0${n - 2}.1`), { recursive: true })
  }
  update(content)
  symlinkSync('..data/policies', join(folder, 'policies'))
  return { path: join(folder, 'policies'), update }
}

async function lengthBecomes(redis: RedisServer, key: string, length: number): Promise<void> {
  await waitUntil(async () => Number(await redis.command('XLEN', key)) === length, {
    timeoutMs: 60_000,
    what: `${key} to have ${length} entries`,
  })
}

/** The names of the policies that have a series, by metric. */
async function policiesIn(daemon: Daemon): Promise<Map<string, string[]>> {
  const labelled = parseExposition(await daemon.metrics()).filter(({ labels }) => labels.policy !== undefined)
  const byMetric = Map.groupBy(labelled, ({ name }) => name)
  return new Map([...byMetric].map(([name, all]) => [name, [...new Set(all.map(({ labels }) => labels.policy ?? ''))]]))
}

/** Waits for two more sweeps: the second one began after this call. */
const twoSweeps = (daemon: Daemon) => daemon.waitForSuccesses(2)

suite('--policy-file', { concurrency: 2 }, () => {
  test('a changed ConfigMap takes force at the next sweep, a broken one changes nothing, and a mended one takes force', async (t) => {
    const redis = await startRedis(t)
    const map = configMap(folderOf(t), 'chat:*,name=chat,max-length=100\n')
    for (const key of ['chat:a', 'bot:a']) await fillBurst(redis, key, 300, 60_000)
    const args = ['--trim', 'exact', '--policy', 'vip:*,name=vip', '--policy-file', map.path]
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...args])
    await lengthBecomes(redis, 'chat:a', 100)
    const status = async () => (await daemon.get('/')).text()
    const first = /version ([0-9a-f]{12}), in force since \d{4}-\d\d-\d\d/.exec(await status())?.[1]
    assert.ok(first, 'the status page names the version')

    // Applied: another limit, and a new policy.
    map.update('# bots too\nchat:*,name=chat,max-length=50\nbot:*,name=bot,max-length=7\n')
    const line = await daemon.waitForLog(RELOADED)
    assert.deepEqual(
      (line.policies as { name: string }[]).map(({ name }) => name),
      ['vip', 'chat', 'bot', 'stream:conversation:*'],
    )
    await lengthBecomes(redis, 'chat:a', 50)
    await lengthBecomes(redis, 'bot:a', 7)
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total', { policy: 'bot' }), 293)
    const second = /version ([0-9a-f]{12}), in force/.exec(await status())?.[1]
    assert.equal(second, line.version)
    assert.notEqual(second, first)

    // Broken: sweeps go on by the last valid version.
    const readAt = await daemon.metric('xtrimd_config_last_reload_success_timestamp_seconds')
    map.update('chat:*,name=chat,max-length=5\nbot:*,max-lenght=1\n')
    const refused = await daemon.waitForLog(REFUSED)
    assert.equal(refused.level, 'warn')
    assert.deepEqual(refused.problems, [
      `line 2 of --policy-file ${map.path}: unknown limit "max-lenght" at character 7 (did you mean max-length?); got "bot:*,max-lenght=1"\n    bot:*,max-lenght=1\n          ^`,
    ])
    assert.equal(await daemon.metric('xtrimd_config_last_reload_successful'), 0)
    const failedAt = await daemon.metric('xtrimd_config_last_reload_success_timestamp_seconds')
    await fillBurst(redis, 'chat:b', 60, 1_000)
    await lengthBecomes(redis, 'chat:b', 50)
    await twoSweeps(daemon)
    assert.equal(await redis.command('XLEN', 'chat:a'), 50)
    assert.equal(await daemon.metric('xtrimd_config_last_reload_success_timestamp_seconds'), failedAt)
    assert.ok(failedAt >= readAt)
    assert.match(await status(), new RegExp(`version ${second}, in force`))
    assert.match(await status(), /policy file error<\/dt><dd>line 2 of --policy-file/)
    assert.equal(daemon.logs.filter(({ msg }) => msg === REFUSED).length, 1, 'the log tells it once')

    // Mended.
    map.update('chat:*,name=chat,max-length=5\nbot:*,name=bot,max-length=1\n')
    await lengthBecomes(redis, 'chat:a', 5)
    await lengthBecomes(redis, 'bot:a', 1)
    assert.equal(await daemon.metric('xtrimd_config_last_reload_successful'), 1)
    assert.ok((await daemon.metric('xtrimd_config_last_reload_success_timestamp_seconds')) > failedAt)
    assert.doesNotMatch(await status(), /policy file error/)
    assert.equal((await daemon.stop()).code, 0)
  })

  test('a shorter time to reap takes force at once, also for streams in which nothing was reapable by the old one', async (t) => {
    const redis = await startRedis(t)
    const path = join(folderOf(t), 'policies')
    const policy = (after: string): void => replace(path, `chat:*,name=chat,reap-consumers-after=${after}\n`)
    policy('1d')
    await fillBurst(redis, 'chat:a', 10, 60_000)
    await redis.command('XGROUP', 'CREATE', 'chat:a', 'g', '0')
    for (const consumer of ['gone', 'busy']) await redis.command('XGROUP', 'CREATECONSUMER', 'chat:a', 'g', consumer)
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--policy-file', path])
    await twoSweeps(daemon)
    assert.equal(await daemon.metric('xtrimd_consumers_reaped_total'), 0)
    // Before Redis 7.2 a consumer is judged by the group's youngest.
    await redis.command('XREADGROUP', 'GROUP', 'g', 'busy', 'COUNT', '1', 'STREAMS', 'chat:a', '>')
    policy('1s')
    await daemon.waitForLog(RELOADED)
    const sweeps = await daemon.metric('xtrimd_sweeps_total', { result: 'success' })
    await daemon.waitForMetric('xtrimd_consumers_reaped_total', {}, (reaped) => reaped === 1)
    assert.ok((await daemon.metric('xtrimd_sweeps_total', { result: 'success' })) - sweeps < 4)
    assert.equal((await daemon.stop()).code, 0)
  })

  test('while the file is missing the last valid version stays in force, and its return is logged', async (t) => {
    const redis = await startRedis(t)
    const path = join(folderOf(t), 'policies')
    replace(path, 'chat:*,max-length=3')
    const args = ['--trim', 'exact', '--policy-file', path]
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...args])
    await daemon.waitForLog('sweep')
    rmSync(path)
    const { problems } = await daemon.waitForLog(REFUSED)
    assert.match(String(problems), /must be a readable file \(ENOENT\)/)
    await fillBurst(redis, 'chat:a', 10, 1_000)
    await lengthBecomes(redis, 'chat:a', 3)
    replace(path, 'chat:*,max-length=3')
    await daemon.waitForLog('--policy-file is valid again, and unchanged')
    assert.equal(daemon.logs.filter(({ msg }) => msg === RELOADED).length, 0)
  })

  test('series of a new policy start at 0, and those of a removed policy vanish', async (t) => {
    const redis = await startRedis(t)
    const path = join(folderOf(t), 'policies')
    replace(path, 'old:*,name=old,max-length=3\nkept:*,name=kept,max-length=3')
    for (const key of ['old:a', 'kept:a']) await fillBurst(redis, key, 300, 60_000)
    const args = ['--trim', 'exact', '--match', 'plain:*', '--policy-file', path]
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...args])
    await lengthBecomes(redis, 'old:a', 3)
    await lengthBecomes(redis, 'kept:a', 3)
    await daemon.waitForMetric('xtrimd_stream_length', { policy: 'old', stream: 'old:a' }, (n) => n === 3)
    const before = await policiesIn(daemon)
    assert.ok(before.size >= 10, `${before.size} metrics by policy`)

    replace(path, 'kept:*,name=kept,max-length=3\nnew:*,name=new,max-length=3')
    await daemon.waitForLog(RELOADED)
    await daemon.waitForMetric('xtrimd_streams', { policy: 'new' }, (n) => n === 0)
    for (const [name, policies] of await policiesIn(daemon)) {
      const all = name === 'xtrimd_stream_length' ? ['kept'] : ['kept', 'new', 'plain:*']
      assert.deepEqual(policies.toSorted(), all, name)
    }
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total', { policy: 'kept' }), 297, 'kept counters go on')
    // Two sweeps later nothing has come back.
    await twoSweeps(daemon)
    assert.equal([...(await policiesIn(daemon)).values()].flat().includes('old'), false)
  })

  test('a file that is written slowly never takes force half written', async (t) => {
    const redis = await startRedis(t)
    const path = join(folderOf(t), 'policies')
    replace(path, 'audit:*,name=audit,max-length=off,max-age=90d')
    await fillBurst(redis, 'audit:a', 300, 60_000)
    const args = ['--trim', 'exact', '--match', '*', '--max-length', '10', '--policy-file', path]
    const daemon = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, ...args])
    await twoSweeps(daemon)
    // For some seconds the file is half written at every reading: each half is valid, and none would keep the stream whole.
    const whole = 'chat:*,name=chat\naudit:*,name=audit,max-length=10000000,max-age=90d\n'
    const half = 'chat:*,name=chat\naudit:*,name=audit,max-length=10'
    const until = Date.now() + 5_000
    for (let n = 0; Date.now() < until; n++) {
      writeFileSync(path, `${half}\n# ${n}`)
      await pause(100)
    }
    writeFileSync(path, whole)
    const { version } = await daemon.waitForLog(RELOADED)
    await daemon.waitForMetric('xtrimd_streams', { policy: 'audit' }, (n) => n === 1)
    assert.equal(await redis.command('XLEN', 'audit:a'), 300)
    assert.equal(daemon.logs.filter(({ msg }) => msg === RELOADED).length, 1, String(version))
    // The control: the same half, left alone, takes force.
    writeFileSync(path, half)
    await lengthBecomes(redis, 'audit:a', 10)
  })

  test('the watch takes new policies, and its subscription goes on', async (t) => {
    const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Et' } })
    const path = join(folderOf(t), 'policies')
    replace(path, 'chat:*,max-length=50')
    const args = ['--trim', 'exact', '--watch', '--watch-every', '10', '--policy-file', path]
    const daemon = await startDaemon(t, ['--redis-url', redis.url, '--cron', '*/10 * * * * *', ...args])
    await daemon.waitForLog('watching')
    replace(path, 'chat:*,max-length=20\nbot:*,max-length=5')
    await daemon.waitForLog(RELOADED)
    await daemon.waitForLog(
      'sweep',
      60_000,
      daemon.logs.findIndex(({ msg }) => msg === RELOADED),
    )
    // The next sweep is seconds away, so the watch does the work.
    const write = async (key: string, count: number) => {
      for (let i = 0; i < count; i++) await redis.command('XADD', key, '*', 'a', 'b')
    }
    await write('bot:a', 10)
    await write('chat:a', 30)
    await lengthBecomes(redis, 'bot:a', 5)
    await lengthBecomes(redis, 'chat:a', 20)
    assert.match(await (await daemon.get('/')).text(), /removed by watch<\/dt><dd>15 entries/)
    assert.equal(await daemon.metric('xtrimd_entries_trimmed_total', { policy: 'bot:*' }), 5)
    assert.equal(daemon.logs.filter(({ msg }) => msg === 'watching').length, 1)
  })

  test('a sweep under pressure tightens the policies in force, and reads the file before it', async (t) => {
    const redis = await startRedis(t, { config: { maxmemory: '100mb' } })
    const path = join(folderOf(t), 'policies')
    replace(path, 'chat:*,max-length=500')
    await fillBurst(redis, 'chat:a', 1_000, 60_000)
    await fillBurst(redis, 'bot:a', 1_000, 60_000)
    const args = ['--trim', 'exact', '--pressure', '1%', '--pressure-max-length', '100', '--pressure-interval', '100ms']
    replace(path, 'chat:*,max-length=500')
    const daemon = await startDaemon(t, [
      ...['--redis-url', redis.url, ...HARDLY_EVER, '--run-on-start=false'],
      ...[...args, '--policy-file', path],
    ])
    await lengthBecomes(redis, 'chat:a', 100)
    assert.equal(await redis.command('XLEN', 'bot:a'), 1_000)
    replace(path, 'chat:*,max-length=50\nbot:*,max-length=500')
    await lengthBecomes(redis, 'bot:a', 100)
    await lengthBecomes(redis, 'chat:a', 50)
    assert.equal((await daemon.waitForLog('sweep')).trigger, 'pressure')
  })
})

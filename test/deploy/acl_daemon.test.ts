/** The ACL rights of features that need a daemon or a terminal: each works with exactly its rules. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Lease } from '../../src/shared_keys/lease.ts'
import { FileStore } from '../../src/store/file_store.ts'
import { sweep } from '../../src/sweep/sweep.ts'
import { BASE, type Feature, rulesOf } from '../harness/acl.ts'
import { assertTrimmed, begin, DISPENSABLE, fill, KEY, type Report, refusals, urlOf } from '../harness/acl_user.ts'
import { numbered, storeSegment } from '../harness/archived.ts'
import { temporaryFolder } from '../harness/files.ts'
import { EVERY_SECOND, HARDLY_EVER, runXtrimd, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { startSentinel } from '../harness/sentinel.ts'
import { taskOf } from '../harness/sweep_here.ts'
import { waitUntil } from '../harness/waiting.ts'

test('exactly this rule is needed for the memory metrics', async (t) => {
  const redis = await startRedis(t)
  for (const [rules, isTold] of [
    [rulesOf('`xtrimd_redis_memory_*`'), true],
    [[], false],
  ] as const) {
    await begin(redis, fill, [...rulesOf(BASE), ...rules])
    const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, '--lease=false'])
    assert.equal((await daemon.waitForLog('sweep')).result, 'success')
    assert.equal((await daemon.metric('xtrimd_redis_memory_used_bytes')) > 0, isTold)
    const warned = daemon.logs.some(({ msg, command }) => /does not allow/.test(msg) && command === 'INFO')
    assert.equal(warned, !isTold)
    assert.equal((await daemon.stop()).code, 0)
  }
})

test('exactly this rule is needed for --group-metrics', async (t) => {
  const redis = await startRedis(t)
  const prepare = async () => {
    await redis.command('XADD', KEY, '*', 'a', 'b')
    await redis.command('XGROUP', 'CREATE', KEY, 'group', '0')
  }
  for (const [rules, isTold] of [
    [rulesOf('`--group-metrics`'), true],
    [[], false],
  ] as const) {
    await begin(redis, prepare, [...rulesOf(BASE), ...rules])
    const args = ['--redis-url', urlOf(redis), ...HARDLY_EVER, '--lease=false', '--group-metrics', '5']
    const daemon = await startDaemon(t, args)
    assert.equal((await daemon.waitForLog('sweep')).result, 'success')
    assert.equal(/^xtrimd_groups\{.*\} 1$/m.test(await daemon.metrics()), isTold)
    const warned = daemon.logs.some(({ neededFor }) => neededFor === '--group-metrics')
    assert.equal(warned, !isTold)
    assert.equal((await daemon.stop()).code, 0)
  }
})

const LEASE: Feature = '`--lease`, unless it is `false`'

test('exactly these rules are needed to acquire, renew and release the lease', async (t) => {
  const redis = await startRedis(t)
  await begin(redis, fill, [...rulesOf(BASE), ...rulesOf(LEASE)])
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, '--lease-ttl', '3s'])
  assert.equal((await daemon.waitForLog('sweep')).result, 'success')
  assert.equal(await redis.command('EXISTS', 'xtrimd:lease'), 1)
  const renewals = await redis.callsOf('pexpire')
  await waitUntil(async () => (await redis.callsOf('pexpire')) >= renewals + 3, {
    timeoutMs: 60_000,
    what: 'renewals',
  })
  assert.equal(await daemon.metric('xtrimd_leader'), 1)
  assert.equal((await daemon.stop()).code, 0)
  assert.equal(await redis.command('EXISTS', 'xtrimd:lease'), 0)
  assert.deepEqual(
    (await refusals(redis)).filter((name) => !DISPENSABLE.includes(name)),
    [],
  )
})

test('if a right on the lease is missing, the error says what to grant', async (t) => {
  const redis = await startRedis(t)
  for (const rule of rulesOf(LEASE)) {
    await begin(
      redis,
      fill,
      rulesOf(LEASE).filter((other) => other !== rule),
    )
    const { topology, reach } = leaseReach(redis)
    const leaseOf = (token: string) => new Lease({ key: 'xtrimd:lease', ttlMs: 15_000 }, token, topology, reach)
    const lease = leaseOf('token')
    await assert.rejects(
      async () => {
        await lease.claim()
        await lease.claim()
        await leaseOf('another').claim()
        await lease.release()
      },
      {
        code: 'NOPERM',
        message:
          /^the ACL forbids the lease on xtrimd:lease: grant ~xtrimd:lease \+eval \+get \+set \+pttl \+pexpire \+del/,
      },
      rule,
    )
  }
  await begin(redis, fill, rulesOf(BASE))
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER])
  const line = await daemon.waitForLog('sweep')
  assert.deepEqual([line.result, line.cause], ['failed', 'NOPERM'])
  assert.match(String(line.reason), /^the ACL forbids the lease on /)
})

test('exactly these rules are needed to obey a pause', async (t) => {
  const redis = await startRedis(t)
  const own = rulesOf('obeying a pause')
  const trims = async (rules: readonly string[]): Promise<boolean> => {
    await begin(redis, fill, [...rulesOf(BASE), ...rules])
    await redis.command('SET', 'xtrimd:pause', 'by hand')
    const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...EVERY_SECOND, '--lease=false'])
    const succeeded = () => daemon.logs.some(({ msg, result }) => msg === 'sweep' && result === 'success')
    const skipped = async () => (await daemon.metric('xtrimd_sweeps_total', { result: 'skipped' })) >= 2
    const isPaused = async () => (await daemon.metric('xtrimd_paused')) === 1 && (await skipped())
    await waitUntil(async () => succeeded() || (await isPaused()), { timeoutMs: 60_000, what: 'sweeps, or a pause' })
    await daemon.stop()
    return succeeded()
  }
  assert.equal(await trims(own), false)
  assert.deepEqual(
    (await refusals(redis)).filter((name) => name === 'get'),
    [],
  )
  for (const rule of own) assert.equal(await trims(own.filter((other) => other !== rule)), true, rule)
})

for (const [feature, command, config] of [
  ['`xtrimd pause` (without the first row)', 'pause', {}],
  ['`xtrimd pause` while Redis is out of memory (7.0 and newer, without the first row)', 'pause', { maxmemory: '1' }],
  ['`xtrimd resume` (without the first row)', 'resume', {}],
] as const) {
  test(`exactly these rules are needed for ${feature}`, async (t) => {
    const redis = await startRedis(t)
    if (((await redis.command('COMMAND', 'INFO', 'EVAL_RO')) as unknown[])[0] === null)
      return t.skip('Redis before 7.0')
    const prepare = async () => {
      if (command === 'resume') await redis.command('SET', 'xtrimd:pause', 'by hand')
    }
    const run = async (rules: readonly string[]) => {
      await redis.command('CONFIG', 'SET', 'maxmemory', '0')
      await begin(redis, prepare, rules)
      for (const [name, value] of Object.entries(config)) await redis.command('CONFIG', 'SET', name, value)
      return await runXtrimd([command, '--redis-url', urlOf(redis)])
    }
    const own = rulesOf(feature)
    assert.equal((await run(own)).code, 0)
    assert.equal(await redis.command('EXISTS', 'xtrimd:pause'), command === 'pause' ? 1 : 0)
    assert.deepEqual(
      (await refusals(redis)).filter((name) => !DISPENSABLE.includes(name) || name === 'get'),
      [],
    )
    for (const rule of own) {
      const { code, stderr } = await run(own.filter((other) => other !== rule))
      assert.equal(code, 1, rule)
      assert.match(stderr, /the ACL forbids the pause on xtrimd:pause: grant ~xtrimd:pause \+/, rule)
      assert.equal(await redis.command('EXISTS', 'xtrimd:pause'), command === 'pause' ? 0 : 1)
    }
  })
}

const RESTORE: Feature =
  '`xtrimd archive restore` (without the first row; `archive ls` and `archive cat` need no Redis)'

test('exactly these rules are needed to restore a stream, and to go on where a restore was interrupted', async (t) => {
  const redis = await startRedis(t)
  const folder = temporaryFolder(t, 'restored')
  const entries = numbered(KEY, 1, 20)
  await storeSegment(new FileStore(folder), entries)
  const half = async (): Promise<void> => {
    for (const { id, fields } of entries.slice(0, 10)) await redis.command('XADD', 'restored:a', id, ...fields.flat())
  }
  const restored = async (rules: readonly string[]): Promise<number | null> => {
    await begin(redis, half, rules)
    const args = ['--archive', `file://${folder}`, '--stream', KEY, '--to-stream', 'restored:a']
    return (await runXtrimd(['archive', 'restore', ...args, '--redis-url', urlOf(redis)])).code
  }
  const own = rulesOf(RESTORE)
  assert.equal(await restored(own), 0)
  assert.equal(await redis.command('XLEN', 'restored:a'), 20)
  for (const rule of own) {
    assert.equal(await restored(own.filter((other) => other !== rule)), 1, rule)
    assert.equal(await redis.command('XLEN', 'restored:a'), 10, rule)
  }
})

const SENTINEL: Feature = '`--redis-mode sentinel`, on sentinels that require a login (without the first row)'

test('exactly this rule is needed for a sentinel that requires a user', async (t) => {
  const redis = await startRedis(t)
  const sentinel = await startSentinel(t, {
    master: 'mymaster',
    primaryPort: redis.port,
    quorum: 1,
    lines: ['user default off', 'user boss on >boss ~* &* +@all'],
    credentials: { username: 'boss', password: 'boss' },
  })
  await begin(redis, fill, rulesOf(BASE))
  const url = `redis://ops:pass@127.0.0.1:${sentinel.port}`
  const args = ['sweep', '--output', 'json', '--redis-url', url, '--redis-mode', 'sentinel']
  const told = async (rules: readonly string[]) => {
    await sentinel.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', ...rules)
    const ended = await runXtrimd([...args, '--sentinel-master', 'mymaster'])
    return { code: ended.code, report: JSON.parse(ended.stdout) as Report }
  }

  const { code, report } = await told(rulesOf(SENTINEL))
  assert.deepEqual([code, report.result], [0, 'success'], JSON.stringify(report))
  assertTrimmed(report)

  const without = await told([])
  assert.deepEqual([without.code, without.report.result, without.report.cause], [1, 'failed', 'NOPERM'])
  assert.match(String(without.report.reason), /sentinel\|get-master-addr-by-name/)
})

const WATCHING = ['--lease=false', '--watch', '--watch-every', '10', '--max-length', '20', '--trim', 'exact']

/** Starts a daemon that watches with these rights, writes to a stream, and checks whether it is capped. */
async function isCapped(t: TestContext, redis: RedisServer, rules: readonly string[], more: readonly string[] = []) {
  await begin(redis, async () => {}, rules)
  const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, ...WATCHING, ...more])
  const told = await daemon.waitForLog(({ msg }) => msg === 'watching' || msg === 'watch lost')
  for (let i = 0; i < 100; i++) await redis.command('XADD', KEY, '*', 'body', 'x')
  const capped = async (): Promise<boolean> => Number(await redis.command('XLEN', KEY)) === 20
  if (told.msg === 'watching') await waitUntil(capped, { timeoutMs: 60_000, what: 'the stream to be capped' })
  await daemon.stop()
  return { capped: await capped(), told, logs: daemon.logs }
}

test('exactly these rules are needed for --watch', async (t) => {
  const redis = await startRedis(t, { config: { 'notify-keyspace-events': 'Et' } })
  const base = [...rulesOf(BASE), ...rulesOf('`--trim exact`')]
  const own = rulesOf('`--watch`')
  assert.ok((await isCapped(t, redis, [...base, ...own])).capped)
  assert.deepEqual(
    (await refusals(redis)).filter((name) => !DISPENSABLE.includes(name)),
    [],
  )
  for (const rule of own) {
    const { capped, told, logs } = await isCapped(t, redis, [...base, ...own.filter((other) => other !== rule)])
    if (rule === '+config|get') {
      // The watch works without it, and says that it cannot check the setting.
      assert.ok(
        capped && logs.some(({ msg, reason }) => msg === 'watch limited' && /config\|get/i.test(String(reason))),
      )
    } else if (rule === '+ping') {
      assert.ok(capped, 'without it, only a quiet connection would be lost')
    } else {
      assert.deepEqual([capped, told.msg, told.cause], [false, 'watch lost', 'NOPERM'], rule)
    }
  }
})

test('exactly this rule is needed for --watch-configure', async (t) => {
  const redis = await startRedis(t)
  const base = [...rulesOf(BASE), ...rulesOf('`--trim exact`'), ...rulesOf('`--watch`')]
  const without = await isCapped(t, redis, base, ['--watch-configure'])
  assert.deepEqual([without.capped, without.told.cause], [false, 'NOPERM'])
  assert.match(
    String(without.told.reason),
    /^--watch-configure: Redis does not allow CONFIG SET notify-keyspace-events Et /,
  )
  assert.ok((await isCapped(t, redis, [...base, ...rulesOf('`--watch-configure`')], ['--watch-configure'])).capped)
})

test('exactly this rule is needed for --pressure', async (t) => {
  const redis = await startRedis(t)
  for (const [rules, isSwept] of [
    [rulesOf('`--pressure`'), true],
    [[], false],
  ] as const) {
    await begin(redis, fill, [...rulesOf(BASE), ...rules])
    const pressure = ['--pressure', '1kb', '--pressure-interval', '100ms', '--lease=false']
    const daemon = await startDaemon(t, ['--redis-url', urlOf(redis), ...HARDLY_EVER, ...pressure])
    if (isSwept) await daemon.waitForMetric('xtrimd_pressure_sweeps_total', {}, (sweeps) => sweeps > 0)
    else assert.equal((await daemon.waitForLog('could not read memory')).cause, 'NOPERM')
    assert.equal((await daemon.stop()).code, 0)
  }
})

test('exactly this rule is needed for the progress bar of a sweep', async (t) => {
  const redis = await startRedis(t)
  for (const rules of [rulesOf('the progress bar of `xtrimd sweep` on a terminal'), []]) {
    await begin(redis, fill, [...rulesOf(BASE), ...rules])
    let expected = 0
    const extent = { expect: (keys: number) => (expected += keys), visit: () => {} }
    const report = await sweep({ ...taskOf(urlOf(redis), []), extent }, new AbortController().signal)
    assert.deepEqual([report.result, expected], ['success', rules.length])
  }
})

function leaseReach(redis: RedisServer) {
  const address = { host: '127.0.0.1', port: redis.port }
  const credentials = () => ({ username: 'ops', password: 'pass' })
  return {
    topology: { mode: 'standalone', addresses: [address] },
    reach: { credentials, database: 0, tls: null, replyTimeoutMs: 5_000 },
  } as const
}

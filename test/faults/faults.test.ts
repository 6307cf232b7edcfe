/** Faults of Redis and of the network: a real daemon meets each one and recovers. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext } from 'node:test'
import { assertLockedOut, assertMeets, type Scene, type SceneOptions, startScene } from '../harness/fault_scene.ts'
import { type FaultRow, REACH_FAULTS, REFUSAL_FAULTS, STREAM_FAULTS } from '../harness/faults.ts'
import { temporaryFolder } from '../harness/files.ts'
import { meetingsOf } from '../harness/meetings.ts'
import { EVERY_SECOND, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { breakSnapshots, SNAPSHOTS } from '../harness/snapshots.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { waitUntil } from '../harness/waiting.ts'

const ROWS = [...REACH_FAULTS, ...REFUSAL_FAULTS, ...STREAM_FAULTS]
/** For tests in which the reply deadline ends the sweep. The others keep the default, which a busy machine does not reach. */
const IMPATIENT = ['--reply-timeout', '2s']

const { meeting, allMet } = meetingsOf(ROWS)

// Concurrent, because each test mostly waits for ticks.
suite('Redis is away, silent or slow', { concurrency: 4 }, () => {
  meeting('it refuses connections', async (t, row) => {
    const scene = await startScene(t)
    await scene.proxy.refuse()
    scene.proxy.dropAll()
    await scene.appear()
    const line = await assertMeets(scene, row)
    assert.match(String(line.reason), /ECONNREFUSED/)
    assert.equal(await scene.gone(), 0)
    await scene.proxy.heal()
    await scene.assertOver()
  })

  meeting('its host name stops resolving', async (t, row) => {
    const folder = temporaryFolder(t, 'hosts')
    const hosts = join(folder, 'hosts')
    const known = '127.0.0.1 redis.invalid\n'
    await writeFile(hosts, known)
    const scene = await startScene(t, { hosts, url: (_, { port }) => `redis://redis.invalid:${port}` })
    await writeFile(hosts, '')
    const line = await assertLockedOut(scene, row)
    assert.match(String(line.reason), /redis\.invalid.*(?:ENOTFOUND|EAI_AGAIN)/)
    await writeFile(hosts, known)
    await scene.assertOver()
  })

  meeting('it accepts connections and never answers', async (t, row) => {
    const scene = await startScene(t, { args: IMPATIENT })
    scene.proxy.blackhole()
    await scene.appear()
    const accepted = scene.proxy.accepted
    await assertMeets(scene, row)
    assert.ok(scene.proxy.accepted > accepted)
    assert.equal(await scene.gone(), 0)
    await scene.proxy.heal()
    await scene.assertOver()
  })

  meeting('it is frozen', async (t, row) => {
    const scene = await startScene(t, { args: IMPATIENT })
    scene.proxy.hold('')
    await scene.appear()
    await scene.redis.freeze()
    await scene.proxy.heal()
    await assertMeets(scene, row)
    await scene.redis.thaw()
    await scene.assertOver()
  })

  meeting('it freezes in the middle of a sweep', async (t, row) => {
    const scene = await startMiddle(t, { args: IMPATIENT })
    await scene.redis.freeze()
    await scene.proxy.heal()
    const line = await scene.sweepThat(row)
    await scene.redis.thaw()
    await assertPartlyDone(scene, line)
    await scene.assertOver()
  })

  meeting('its replies get lost', async (t, row) => {
    const scene = await startMiddle(t, { args: IMPATIENT })
    scene.proxy.swallowReplies()
    await assertPartlyDone(scene, await scene.sweepThat(row))
    await scene.proxy.heal()
    await scene.assertOver()
  })

  meeting('the network drops the connection silently (half-open)', async (t, row) => {
    const scene = await startMiddle(t, { args: IMPATIENT })
    // The proxy never passes on what it holds: neither side hears from the other again, and no connection is closed.
    await assertPartlyDone(scene, await scene.sweepThat(row))
    scene.proxy.dropAll()
    await scene.proxy.heal()
    await scene.assertOver()
  })

  meeting('it is killed in the middle of a sweep', async (t, row) => {
    const scene = await startMiddle(t)
    await scene.redis.command('SAVE')
    const gone = await scene.gone()
    await scene.redis.kill()
    const line = await scene.sweepThat(row)
    assert.ok(removedBy(line) > 0 && removedBy(line) <= gone && gone < scene.surplus, `${removedBy(line)} of ${gone}`)
    await scene.proxy.heal()
    await scene.redis.restart()
    await scene.assertOver()
  })

  meeting('somebody kills the connection (`CLIENT KILL`)', async (t, row) => {
    const scene = await startMiddle(t)
    assert.equal(await scene.redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'), 1)
    await assertPartlyDone(scene, await scene.sweepThat(row))
    await scene.proxy.heal()
    await scene.assertOver()
  })

  meeting('a reply breaks off in the middle', async (t, row) => {
    const scene = await startMiddle(t)
    // The shortest possible reply has four bytes.
    scene.proxy.cutAfterReplyBytes(3)
    await assertPartlyDone(scene, await scene.sweepThat(row))
    await scene.proxy.heal()
    await scene.assertOver()
  })

  meeting('it answers 300 ms late', async (t, row) => {
    const scene = await startScene(t)
    scene.proxy.delay(300)
    await scene.appear()
    const line = await assertMeets(scene, row)
    assert.ok(Number(line.durationSeconds) > 0.9, 'every batch was late')
    assert.equal(removedBy(line), scene.surplus)
    await scene.proxy.heal()
    await scene.assertOver()
  })
})

suite('Redis says no', { concurrency: 4 }, () => {
  meeting('it is loading its data', async (t, row) => {
    const scene = await startScene(t, {
      config: { 'key-load-delay': '50000', 'loading-process-events-interval-bytes': '1024' },
      prepare: async (redis) => {
        for (let i = 0; i < 300; i++) await redis.command('SET', `filler:${i}`, 'x'.repeat(1_000))
        await redis.command('SAVE')
      },
    })
    const restarted = scene.redis.restart()
    await scene.sweepThat(row)
    await assert.rejects(scene.redis.command('DBSIZE'), /^Error: LOADING/)
    await scene.redis.command('CONFIG', 'SET', 'key-load-delay', '0')
    await restarted
    await scene.appear()
    await scene.assertOver()
  })

  meeting('a script blocks it', async (t, row) => {
    const scene = await startScene(t, { config: { 'busy-reply-threshold': '50' } })
    const { redis, proxy } = scene
    proxy.hold('')
    await scene.appear()
    const release = await blockByScript(t, redis)
    await proxy.heal()
    await assertMeets(scene, row)
    await release()
    assert.equal(await scene.gone(), 0)
    await scene.assertOver()
  })

  meeting('a script blocks it in the middle of a sweep', async (t, row) => {
    const scene = await startMiddle(t, { config: { 'busy-reply-threshold': '50' } })
    const release = await blockByScript(t, scene.redis)
    await scene.proxy.heal()
    const line = await scene.sweepThat(row)
    await release()
    await assertPartlyDone(scene, line)
    await scene.assertOver()
  })

  meeting('it cannot write its snapshot and refuses writes', async (t, row) => {
    const scene = await startScene(t, { config: SNAPSHOTS })
    const { redis } = scene
    const repair = await breakSnapshots(redis)
    await scene.appear(['CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'yes'])
    await assert.rejects(write(redis), /^Error: MISCONF/)
    await assertMeets(scene, row)
    assert.equal(await scene.gone(), 0)
    await repair()
    await scene.assertOver()
  })

  meeting('it is out of memory (`noeviction`)', async (t, row) => {
    const scene = await startScene(t, { longStreams: 20, bytes: 300, args: ['--lease=true'] })
    const { redis, proxy, daemon } = scene
    proxy.hold('')
    await scene.appear()
    await redis.command('DEL', 'xtrimd:lease')
    const used = await redis.usedMemory()
    await redis.command('CONFIG', 'SET', 'maxmemory', String(used - 300_000))
    await assert.rejects(write(redis), /^Error: OOM/)
    const from = daemon.logs.length
    await proxy.heal()
    await daemon.waitForLog(
      ({ msg, level, reason }) =>
        msg === 'sweeping without the lease' && level === 'warn' && /out of memory/.test(String(reason)),
      undefined,
      from,
    )
    await scene.sweepThat(row)
    await waitUntil(async () => (await scene.gone()) > 0.9 * scene.surplus, { timeoutMs: 60_000, what: 'the trim' })
    await write(redis)
    await daemon.waitForLog('acquired the lease', undefined, from)
    await scene.assertOver()
  })

  meeting('it became a replica', async (t, row) => {
    const scene = await startScene(t)
    await scene.appear(['REPLICAOF', '127.0.0.1', '1'])
    await assert.rejects(write(scene.redis), /^Error: READONLY/)
    await assertMeets(scene, row)
    assert.equal(await scene.gone(), 0)
    await scene.redis.command('REPLICAOF', 'NO', 'ONE')
    await scene.assertOver()
  })

  meeting('it is a replica that lost its primary and serves no stale data', async (t, row) => {
    const scene = await startScene(t, { config: { 'replica-serve-stale-data': 'no' } })
    await scene.appear(['REPLICAOF', '127.0.0.1', '1'])
    await assert.rejects(scene.gone(), /^Error: MASTERDOWN/)
    await assertMeets(scene, row)
    await scene.redis.command('REPLICAOF', 'NO', 'ONE')
    assert.equal(await scene.gone(), 0)
    await scene.assertOver()
  })

  meeting('it has too many clients', async (t, row) => {
    const scene = await startScene(t)
    await scene.appear(['CONFIG', 'SET', 'maxclients', '1'])
    const line = await assertMeets(scene, row)
    assert.match(String(line.reason), /max number of clients/)
    await scene.redis.command('CONFIG', 'SET', 'maxclients', '1000')
    await scene.assertOver()
  })

  meeting('it does not have that database', async (t, row) => {
    const redis = await startRedis(t)
    const key = 'stream:conversation:1'
    await fillStream(redis, key, { count: 3_000, from: await redisNow(redis), stepMs: 1, bytes: 10 })
    const before = await streamIds(redis, key)
    const daemon = await startDaemon(t, ['--redis-url', `${redis.url}/99`, ...EVERY_SECOND, '--lease=false'])
    await daemon.waitForMetric('xtrimd_sweep_failures_total', { cause: 'ERR' }, (failures) => failures >= 2)
    const line = await daemon.waitForLog('sweep')
    assert.deepEqual([line.result, line.cause], [row.result, row.cause], JSON.stringify(line))
    assert.deepEqual(await streamIds(redis, key), before, 'database 0 was not swept instead')
    assert.equal((await daemon.stop()).code, 0)
    // The control: database 0 is swept when the URL names it.
    const control = await startDaemon(t, ['--redis-url', `${redis.url}/0`])
    assert.equal((await control.waitForLog('sweep')).result, 'success')
    assert.equal(await redis.command('XLEN', key), 1_000)
  })
})

suite('a stream changes under the sweep', { concurrency: 4 }, () => {
  meeting('a key is deleted before its turn comes', async (t, row) => {
    await Promise.all(
      JOURNEYS.map(async (journey) => {
        const { scene, line } = await betweenCommands(t, row, journey, (redis, key) => redis.command('DEL', key))
        assert.deepEqual([line.skipped, line.errors], [{ custom_ids: 0, not_a_stream: 0 }, {}])
        await scene.assertOver()
      }),
    )
  })

  meeting('a key stops being a stream before its turn comes', async (t, row) => {
    await Promise.all(
      JOURNEYS.map(async (journey) => {
        const become = (redis: RedisServer, key: string) => redis.command('SET', key, 'value')
        const { scene, line, changed } = await betweenCommands(t, row, journey, become)
        assert.deepEqual([line.skipped, line.errors], [{ custom_ids: 0, not_a_stream: 3 }, {}])
        for (const key of changed) assert.equal(await scene.redis.command('GET', key), 'value')
        await scene.assertOver()
      }),
    )
  })
})

allMet()

/** A sweep that has done part of its work and whose next command is held by the proxy. */
async function startMiddle(t: TestContext, options: SceneOptions = {}): Promise<Scene> {
  const args = ['--page-size', '4', ...(options.args ?? [])]
  const scene = await startScene(t, { longStreams: 60, ...options, args })
  // More streams than the pages in flight hold, so that one page has ended. Some servers put several keys on the smallest page.
  scene.proxy.hold('XTRIM', 6)
  await scene.appear()
  await waitUntil(() => scene.proxy.held > 0, { timeoutMs: 60_000, what: 'the middle of a sweep' })
  return scene
}

/** Asserts that trims whose reply did not arrive are not counted, and that the rest of the work was not started. */
async function assertPartlyDone(scene: Scene, line: Record<string, unknown>): Promise<void> {
  const removed = removedBy(line)
  const gone = await scene.gone()
  assert.ok(removed > 0 && removed <= gone && gone < scene.surplus, `${removed} of ${gone} of ${scene.surplus}`)
}

function removedBy(line: Record<string, unknown>): number {
  return (line.removed as { length: number }).length
}

/** The commands that a sweep sends for a stream, in order. */
interface Journey {
  readonly commands: readonly string[]
  readonly hasGroup: boolean
}

/** A stream with a group is trimmed alone. Streams without groups are trimmed together, and their length is read afterwards. */
const JOURNEYS: readonly Journey[] = [
  { hasGroup: true, commands: ['XLEN', 'XINFO', 'XTRIM'] },
  { hasGroup: false, commands: ['XLEN', 'XTRIM', 'XLEN'] },
]

/** Changes one key before each command that a sweep sends for it: one before it is looked at, … */
async function betweenCommands(
  t: TestContext,
  row: FaultRow,
  { commands, hasGroup }: Journey,
  act: (redis: RedisServer, key: string) => Promise<unknown>,
) {
  const scene = await startScene(t, { longStreams: 4, hasGroups: hasGroup })
  const { proxy, longKeys, redis } = scene
  proxy.hold('')
  await scene.appear()
  const changed = longKeys.slice(0, commands.length)
  for (const [i, command] of commands.entries()) {
    proxy.hold(command)
    await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: command })
    const key = changed[i] as string
    await act(redis, key)
    scene.forget(key)
  }
  await proxy.heal()
  return { scene, changed, line: await scene.sweepThat(row) }
}

/** Keeps Redis busy with a script. @returns a function that ends it */
async function blockByScript(t: TestContext, redis: RedisServer): Promise<() => Promise<void>> {
  const other = redis.client.duplicate()
  t.after(() => other.destroy())
  other.on('error', () => {})
  await other.connect()
  const script = assert.rejects(other.sendCommand(['EVAL', 'while true do end', '0']), /killed/)
  const isBusy = () =>
    redis.command('PING').then(
      () => false,
      (error: Error) => /^BUSY/.test(error.message),
    )
  await waitUntil(isBusy, { timeoutMs: 60_000, what: 'Redis to be busy' })
  return async () => {
    await redis.command('SCRIPT', 'KILL')
    await script
  }
}

const write = (redis: RedisServer) => redis.command('XADD', 'other:written', '*', 'a', 'b')

/** Faults for a daemon that holds the lease, as by default: it cannot renew the lease either. */

import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { assertMeets, type Scene, type SceneOptions, startScene } from '../harness/fault_scene.ts'
import { REACH_FAULTS, REFUSAL_FAULTS } from '../harness/faults.ts'
import { EVERY_SECOND, startDaemon } from '../harness/program.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import { breakSnapshots, SNAPSHOTS } from '../harness/snapshots.ts'

const TTL_MS = 3_000
const FAULTS = [...REACH_FAULTS, ...REFUSAL_FAULTS]

function startHolding(t: TestContext, { args = [], ...options }: SceneOptions = {}): Promise<Scene> {
  return startScene(t, { ...options, args: ['--lease=true', '--lease-ttl', `${TTL_MS}ms`, ...args] })
}

const rowOf = (name: string) => FAULTS.find((row) => row.name === name) ?? assert.fail(name)

/** Asserts that the lease was lost while Redis was away and acquired again afterwards. */
async function assertLedAnew({ daemon }: Scene): Promise<void> {
  const leads = daemon.logs.filter(({ msg }) => msg === 'acquired the lease' || msg === 'could not acquire the lease')
  assert.deepEqual(
    leads.map(({ msg }) => msg),
    ['acquired the lease', 'could not acquire the lease', 'acquired the lease'],
  )
}

suite('a daemon that holds the lease', { concurrency: 4 }, () => {
  test('if Redis refuses connections, sweeps fail during the term and after it', async (t) => {
    const scene = await startHolding(t)
    const { proxy, daemon } = scene
    await proxy.refuse()
    proxy.dropAll()
    await scene.appear()
    const row = rowOf('it refuses connections')
    await scene.sweepThat(row)
    await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 0)
    await assertMeets(scene, row)
    assert.equal(await scene.gone(), 0)
    await proxy.heal()
    await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    await assertLedAnew(scene)
    await scene.assertOver()
  })

  test('if Redis is frozen, the running sweep ends no later than the lease, and the next ones fail', async (t) => {
    const scene = await startHolding(t, { args: ['--reply-timeout', '2s'] })
    scene.proxy.hold('')
    await scene.appear()
    await scene.redis.freeze()
    await scene.proxy.heal()
    const row = rowOf('it is frozen')
    await scene.sweepThat(row)
    await scene.daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 0)
    await assertMeets(scene, row)
    await scene.redis.thaw()
    await scene.daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    await assertLedAnew(scene)
    await scene.assertOver()
  })

  for (const [name, config, refuse] of [
    [
      'it cannot write its snapshot and refuses writes',
      SNAPSHOTS,
      async (redis: RedisServer) => {
        const repair = await breakSnapshots(redis)
        await redis.command('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'yes')
        return repair
      },
    ],
    [
      'it became a replica',
      {},
      async (redis: RedisServer) => {
        await redis.command('REPLICAOF', '127.0.0.1', '1')
        return () => redis.command('REPLICAOF', 'NO', 'ONE')
      },
    ],
  ] as const) {
    test(`${name}: once the term is over, a sweep fails even if it has nothing to remove`, async (t) => {
      const scene = await startHolding(t, { config })
      const { redis, daemon } = scene
      const row = rowOf(name)
      const repair = await refuse(redis)
      await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 0)
      await assertMeets(scene, row)
      // The control: without the lease, such a sweep writes nothing and succeeds.
      const other = await startDaemon(t, ['--redis-url', redis.url, ...EVERY_SECOND, '--lease=false'])
      assert.equal((await other.waitForLog('sweep')).result, 'success')
      await other.stop()
      await repair()
      await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
      await scene.appear()
      await assertLedAnew(scene)
      await scene.assertOver()
    })
  }
})

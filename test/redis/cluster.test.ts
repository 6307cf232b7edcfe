/** Redis Cluster: every primary is swept, and a failing primary costs only its own streams. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { sweep } from '../../src/sweep/sweep.ts'
import { assertToldAs } from '../harness/faults.ts'
import { LENGTH_LIMIT, overfill, SURPLUS } from '../harness/overlong_streams.ts'
import { EVERY_SECOND, startDaemon } from '../harness/program.ts'
import { migrate, openSlot, type RedisCluster, startCluster, WITHOUT_FULL_COVERAGE } from '../harness/redis_cluster.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { isPrimary } from '../harness/replication.ts'
import { fillStream, redisNow, streamIds } from '../harness/streams.ts'
import { sweepHere, taskOf } from '../harness/sweep_here.ts'
import { sweepOnce, sweepWell } from '../harness/sweep_once.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const CLUSTER = ['--redis-mode', 'cluster']
/** The errors a cluster gives while slots move or fail. */
const HAS_MOVED = ['MOVED', 'ASK', 'TRYAGAIN']

/** Keys with and without hash tags; each kind has keys on every primary. */
const KEYS = Array.from({ length: 30 }, (_, i) => [
  `stream:conversation:${i}`,
  `stream:conversation:{tag${i}}:x`,
]).flat()

/** The keys, by the index of their primary. */
async function byHome(cluster: RedisCluster, keys: readonly string[]): Promise<string[][]> {
  const homes = await Promise.all(keys.map((key) => cluster.homeOf(key)))
  return cluster.primaries.map((_, place) => keys.filter((_, i) => homes[i] === place))
}

async function overfillAll(
  cluster: RedisCluster,
  homes: readonly (readonly string[])[],
): Promise<Map<string, string[]>> {
  const kept = await Promise.all(cluster.primaries.map((node, place) => overfill(node, homes[place] ?? [])))
  return new Map(kept.flatMap((one) => [...one]))
}

async function lengthsOf(node: RedisServer, keys: readonly string[]): Promise<number[]> {
  return Promise.all(keys.map((key) => node.command('XLEN', key).then(Number)))
}

async function assertTrimmed(node: RedisServer, keys: readonly string[]): Promise<void> {
  assert.deepEqual(
    await lengthsOf(node, keys),
    keys.map(() => LENGTH_LIMIT),
  )
}

async function assertUntouched(node: RedisServer, keys: readonly string[]): Promise<void> {
  assert.deepEqual(
    await lengthsOf(node, keys),
    keys.map(() => LENGTH_LIMIT + SURPLUS),
  )
}

describe('a cluster', { concurrency: 2 }, () => {
  test('every primary is swept, whatever hash tags the keys have, and a missing primary costs only its own streams', async (t) => {
    const slowToLoad = { 'key-load-delay': '50000', 'loading-process-events-interval-bytes': '1024' }
    const cluster = await startCluster(t, { config: { ...WITHOUT_FULL_COVERAGE.config, ...slowToLoad } })
    const homes = await byHome(cluster, KEYS)
    for (const keys of homes) {
      assert.ok(keys.some((key) => key.includes('{')) && keys.some((key) => !key.includes('{')), 'each has both kinds')
    }
    const [first, broken, third] = cluster.primaries as [RedisServer, RedisServer, RedisServer]
    const [firstKeys, brokenKeys, thirdKeys] = homes as [string[], string[], string[]]
    const others = firstKeys.length + thirdKeys.length

    await t.test('the control: without a fault all streams are trimmed', async () => {
      await overfillAll(cluster, homes)
      const report = await sweepWell(cluster.urls, CLUSTER)
      assert.equal(report.streams, KEYS.length)
      assert.equal(report.removed.length, KEYS.length * SURPLUS)
      for (const [place, node] of cluster.primaries.entries()) await assertTrimmed(node, homes[place] ?? [])
    })

    await t.test('one seed is enough, and the sweep does not wait for dead or silent ones', async () => {
      const silent = await startProxy(t, first.port)
      silent.blackhole()
      const dead = await startProxy(t, first.port)
      await dead.refuse()
      await overfillAll(cluster, homes)
      const seeds = `${dead.url},${silent.url},${third.url}`
      const report = await sweepWell(seeds, [...CLUSTER, '--reply-timeout', '30s'])
      assert.equal(report.removed.length, KEYS.length * SURPLUS)
      assert.ok(report.durationSeconds < 20, `${report.durationSeconds} s`)
      assert.ok(silent.accepted > 0, 'the silent seed was asked')
    })

    await t.test('no seed answers', async () => {
      const dead = await startProxy(t, first.port)
      await dead.refuse()
      const { report, code } = await sweepOnce(dead.url, CLUSTER)
      assert.deepEqual([code, report.result, report.cause], [1, 'failed', 'connect'])
    })

    await t.test('one primary is loading its data', async () => {
      await overfillAll(cluster, homes)
      const tag = brokenKeys.find((key) => !key.includes('{')) ?? ''
      for (let i = 0; i < 300; i++) await broken.command('SET', `{${tag}}:${i}`, 'x'.repeat(1_000))
      await broken.command('SAVE')
      const restarted = broken.restart()
      const loading = () =>
        broken.command('DBSIZE').then(
          () => false,
          (error: Error) => /^LOADING/.test(error.message),
        )
      await waitUntil(loading, { timeoutMs: 60_000, what: 'the primary to be loading' })
      const { report, code } = await sweepOnce(first.url, CLUSTER)
      assert.ok(await loading(), 'it was loading during the whole sweep')
      await broken.command('CONFIG', 'SET', 'key-load-delay', '0')
      await restarted
      assert.deepEqual([code, report.result, report.cause], [1, 'partial', 'LOADING'])
      assert.deepEqual([report.streams, report.removed.length], [others, others * SURPLUS])
      await cluster.untilServing(cluster.primaries)
      await assertUntouched(broken, brokenKeys)
      await broken.command('FLUSHALL')
      await broken.command('SAVE')
    })

    await t.test('one primary is frozen', async () => {
      await overfillAll(cluster, homes)
      await broken.freeze()
      const { report, code } = await sweepOnce(cluster.urls, [...CLUSTER, '--reply-timeout', '3s'])
      await broken.thaw()
      assert.equal(code, 1)
      assertToldAs('one primary of a cluster is frozen', report)
      assert.match(String(report.reason), new RegExp(`127\\.0\\.0\\.1:${broken.port}$`))
      assert.deepEqual([report.streams, report.removed.length], [others, others * SURPLUS])
      await assertTrimmed(first, firstKeys)
      await assertTrimmed(third, thirdKeys)
      await cluster.untilServing(cluster.primaries)
      await assertUntouched(broken, brokenKeys)
      await sweepWell(cluster.urls, CLUSTER)
      await assertTrimmed(broken, brokenKeys)
    })

    await t.test('one primary is killed, and comes back', async () => {
      await overfillAll(cluster, homes)
      await broken.kill()
      const { report, code } = await sweepOnce(cluster.urls, CLUSTER)
      assert.equal(code, 1)
      assertToldAs('one primary of a cluster is down', report)
      assert.match(String(report.reason), new RegExp(`^127\\.0\\.0\\.1:${broken.port}: .*ECONNREFUSED`))
      assert.deepEqual([report.streams, report.removed.length], [others, others * SURPLUS])
      await assertTrimmed(first, firstKeys)
      await assertTrimmed(third, thirdKeys)
      await broken.restart()
      await cluster.untilServing(cluster.primaries)
      await overfill(broken, brokenKeys)
      assert.equal((await sweepWell(cluster.urls, CLUSTER)).removed.length, brokenKeys.length * SURPLUS)
    })
  })

  test('after a failover the daemon continues with the new primary, even if the old one held the lease', async (t) => {
    const cluster = await startCluster(t, { withReplicas: true })
    const home = await cluster.homeOf('xtrimd:lease')
    const old = cluster.primaries[home] as RedisServer
    const successor = cluster.replicas[home] as RedisServer
    const keys = (await byHome(cluster, KEYS))[home] as string[]
    const args = ['--redis-url', cluster.urls, ...CLUSTER, ...EVERY_SECOND, '--lease-ttl', '5s']
    const daemon = await startDaemon(t, args)
    await daemon.waitForMetric('xtrimd_sweeps_total', { result: 'success' }, (successes) => successes >= 2)
    assert.equal(await daemon.metric('xtrimd_sweep_failures_total'), 0)

    await old.kill()
    await daemon.waitForMetric('xtrimd_sweep_failures_total', {}, (failures) => failures >= 1)
    await waitUntil(() => isPrimary(successor), { timeoutMs: 60_000, what: 'the replica to take over' })
    const alive = [...cluster.primaries.filter((node) => node !== old), ...cluster.replicas]
    await cluster.untilServing(alive)
    const kept = await overfill(successor, keys)
    const from = daemon.logs.length
    await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'success', undefined, from)
    await waitUntil(async () => (await lengthsOf(successor, keys)).every((length) => length === LENGTH_LIMIT), {
      timeoutMs: 60_000,
      what: 'the streams of the new primary to be trimmed',
    })
    for (const [key, ids] of kept) assert.deepEqual(await streamIds(successor, key), ids)
    await daemon.waitForMetric('xtrimd_leader', {}, (leads) => leads === 1)
    // The sweep that trimmed them logs only when it has ended.
    await daemon.waitForMetric('xtrimd_streams', {}, (streams) => streams === keys.length)
    assert.equal((await daemon.stop()).code, 0)
  })

  test('without a quorum the sweep fails with CLUSTERDOWN, and nothing is touched', async (t) => {
    const cluster = await startCluster(t)
    const homes = await byHome(cluster, KEYS)
    await overfillAll(cluster, homes)
    const [survivor, ...others] = cluster.primaries as [RedisServer, RedisServer, RedisServer]
    for (const node of others) await node.kill()
    await waitUntil(async () => /cluster_state:fail/.test(String(await survivor.command('CLUSTER', 'INFO'))), {
      timeoutMs: 60_000,
      what: 'the survivor to notice',
    })
    const { report, code } = await sweepOnce(cluster.urls, CLUSTER)
    assert.equal(code, 1)
    assertToldAs('most primaries of a cluster are down', report)
    // The message also says how many slots are missing.
    for (const { port } of others) assert.match(String(report.reason), new RegExp(`127\\.0\\.0\\.1:${port}`))
    assert.equal(report.removed.length, 0)
    // Their slots are empty by now.
    for (const node of others) await node.restart()
    await cluster.untilServing(cluster.primaries)
    await assertUntouched(survivor, homes[0] as string[])
    assert.equal((await sweepWell(cluster.urls, CLUSTER)).removed.length, (homes[0] as string[]).length * SURPLUS)
  })

  test('unserved slots are reported and the others are swept, unless the cluster refuses to serve any', async (t) => {
    const cluster = await startCluster(t, WITHOUT_FULL_COVERAGE)
    const homes = await byHome(cluster, KEYS)
    await overfillAll(cluster, homes)
    for (const node of cluster.primaries) await node.command('CLUSTER', 'DELSLOTS', '0', '1')
    const [first] = cluster.primaries as [RedisServer]
    // A node that just joined knows no slots: the answers of nodes that know more are used.
    const seeds = `${(await startRedis(t, { config: { 'cluster-enabled': 'yes' } })).url},${cluster.urls}`
    const { report, code } = await sweepOnce(seeds, CLUSTER)
    assert.equal(code, 1)
    assertToldAs('some slots of a cluster have no primary', report)
    assert.equal(report.reason, '2 of 16384 slots have no primary')
    assert.deepEqual([report.streams, report.removed.length], [KEYS.length, KEYS.length * SURPLUS])

    for (const node of cluster.primaries) {
      await node.command('CONFIG', 'SET', 'cluster-require-full-coverage', 'yes')
      // The node re-evaluates the cluster's state only when its own slots change.
      await node.command('CLUSTER', 'DELSLOTS', '2')
    }
    await assert.rejects(first.command('XLEN', homes[0]?.[0] as string), /^Error: CLUSTERDOWN/)
    const none = await sweepOnce(cluster.urls, CLUSTER)
    assert.deepEqual([none.code, none.report.result, none.report.cause], [1, 'failed', 'CLUSTERDOWN'])
  })

  test('if slots move during a sweep, it says so, nothing within the policy is lost, and the next sweep succeeds', async (t) => {
    const cluster = await startCluster(t)
    const homes = await byHome(cluster, KEYS)
    const kept = await overfillAll(cluster, homes)
    const [source, target] = cluster.primaries as [RedisServer, RedisServer]
    const moving = homes[0] as string[]

    const task = taskOf(cluster.urls, [...CLUSTER, '--page-size', '4', '--pace', '20'])
    let moved: Promise<void> | undefined
    let looks = 0
    const report = await sweep(
      {
        ...task,
        // Start moving at the first page; the sweep looks up the primaries again only after the slots have moved.
        onProgress: () => {
          moved ??= moveSlots(cluster, source, target, moving)
        },
        findPrimaries: async (stop) => {
          if (++looks > 1) await moved
          return task.findPrimaries(stop)
        },
      },
      new AbortController().signal,
    )
    assert.equal(looks, 2)
    assertToldAs('slots or primaries of a cluster change during a sweep', report)
    assert.match(String(report.message), /slots or primaries changed during the sweep/)
    assert.deepEqual(
      Object.keys(report.total.errors).filter((word) => !HAS_MOVED.includes(word)),
      [],
    )

    const next = await sweepHere(cluster.urls, CLUSTER)
    assert.deepEqual([next.result, next.message, next.total.streams], ['success', null, KEYS.length])
    for (const [place, node] of cluster.primaries.entries()) {
      const keys = place === 0 ? [] : [...(homes[place] as string[]), ...(place === 1 ? moving : [])]
      for (const key of keys) assert.deepEqual(await streamIds(node, key), kept.get(key), key)
    }
    assert.equal(report.total.removed.length + next.total.removed.length, KEYS.length * SURPLUS)
  })

  test('a stream that moves past the scan while its slot is still moving is not missed silently', async (t) => {
    const cluster = await startCluster(t)
    const [source, target] = cluster.primaries as [RedisServer, RedisServer]
    const [key] = (await byHome(cluster, KEYS))[0] as [string]
    await overfill(source, [key])
    // The control: nothing moves.
    await sweepWell(cluster.urls, CLUSTER)
    await assertTrimmed(source, [key])

    await openSlot(source, target, await cluster.slotOf(key))
    const more = { count: SURPLUS, from: await redisNow(source), stepMs: 1, bytes: 10 }
    await fillStream(source, key, more)
    const proxy = await startProxy(t, source.port)
    await source.command('CONFIG', 'SET', 'cluster-announce-port', String(proxy.port))
    await waitUntil(async () => JSON.stringify(await target.command('CLUSTER', 'SLOTS')).includes(String(proxy.port)), {
      timeoutMs: 60_000,
      what: 'the announced port to spread',
    })
    // The source node is scanned only after the target has been scanned.
    proxy.hold('SCAN')
    const scansBefore = await target.callsOf('scan')
    const sweeping = sweepOnce(target.url, [...CLUSTER, '--reply-timeout', '60s'])
    await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'the source to be asked for its keys' })
    await waitUntil(async () => (await target.callsOf('scan')) > scansBefore && !(await isSweeping(target)), {
      timeoutMs: 60_000,
      what: 'the target to be swept',
    })
    await migrate(source, target, [key])
    await proxy.heal()
    const { report } = await sweeping
    assertToldAs('slots of a cluster are being moved', report)
    assert.equal(report.removed.length, 0, 'it was missed, and the sweep says so')
  })
})

async function isSweeping(node: RedisServer): Promise<boolean> {
  return / name=xtrimd /.test(String(await node.command('CLIENT', 'LIST')))
}

/** Moves the slots of these keys like redis-cli, and waits until every node knows. */
async function moveSlots(
  cluster: RedisCluster,
  source: RedisServer,
  target: RedisServer,
  keys: readonly string[],
): Promise<void> {
  const slots = new Map<number, string[]>()
  for (const key of keys) {
    const slot = await cluster.slotOf(key)
    slots.set(slot, [...(slots.get(slot) ?? []), key])
  }
  const targetId = String(await target.command('CLUSTER', 'MYID'))
  for (const [slot, inSlot] of slots) {
    await openSlot(source, target, slot)
    await migrate(source, target, inSlot)
    const others = cluster.primaries.filter((node) => node !== target)
    for (const node of [target, ...others]) await node.command('CLUSTER', 'SETSLOT', String(slot), 'NODE', targetId)
  }
}

/** The lease in a cluster: the primary of its slot holds it, and it is open only after that primary was down for a term. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { slotOf } from '../../src/redis/slots.ts'
import { Lease } from '../../src/shared_keys/lease.ts'
import { type Feature, rulesOf } from '../harness/acl.ts'
import { hasLogged } from '../harness/daemon_log.ts'
import { EVERY_SECOND, type LogLine, startDaemon } from '../harness/program.ts'
import { migrate, openSlot, type RedisCluster, startCluster, WITHOUT_FULL_COVERAGE } from '../harness/redis_cluster.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import { waitUntil } from '../harness/waiting.ts'

const TTL_MS = 6_000
const CLUSTER = ['--redis-mode', 'cluster', ...EVERY_SECOND, '--lease-ttl', `${TTL_MS}ms`, '--reply-timeout', '1s']

const OPEN = 'sweeping without the lease'
const isSweep = ({ msg }: LogLine): boolean => msg === 'sweep'

/** A key whose slot this primary serves. */
async function keyAt(cluster: RedisCluster, place: number): Promise<string> {
  for (let i = 0; ; i++) if ((await cluster.homeOf(`lease:${i}`)) === place) return `lease:${i}`
}

describe('the lease in a cluster', { concurrency: 2 }, () => {
  test('a primary that goes down opens the lease only if it serves the slot of the key, and only after a whole term', async (t) => {
    const cluster = await startCluster(t, WITHOUT_FULL_COVERAGE)
    const [first, , home] = cluster.primaries as [RedisServer, RedisServer, RedisServer]
    const key = await keyAt(cluster, 2)
    const start = () => startDaemon(t, ['--redis-url', cluster.urls, ...CLUSTER, '--lease-key', key])
    const holder = await start()
    await holder.waitForLog('acquired the lease')

    await t.test('the first primary in the URL is down: a copy that starts then does not sweep', async () => {
      await first.kill()
      const standby = await start()
      await standby.waitForLog('another copy holds the lease')
      await standby.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (skipped) => skipped >= 2)
      assert.deepEqual([standby.logs.filter(isSweep), hasLogged(standby, OPEN)], [[], false])
      // The control: the holder does sweep, and its sweep reports the primary that is down.
      const from = holder.logs.length
      const line = await holder.waitForLog(isSweep, undefined, from)
      assert.deepEqual([line.result, line.cause], ['partial', 'connect'])
      await standby.stop()
      await first.restart()
      await cluster.untilServing(cluster.primaries)
    })

    const standby = await start()
    await standby.waitForLog('another copy holds the lease')

    await t.test('the primary of the slot fails for less than a term: only the holder leads', async () => {
      await home.freeze()
      const failed = await standby.waitForLog(isSweep)
      assert.deepEqual(
        [failed.result, failed.cause],
        ['failed', 'timeout'],
        'the control: the lease could not be acquired',
      )
      const from = holder.logs.length
      const { result } = await holder.waitForLog(isSweep, undefined, from)
      assert.notEqual(result, 'stopped', 'the holder keeps its term')
      await home.thaw()
      await cluster.untilServing(cluster.primaries)
      const skipped = await standby.metric('xtrimd_sweeps_total', { result: 'skipped' })
      await standby.waitForMetric('xtrimd_sweeps_total', { result: 'skipped' }, (more) => more > skipped)
      assert.deepEqual([hasLogged(standby, OPEN), hasLogged(holder, OPEN)], [false, false])
      assert.equal(standby.logs.filter((line) => isSweep(line) && line.result !== 'failed').length, 0)
    })

    await t.test('it fails for longer: every copy sweeps the other primaries', async () => {
      const before = standby.logs.length
      await home.kill()
      const killedAt = performance.now()
      const opened = standby.waitForLog(OPEN, undefined, before)
      const line = await opened
      const tookMs = performance.now() - killedAt
      assert.ok(tookMs >= TTL_MS, `${tookMs} ms`)
      assert.match(
        String(line.reason),
        new RegExp(`^the node that holds the lease is down \\(127\\.0\\.0\\.1:${home.port}: `),
      )
      await holder.waitForLog(OPEN)
      for (const copy of [holder, standby]) {
        const isPartial = (line: LogLine) => isSweep(line) && line.result === 'partial' && line.cause === 'connect'
        await copy.waitForLog(isPartial, undefined, copy === standby ? before : 0)
        assert.equal(await copy.metric('xtrimd_leader'), 1)
      }
      await home.restart()
      await cluster.untilServing(cluster.primaries)
      const leads = async () =>
        (await Promise.all([holder, standby].map((copy) => copy.metric('xtrimd_leader')))).sort()
      await waitUntil(async () => String(await leads()) === '0,1', { timeoutMs: 60_000, what: 'one copy to lead' })
    })
  })

  test('while its slot moves, the lease is found on the right node, and exactly these ACL rules are enough', async (t) => {
    const cluster = await startCluster(t)
    const [source, target] = cluster.primaries as [RedisServer, RedisServer]
    const key = await keyAt(cluster, 0)
    const allow = (rules: readonly string[]) =>
      Promise.all(
        cluster.primaries.map((node) =>
          node.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>pass', `~${key}`, '-@all', ...rules),
        ),
      )
    const moving: Feature = '`--lease` and the pause in a cluster, while their slots are being moved'
    const settled = ['`--lease`, unless it is `false`', '`--redis-mode cluster`'] as const
    await allow([...settled, moving].flatMap(rulesOf))
    const [ours, others] = [leaseOf(cluster, key, 'ours'), leaseOf(cluster, key, 'others')]
    assert.equal((await ours.claim()).kind, 'held')
    assert.equal((await others.claim()).kind, 'other')

    await openSlot(source, target, await cluster.slotOf(key))
    assert.equal((await ours.claim()).kind, 'held', 'it is still where it was')
    await migrate(source, target, [key])
    await assert.rejects(source.command('GET', key), /^Error: ASK/)
    assert.equal((await ours.claim()).kind, 'held')
    assert.equal((await others.claim()).kind, 'other')
    assert.equal(await ours.release(), true)
    assert.equal((await others.claim()).kind, 'held')

    // The control: without one of the rights, the log says so.
    await allow(settled.flatMap(rulesOf))
    await assert.rejects(others.claim(), { code: 'NOPERM', message: /\(in a cluster also \+asking\).*'asking'/ })
    await allow([...settled, moving].flatMap(rulesOf))

    const targetId = String(await target.command('CLUSTER', 'MYID'))
    for (const node of [target, source]) {
      await node.command('CLUSTER', 'SETSLOT', String(slotOf(key)), 'NODE', targetId)
    }
    assert.equal((await others.claim()).kind, 'held', 'it has moved')
    assert.equal((await ours.claim()).kind, 'other')
  })

  test('our slot of a key equals CLUSTER KEYSLOT', async (t) => {
    const cluster = await startCluster(t)
    for (const key of ['xtrimd:lease', '', '{', '{}', '{}{a}', 'a{b}c', '{a}{b}', 'a{{b}}c', 'a{b', 'ü{é}', 'a{\n}b']) {
      assert.equal(slotOf(key), await cluster.slotOf(key), JSON.stringify(key))
    }
  })
})

function leaseOf(cluster: RedisCluster, key: string, token: string): Lease {
  const addresses = cluster.primaries.map(({ port }) => ({ host: '127.0.0.1', port }))
  const credentials = () => ({ username: 'ops', password: 'pass' })
  const reach = { credentials, database: 0, tls: null, replyTimeoutMs: 5_000 }
  return new Lease({ key, ttlMs: 60_000 }, token, { mode: 'cluster', addresses }, reach)
}

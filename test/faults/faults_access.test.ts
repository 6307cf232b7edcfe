/** Faults of authentication and access rights: a daemon is let in, then refused, then let in again. */

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext } from 'node:test'
import { assertLockedOut, assertMeets, type Scene, type SceneOptions, startScene } from '../harness/fault_scene.ts'
import { ACL_FAULTS } from '../harness/faults.ts'
import { replaceFile, temporaryFolder } from '../harness/files.ts'
import { meetingsOf } from '../harness/meetings.ts'
import type { RedisServer } from '../harness/redis_server.ts'
import type { TcpProxy } from '../harness/tcp_proxy.ts'

const STREAMS = '~stream:conversation:*'
/** The commands that a sweep of these streams needs, and those it can do without after logging so. */
const RIGHTS = ['+scan', '+time', '+xlen', '+xrange', '+xtrim', '+info', '+xinfo|groups', '+client|setname']

const { meeting, allMet } = meetingsOf(ACL_FAULTS)

// Concurrent, because each test mostly waits for ticks.
suite('Redis does not know us', { concurrency: 4 }, () => {
  meeting('it requires a password and we have none', async (t, row) => {
    const scene = await startScene(t)
    await scene.redis.command('CONFIG', 'SET', 'requirepass', 'password')
    await assertLockedOut(scene, row)
    await scene.redis.command('CONFIG', 'SET', 'requirepass', '')
    await scene.assertOver()
  })

  meeting('the password is wrong', async (t, row) => {
    const scene = await startAsUser(t)
    await scene.redis.command('ACL', 'SETUSER', 'ops', 'resetpass', '>another')
    await assertLockedOut(scene, row)
    await scene.redis.command('ACL', 'SETUSER', 'ops', 'resetpass', '>password')
    await scene.assertOver()
  })

  meeting('the password is rotated before its file is', async (t, row) => {
    const folder = temporaryFolder(t, 'access')
    const file = join(folder, 'password')
    await writeFile(file, 'password\n')
    const url = (_: RedisServer, proxy: TcpProxy) => proxy.url
    const args = ['--redis-username', 'ops', '--redis-password-file', file]
    const scene = await startAsUser(t, { url, args })
    await scene.redis.command('ACL', 'SETUSER', 'ops', 'resetpass', '>another')
    await assertLockedOut(scene, row)
    replaceFile(file, 'another\n')
    await scene.assertOver()
  })
})

suite('the ACL does not allow it', { concurrency: 4 }, () => {
  for (const command of ['TIME', 'SCAN', 'XLEN', 'XRANGE'] as const) {
    meeting(`the ACL lacks \`${command}\``, async (t, row) => {
      const scene = await startAsUser(t)
      await scene.redis.command('ACL', 'LOG', 'RESET')
      await scene.redis.command('ACL', 'SETUSER', 'ops', `-${command.toLowerCase()}`)
      // A sweep that has already sent this command goes on.
      await assertLockedOut(scene, row)
      await granting(scene, command)
    })
  }

  meeting('the ACL lacks `XTRIM`, and some streams need none', async (t, row) => {
    const scene = await startAsUser(t)
    await scene.appear(['ACL', 'SETUSER', 'ops', '-xtrim'], ['ACL', 'LOG', 'RESET'])
    const line = await assertMeets(scene, row)
    assert.deepEqual([line.streams, line.errors], [2, { NOPERM: 1 }])
    assert.equal(await scene.gone(), 0)
    await granting(scene, 'XTRIM')
  })

  meeting('the ACL lacks some of the keys', async (t, row) => {
    const scene = await startAsUser(t, { longStreams: 3 })
    const [refused, ...allowed] = scene.longKeys as [string, string, string]
    const rules = ['resetkeys', '~stream:conversation:short', ...allowed.map((key) => `~${key}`)]
    await scene.appear(['ACL', 'SETUSER', 'ops', ...rules])
    const line = await assertMeets(scene, row)
    assert.deepEqual([line.streams, line.errors], [4, { NOPERM: 1 }])
    assert.equal(await scene.redis.command('XLEN', refused), 1_200, 'the refused stream is unchanged')
    assert.equal(await scene.gone(), (scene.surplus * 2) / 3, 'the other streams are trimmed')
    await scene.redis.command('ACL', 'SETUSER', 'ops', STREAMS)
    await scene.assertOver()
  })
})

// permissions.test.ts and acl.test.ts take away the further commands that features need (EVAL, XINFO CONSUMERS, …).
allMet()

/** A scene whose daemon logs in as `ops`, who may do exactly what a sweep needs. */
function startAsUser(t: TestContext, options: SceneOptions = {}): Promise<Scene> {
  return startScene(t, {
    url: (_, proxy) => `redis://ops:password@127.0.0.1:${proxy.port}`,
    prepare: async (redis) => {
      await redis.command('ACL', 'SETUSER', 'ops', 'reset', 'on', '>password', STREAMS, '-@all', ...RIGHTS)
    },
    ...options,
  })
}

/** Asserts that this command was refused and that the log names it, and that sweeps succeed once it is allowed. */
async function granting(scene: Scene, command: string): Promise<void> {
  const log = (await scene.redis.command('ACL', 'LOG', '100')) as unknown[][]
  const refused = log.map((entry) => String(entry[entry.indexOf('object') + 1]))
  assert.ok(refused.includes(command.toLowerCase()), `refused were ${refused}`)
  const failed = scene.daemon.logs.findLast(({ msg, cause }) => msg === 'sweep' && cause === 'NOPERM')
  assert.match(String(failed?.reason), new RegExp(`\\b${command}\\b`, 'i'))
  await scene.redis.command('ACL', 'SETUSER', 'ops', `+${command.toLowerCase()}`)
  await scene.assertOver()
}

/** Who Redis says it is, and who we are: a daemon that speaks TLS, through every fault of certificates and out again. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { copyFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { freePort } from '../../scripts/stage/free_port.ts'
import { connect } from '../../src/redis/connection.ts'
import { type Authority, makeAuthorities, type Pair } from '../harness/certificates.ts'
import { assertLockedOut, assertMeets, type Scene, type SceneOptions, startScene } from '../harness/fault_scene.ts'
import { type FaultRow, TLS_FAULTS } from '../harness/faults.ts'
import { meetingsOf } from '../harness/meetings.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

/** The name in the server's certificate; nobody resolves it. */
const NAME = 'redis.test'
const PASSWORD = 'password'

/** Why a server that was built without TLS cannot be tried, or false. */
const skip = await whyNoTls()

const { meeting, allMet } = meetingsOf(TLS_FAULTS, undefined, skip)

// Each waits for ticks most of the time.
suite('TLS', { concurrency: 4 }, () => {
  test('with a CA, a certificate of ours, a name and a password a sweep is a success, and nothing of it can be read on the way', {
    skip,
  }, async (t) => {
    const { scene } = await startTls(t, { password: true, ours: true })
    // A request that names a stream would be held here, if it could be read.
    scene.proxy.hold('stream:conversation')
    await scene.appear()
    const line = await scene.nextSweep()
    assert.deepEqual([line.result, line.streams], ['success', 2])
    assert.equal(await scene.gone(), scene.surplus)
    assert.equal(scene.proxy.held, 0)
    // The control: without TLS the same is held.
    scene.proxy.leadTo(scene.redis.port)
    const plain = scene.redis.client.duplicate({ socket: { host: '127.0.0.1', port: scene.proxy.port } })
    t.after(() => plain.destroy())
    plain.on('error', () => {})
    await plain.connect()
    const answer = plain.sendCommand(['XLEN', 'stream:conversation:short'])
    await waitUntil(() => scene.proxy.held > 0, { timeoutMs: 60_000, what: 'a plain request to be held' })
    await scene.proxy.heal()
    assert.equal(await answer, 500)
  })

  test('who gives up while TLS is being agreed on is not let in afterwards', { skip }, async (t) => {
    const authority = await (await makeAuthorities(t)).make()
    const tlsPort = await freePort()
    await startRedis(t, { config: serverConfig(tlsPort, authority, await authority.issue(NAME)) })
    const proxy = await startProxy(t, tlsPort)
    const reach = {
      credentials: () => ({ username: null, password: null }),
      database: 0,
      tls: () => ({ ca: readFileSync(authority.cert), servername: NAME }),
      replyTimeoutMs: 60_000,
    }
    const start = (stop?: AbortSignal) => connect({ host: '127.0.0.1', port: proxy.port }, reach, stop)
    // Later than a connection is waited for once a stop was asked.
    proxy.delay(2_500)
    const patient = start()
    await assert.rejects(start(AbortSignal.abort()), /^Fault: no reply within 2000 ms of being asked to stop/)
    assert.equal(proxy.connections, 2)
    await waitUntil(() => proxy.connections === 1, { timeoutMs: 30_000, what: 'the connection to be ended' })
    // The control: who did not give up is let in.
    const connection = await patient
    assert.equal(proxy.connections, 1)
    connection.close()
  })

  meeting('we speak TLS, and it does not', async (t, row) => {
    const { scene, tlsPort } = await startTls(t, { args: ['--reply-timeout', '2s'] })
    scene.proxy.leadTo(scene.redis.port)
    assert.match(String((await assertLockedOut(scene, row)).reason), /^no reply within .*: is this a TLS port\?$/)
    scene.proxy.leadTo(tlsPort)
    await scene.assertOver()
  })

  meeting('it speaks TLS, and we do not', async (t, row) => {
    const { make } = await makeAuthorities(t)
    const authority = await make()
    const tlsPort = await freePort()
    const config = serverConfig(tlsPort, authority, await authority.issue(NAME))
    const scene = await startScene(t, { config })
    scene.proxy.leadTo(tlsPort)
    assert.match(
      String((await assertLockedOut(scene, row)).reason),
      /: does this port require TLS \(a rediss:\/\/ URL\)\?$/,
    )
    scene.proxy.leadTo(scene.redis.port)
    await scene.assertOver()
  })

  meeting('its certificate has expired', async (t, row) => {
    const { scene, authority, theirs } = await startTls(t)
    await assertRefused(scene, row, await authority.issue(NAME, { expired: true }), /expired/)
    await show(scene.redis, theirs)
    await scene.assertOver()
  })

  meeting('its certificate is from an unknown CA', async (t, row) => {
    const { scene, make, theirs } = await startTls(t)
    const stranger = await make()
    await assertRefused(scene, row, await stranger.issue(NAME), /unable to verify|self-signed|issuer/)
    await show(scene.redis, theirs)
    await scene.assertOver()
  })

  meeting('its certificate is for another name', async (t, row) => {
    const { scene, authority, theirs } = await startTls(t)
    await assertRefused(scene, row, await authority.issue('other.test'), /redis\.test.*other\.test/)
    await show(scene.redis, theirs)
    await scene.assertOver()
  })

  meeting('it requires a client certificate and we have none', async (t, row) => {
    const { scene } = await startTls(t)
    await scene.redis.command('CONFIG', 'SET', 'tls-auth-clients', 'yes')
    await assertLockedOut(scene, row)
    await scene.redis.command('CONFIG', 'SET', 'tls-auth-clients', 'no')
    await scene.assertOver()
  })

  test('a certificate of ours that has expired is replaced in its file while the daemon runs: the next sweep is a success', {
    skip,
  }, async (t) => {
    const { scene, authority, files } = await startTls(t, { ours: true })
    const [fresh, expired] = [await authority.issue('us.test'), await authority.issue('us.test', { expired: true })]
    // Two files are not replaced in one step: what comes between them costs a sweep and no more.
    await replace(files.key, expired.key)
    assert.match(String((await assertLockedOut(scene, FAILED)).reason), /key values mismatch/)
    await replace(files.cert, expired.cert)
    assert.doesNotMatch(String((await assertMeets(scene, FAILED)).reason), /key values mismatch/)
    assert.equal(await scene.gone(), 0)
    await replace(files.key, fresh.key)
    await replace(files.cert, fresh.cert)
    await scene.assertOver()
  })

  test('Redis changes to another authority before our file of it does: once the file is replaced the next sweep is a success', {
    skip,
  }, async (t) => {
    const { scene, make, files } = await startTls(t)
    const next = await make()
    await assertRefused(scene, FAILED, await next.issue(NAME), /unable to verify|self-signed|issuer/)
    await replace(files.ca, next.cert)
    await scene.assertOver()
  })
})

allMet()

const FAILED: FaultRow = { name: '', result: 'failed', cause: 'connect' }

/** The daemon's own files, which a test replaces. */
interface Files extends Pair {
  readonly ca: string
}

interface TlsScene {
  readonly scene: Scene
  readonly tlsPort: number
  readonly authority: Authority
  readonly make: () => Promise<Authority>
  /** What Redis shows. */
  readonly theirs: Pair
  readonly files: Files
}

/** A scene in which Redis and the daemon speak TLS. `ours`: Redis wants a certificate of ours, and is shown one. */
async function startTls(
  t: TestContext,
  options: { readonly password?: boolean; readonly ours?: boolean; readonly args?: readonly string[] } = {},
): Promise<TlsScene> {
  const { password = false, ours = false, args = [] } = options
  const { folder, make } = await makeAuthorities(t)
  const authority = await make()
  const theirs = await authority.issue(NAME)
  const files = { ca: join(folder, 'ca'), cert: join(folder, 'cert'), key: join(folder, 'key') }
  await replace(files.ca, authority.cert)
  const shown: string[] = []
  if (ours) {
    const pair = await authority.issue('us.test')
    await replace(files.cert, pair.cert)
    await replace(files.key, pair.key)
    shown.push('--tls-cert', files.cert, '--tls-key', files.key)
  }
  const tlsPort = await freePort()
  const scene: SceneOptions = {
    config: {
      ...serverConfig(tlsPort, authority, theirs),
      ...(ours ? { 'tls-auth-clients': 'yes' } : {}),
      ...(password ? { requirepass: PASSWORD } : {}),
    },
    url: (_, proxy) => {
      proxy.leadTo(tlsPort)
      return `rediss://${password ? `:${PASSWORD}@` : ''}127.0.0.1:${proxy.port}`
    },
    args: ['--tls-ca', files.ca, '--tls-servername', NAME, ...shown, ...args],
  }
  return { scene: await startScene(t, scene), tlsPort, authority, make, theirs, files }
}

function serverConfig(tlsPort: number, authority: Authority, { cert, key }: Pair): Record<string, string> {
  const files = { 'tls-ca-cert-file': authority.cert, 'tls-cert-file': cert, 'tls-key-file': key }
  return { 'tls-port': String(tlsPort), 'tls-auth-clients': 'no', ...files }
}

/** Redis shows another certificate from now on. */
async function show(redis: RedisServer, { cert, key }: Pair): Promise<void> {
  await redis.command('CONFIG', 'SET', 'tls-cert-file', cert, 'tls-key-file', key)
}

/** Redis shows this one: nothing is removed, and the log says why. */
async function assertRefused(scene: Scene, row: FaultRow, pair: Pair, why: RegExp): Promise<void> {
  await show(scene.redis, pair)
  assert.match(String((await assertLockedOut(scene, row)).reason), why)
}

/** In one step, as Kubernetes does it: nobody reads half a file. */
async function replace(path: string, by: string): Promise<void> {
  await copyFile(by, `${path}.new`)
  await rename(`${path}.new`, path)
}

/** A server that was built without TLS does not know its settings. */
async function whyNoTls(): Promise<string | false> {
  let told: string | false = false
  await test('whether this server knows TLS', async (t) => {
    await startRedis(t, { config: { 'tls-replication': 'no' } }).catch((error: Error) => {
      if (!/Bad directive/.test(error.message)) throw error
      told = 'this redis-server was built without TLS'
    })
  })
  return told
}

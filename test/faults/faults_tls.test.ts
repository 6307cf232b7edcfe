/** Faults of TLS: a daemon meets every fault of certificates and recovers. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { freePort } from '../../scripts/stage/free_port.ts'
import { connect } from '../../src/redis/connection.ts'
import { type Authority, makeAuthorities, type Pair } from '../harness/certificates.ts'
import { assertLockedOut, assertMeets, type Scene, type SceneOptions, startScene } from '../harness/fault_scene.ts'
import { type FaultRow, TLS_FAULTS } from '../harness/faults.ts'
import { replaceFile } from '../harness/files.ts'
import { meetingsOf } from '../harness/meetings.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

/** The name in the server's certificate. It does not resolve. */
const NAME = 'redis.test'
const PASSWORD = 'password'

/** The reason to skip these tests if the server was built without TLS, or false. */
const skip = await whyNoTls()

const { meeting, allMet } = meetingsOf(TLS_FAULTS, undefined, skip)

// Concurrent, because each test mostly waits for ticks.
suite('TLS', { concurrency: 4 }, () => {
  test('with a CA, a client certificate, a server name and a password a sweep succeeds, and nobody can read it on the way', {
    skip,
  }, async (t) => {
    const { scene } = await startTls(t, { password: true, ours: true })
    // The proxy would hold a request that names a stream, if it could read it.
    scene.proxy.hold('stream:conversation')
    await scene.appear()
    const line = await scene.nextSweep()
    assert.deepEqual([line.result, line.streams], ['success', 2])
    assert.equal(await scene.gone(), scene.surplus)
    assert.equal(scene.proxy.held, 0)
    // The control: without TLS it holds the request.
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

  test('a connection that is given up during the TLS handshake is closed afterwards', { skip }, async (t) => {
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
    // Longer than a connection attempt lasts after a stop.
    proxy.delay(2_500)
    const patient = start()
    await assert.rejects(start(AbortSignal.abort()), /^Fault: no reply within 2000 ms of being asked to stop/)
    assert.equal(proxy.connections, 2)
    await waitUntil(() => proxy.connections === 1, { timeoutMs: 30_000, what: 'the connection to be ended' })
    // The control: a connection that is not given up succeeds.
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

  test('after the file of an expired client certificate is replaced, the running daemon sweeps again', {
    skip,
  }, async (t) => {
    const { scene, authority, files } = await startTls(t, { ours: true })
    const [fresh, expired] = [await authority.issue('us.test'), await authority.issue('us.test', { expired: true })]
    // Two files cannot be replaced atomically: a sweep in between fails, the next one succeeds.
    replaceFile(files.key, await readFile(expired.key))
    assert.match(String((await assertLockedOut(scene, FAILED)).reason), /key values mismatch/)
    replaceFile(files.cert, await readFile(expired.cert))
    assert.doesNotMatch(String((await assertMeets(scene, FAILED)).reason), /key values mismatch/)
    assert.equal(await scene.gone(), 0)
    replaceFile(files.key, await readFile(fresh.key))
    replaceFile(files.cert, await readFile(fresh.cert))
    await scene.assertOver()
  })

  test('if Redis changes its CA first, sweeps succeed again once our CA file is replaced', {
    skip,
  }, async (t) => {
    const { scene, make, files } = await startTls(t)
    const next = await make()
    await assertRefused(scene, FAILED, await next.issue(NAME), /unable to verify|self-signed|issuer/)
    replaceFile(files.ca, await readFile(next.cert))
    await scene.assertOver()
  })
})

allMet()

const FAILED: FaultRow = { name: '', result: 'failed', cause: 'connect' }

/** The daemon's certificate files, which a test may replace. */
interface Files extends Pair {
  readonly ca: string
}

interface TlsScene {
  readonly scene: Scene
  readonly tlsPort: number
  readonly authority: Authority
  readonly make: () => Promise<Authority>
  /** The certificate that Redis presents. */
  readonly theirs: Pair
  readonly files: Files
}

/** A scene in which Redis and the daemon use TLS. With `ours`, Redis requires a client certificate and gets one. */
async function startTls(
  t: TestContext,
  options: { readonly password?: boolean; readonly ours?: boolean; readonly args?: readonly string[] } = {},
): Promise<TlsScene> {
  const { password = false, ours = false, args = [] } = options
  const { folder, make } = await makeAuthorities(t)
  const authority = await make()
  const theirs = await authority.issue(NAME)
  const files = { ca: join(folder, 'ca'), cert: join(folder, 'cert'), key: join(folder, 'key') }
  replaceFile(files.ca, await readFile(authority.cert))
  const shown: string[] = []
  if (ours) {
    const pair = await authority.issue('us.test')
    replaceFile(files.cert, await readFile(pair.cert))
    replaceFile(files.key, await readFile(pair.key))
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

/** Makes Redis present another certificate from now on. */
async function show(redis: RedisServer, { cert, key }: Pair): Promise<void> {
  await redis.command('CONFIG', 'SET', 'tls-cert-file', cert, 'tls-key-file', key)
}

/** Asserts that with this certificate nothing is removed and the log says why. */
async function assertRefused(scene: Scene, row: FaultRow, pair: Pair, why: RegExp): Promise<void> {
  await show(scene.redis, pair)
  assert.match(String((await assertLockedOut(scene, row)).reason), why)
}

/** Skips the tests if the server was built without TLS: it then does not know the settings. */
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

/** A daemon that sweeps every second, streams that appear together with a fault, and what must hold after the fault. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { parseExposition } from './exposition.ts'
import type { FaultRow } from './faults.ts'
import { goneFrom, LENGTH_LIMIT, SURPLUS } from './overlong_streams.ts'
import { type Daemon, EVERY_SECOND, type LogLine, startDaemon } from './program.ts'
import { type RedisServer, startRedis } from './redis_server.ts'
import { fillStream, redisNow, streamIds } from './streams.ts'
import { startProxy, type TcpProxy } from './tcp_proxy.ts'
import { isTold } from './told_errors.ts'

const HOUR = 3_600_000
/** Entries that `--trim approx` may leave beyond a limit: one node. */
const SLACK = 100

/** A stream that is always within its policy. */
const SHORT = 'stream:conversation:short'
/** A stream that no policy covers. */
const OTHER = 'other:stream'

export interface SceneOptions {
  readonly config?: Readonly<Record<string, string>>
  /** Further arguments for the daemon. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A file that the daemon sees as `/etc/hosts`. */
  readonly hosts?: string
  /** The daemon's Redis URL; the proxy's by default. */
  readonly url?: (redis: RedisServer, proxy: TcpProxy) => string
  /** How many overlong streams `appear()` adds; one by default. */
  readonly longStreams?: number
  /** Whether each of them has a consumer group that has read nothing. */
  readonly hasGroups?: boolean
  /** Size of the value of each of their entries. */
  readonly bytes?: number
  /** How far the daemon's clock is now ahead of the test's, in ms. */
  readonly aheadMs?: () => number
  /** Runs before the daemon starts. */
  readonly prepare?: (redis: RedisServer) => Promise<void>
}

export interface Scene {
  readonly redis: RedisServer
  readonly proxy: TcpProxy
  readonly daemon: Daemon
  /** The overlong streams, which `appear()` adds. */
  readonly longKeys: readonly string[]
  /** How many entries they hold beyond their policy, in total. */
  readonly surplus: number
  /** Adds the overlong streams atomically, in one transaction with these commands. */
  appear(...commands: readonly (readonly string[])[]): Promise<void>
  /** Excludes a stream that the test itself destroys from all further checks. */
  forget(key: string): void
  /** How many of their entries have been removed so far. */
  gone(): Promise<number>
  /** The log line of the first sweep that begins after this call. */
  nextSweep(): Promise<LogLine>
  /** The log line of the first sweep with this result since the streams appeared, or since the scene began. */
  sweepThat(ends: Pick<FaultRow, 'result' | 'cause'>): Promise<LogLine>
  /** Asserts that no entry that the policy keeps has been removed. */
  assertKept(): Promise<void>
  /**
   * Asserts the recovery after a fault: the next sweep succeeds, every stream is within its policy and has lost nothing else,
   * the metrics match the log, and the process stops properly.
   */
  assertOver(): Promise<void>
}

/** Starts everything and waits for a first successful sweep, which is the control for what follows. */
export async function startScene(t: TestContext, options: SceneOptions = {}): Promise<Scene> {
  const redis = await startRedis(t, { config: { ...options.config } })
  const proxy = await startProxy(t, redis.port)
  const longKeys = Array.from({ length: options.longStreams ?? 1 }, (_, i) => `stream:conversation:${i}`)
  const staged = (key: string) => `staged:${key}`
  const from = (await redisNow(redis)) - HOUR
  const kept = new Map<string, readonly string[]>()
  for (const [key, count] of [
    [SHORT, 500],
    [OTHER, 1_500],
  ] as const) {
    await fillStream(redis, key, { count, from, stepMs: 1, bytes: 10 })
    kept.set(key, await streamIds(redis, key))
  }
  for (const key of longKeys) {
    const { bytes = 10, hasGroups = false } = options
    await fillStream(redis, staged(key), { count: LENGTH_LIMIT + SURPLUS, from, stepMs: 1, bytes })
    if (hasGroups) await redis.command('XGROUP', 'CREATE', staged(key), 'readers', '0')
    kept.set(key, await streamIds(redis, staged(key), LENGTH_LIMIT))
  }
  await options.prepare?.(redis)

  const url = (options.url ?? (() => proxy.url))(redis, proxy)
  const common = [...EVERY_SECOND, '--lease=false', '--log-level', 'debug']
  const args = ['--redis-url', url, ...common, ...(options.args ?? [])]
  const { env, hosts } = options
  const daemon = await startDaemon(t, args, { ...(env && { env }), ...(hosts && { hosts }) })
  const isSweep = ({ msg }: LogLine): boolean => msg === 'sweep'
  const first = await daemon.waitForLog(isSweep)
  assert.equal(first.result, 'success', `the control: ${JSON.stringify(first)}`)
  const daemonNow = (): number => Date.now() + (options.aheadMs?.() ?? 0)
  let appearedAt = daemonNow()
  // Older lines have earlier times; or much later ones, if the clock was set back.
  const isSince = ({ time }: LogLine, since: number): boolean => {
    const ms = Date.parse(String(time))
    return ms > since && ms < since + HOUR / 2
  }

  const scene: Scene = {
    redis,
    proxy,
    daemon,
    longKeys,
    surplus: longKeys.length * SURPLUS,
    async appear(...commands) {
      appearedAt = daemonNow()
      await redis.command('MULTI')
      for (const key of longKeys) await redis.command('RENAME', staged(key), key)
      for (const command of commands) await redis.command(...command)
      for (const reply of (await redis.command('EXEC')) as unknown[]) assert.equal(reply, 'OK')
    },
    forget(key) {
      kept.delete(key)
    },
    gone: () => goneFrom(redis, longKeys),
    async nextSweep() {
      const since = daemonNow()
      let begun = false
      // Sweeps do not overlap, so the first end after a start belongs to that start.
      return daemon.waitForLog((line) => {
        begun ||= line.msg === 'sweep started' && isSince(line, since)
        return begun && isSweep(line)
      })
    },
    sweepThat: ({ result, cause }) =>
      daemon.waitForLog(
        (line) =>
          isSweep(line) && isSince(line, appearedAt) && line.result === result && (line.cause ?? null) === cause,
      ),
    async assertKept() {
      for (const [key, ids] of kept) {
        const exact = key === SHORT || key === OTHER
        assert.deepEqual(
          await streamIds(redis, key, exact ? undefined : LENGTH_LIMIT),
          ids,
          `${key} has lost nothing else`,
        )
      }
    },
    async assertOver() {
      const line = await scene.nextSweep()
      assert.deepEqual([line.result, line.cause], ['success', undefined], JSON.stringify(line))
      await scene.assertKept()
      for (const key of longKeys.filter((one) => kept.has(one))) {
        assert.ok(Number(await redis.command('XLEN', key)) <= LENGTH_LIMIT + SLACK, key)
      }
      const logged = countBy(daemon.logs.filter(isSweep), ({ cause }) => String(cause ?? ''))
      const series = parseExposition(await daemon.metrics())
      const failures = series.filter(({ name, value }) => name === 'xtrimd_sweep_failures_total' && value > 0)
      const counted = new Map(failures.map(({ labels, value }) => [labels.cause ?? '', value]))
      for (const uncounted of ['', 'lease-lost']) logged.delete(uncounted)
      assert.deepEqual(counted, logged, 'every failed sweep is counted under the logged cause')
      assert.doesNotMatch(daemon.stdout, /"level":"fatal"/)
      const { code, stderr } = await daemon.stop()
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' })
    },
  }
  return scene
}

/** Asserts that the next sweep ends as the table says, and that `xtrimd_redis_up` agrees. */
export async function assertMeets({ nextSweep, daemon }: Scene, { result, cause }: FaultRow): Promise<LogLine> {
  const line = await nextSweep()
  assert.deepEqual([line.result, line.cause ?? null], [result, cause], JSON.stringify(line))
  if (cause !== null) assert.ok(isTold(String(line.reason)), `docs/errors.md lists it: ${line.reason}`)
  for (const probe of ['/healthz', '/readyz']) assert.equal((await daemon.get(probe)).status, 200)
  // A Redis that refuses is reachable.
  const isSilent = cause === 'connect' || cause === 'timeout'
  assert.equal(await daemon.metric('xtrimd_redis_up'), isSilent ? 0 : 1)
  return line
}

/**
 * For a fault that affects only new connections and has already begun: adds the streams once no older connection is left to
 * trim them, and asserts that the next sweep ends as the table says and removes nothing.
 */
export async function assertLockedOut(scene: Scene, row: FaultRow): Promise<LogLine> {
  await assertMeets(scene, row)
  await scene.appear()
  const line = await assertMeets(scene, row)
  assert.equal(await scene.gone(), 0)
  return line
}

function countBy<T>(items: readonly T[], of: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const item of items) counts.set(of(item), (counts.get(of(item)) ?? 0) + 1)
  return counts
}

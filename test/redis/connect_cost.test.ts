/** What a connection costs this process. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from '../../src/redis/connection.ts'
import { startRedis } from '../harness/redis_server.ts'

test('connecting to two servers in turn, as in a cluster, costs little more than connecting to one', async (t) => {
  const servers = [await startRedis(t), await startRedis(t)]
  const cpuMs = async (ports: readonly number[]): Promise<number> => {
    const before = process.cpuUsage()
    for (let i = 0; i < 40; i++) {
      const reach = {
        credentials: () => ({ username: null, password: null }),
        database: 0,
        tls: null,
        replyTimeoutMs: 60_000,
      }
      const connection = await connect({ host: '127.0.0.1', port: ports[i % ports.length] as number }, reach)
      connection.close()
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  const ports = servers.map(({ port }) => port)
  // The first connections compile the code.
  await cpuMs(ports)
  const [one, two] = [await cpuMs(ports.slice(0, 1)), await cpuMs(ports)]
  t.diagnostic(`40 connections: ${one.toFixed(0)} ms to one server, ${two.toFixed(0)} ms to two`)
  assert.ok(two < 3 * one + 40, `${two} ms, and ${one} ms to one server`)
})

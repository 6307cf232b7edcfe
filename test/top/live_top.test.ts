/** `top` on a terminal: keys, size, and how it leaves the terminal. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startRedis } from '../harness/redis_server.ts'
import { fillStream, redisNow } from '../harness/streams.ts'
import { startProxy } from '../harness/tcp_proxy.ts'
import { openTerminal } from '../harness/tmux.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('on a terminal top orders by keys, follows the size, stays within 80 columns, and leaves the terminal as it was', async (t) => {
  const redis = await startRedis(t)
  const from = (await redisNow(redis)) - 60_000
  for (let i = 0; i < 30; i++) {
    const key = `stream:conversation:${'k'.repeat(30)}-${i}`
    await fillStream(redis, key, { count: 30 - i, from, stepMs: 1, bytes: 100 * (i + 1) })
  }
  const terminal = await openTerminal(t, { LC_ALL: 'C.UTF-8' })
  const command = `'${process.execPath}' '${MAIN}' top --redis-url ${redis.url} --interval 300ms`
  await terminal.type(
    `clear; echo before; ${command}; echo ended $?; stty -a | grep -c -- ' -icanon\\| -echo '`,
    'Enter',
  )

  const first = await terminal.waitFor(/^xtrimd top: 30 streams by bytes$/m)
  assert.ok(!first.includes('before'), 'it has a screen of its own')
  for (const line of first) assert.ok(line.length <= 80, line)
  assert.ok(
    first.some((line) => line.length === 80 && line.endsWith(' cons')),
    'the last column is whole',
  )
  assert.match(first.join('\n'), /^b bytes {2}e entries {2}g growth {2}l lag {2}p pending {2}q quit$/m)
  assert.equal(first.filter((line) => /^…k*-\d+ /.test(line)).length, 20)

  await terminal.type('e')
  const byEntries = await terminal.waitFor(/^xtrimd top: 30 streams by entries$[\s\S]*^…k*-0 /m)
  const order = byEntries.flatMap((line) => /^…k*-(\d+) /.exec(line)?.[1] ?? [])
  assert.deepEqual(order.slice(0, 3), ['0', '1', '2'])
  await terminal.type('Up')
  await terminal.type('g')
  await terminal.waitFor(/^xtrimd top: 30 streams by growth$/m)

  await terminal.resize(160, 12)
  const wide = await terminal.waitFor(/^stream:conversation:k{30}-\d+ /m)
  assert.ok(wide.filter((line) => /-\d+ /.test(line)).length < 12)
  assert.match(wide.join('\n'), /q quit/)
  await terminal.resize(80, 60)
  await terminal.waitFor(/^…k*-\d+ /m)

  await terminal.type('C-c')
  const after = await terminal.waitFor(/^ended 0\n0$/m)
  assert.ok(after.includes('before'), 'the first screen is back')
  assert.ok(!after.some((line) => line.startsWith('xtrimd top:')))
  // The control: the terminal shows its cursor, and takes lines again.
  await terminal.type('echo a line', 'Enter')
  await terminal.waitFor(/^a line$/m)

  await terminal.type(`clear; ${command}; echo quit $?`, 'Enter')
  await terminal.waitFor(/^xtrimd top: 30 streams by bytes$/m)
  await terminal.type('q')
  await terminal.waitFor(/^quit 0$/m)
})

test('a live top says when Redis is away, and goes on when it is back', async (t) => {
  const redis = await startRedis(t)
  await fillStream(redis, 'stream:conversation:a', { count: 5, from: await redisNow(redis), stepMs: 1, bytes: 10 })
  const terminal = await openTerminal(t, { LC_ALL: 'C.UTF-8' })
  const command = `'${process.execPath}' '${MAIN}' top --redis-url ${redis.url} --interval 200ms`
  await terminal.type(command, 'Enter')
  await terminal.waitFor(/^xtrimd top: 1 stream by bytes$/m)
  await redis.kill()
  const away = await terminal.waitFor(/ECONNREFUSED/)
  assert.ok(
    away.some((line) => line.startsWith('stream:conversation:a') || line.startsWith('…')),
    'the last figures stay',
  )
  await redis.restart()
  await terminal.waitFor(/^xtrimd top: 1 stream by bytes$/m)
  await terminal.type('q')
  await terminal.waitFor(/\$ $|\$$/m)
})

test('the first pass shows how far it is, and with it the rows come, however long the interval is', async (t) => {
  const redis = await startRedis(t)
  const make = "for i = 1, 3000 do redis.call('XADD', 'stream:conversation:' .. i, '*', 'a', 'b') end"
  await redis.command('EVAL', make, '0')
  const proxy = await startProxy(t, redis.port)
  proxy.delay(40)
  const terminal = await openTerminal(t, { LC_ALL: 'C.UTF-8' })
  const command = `'${process.execPath}' '${MAIN}' top --redis-url ${proxy.url} --interval 1h --page-size 50 --pace 100`
  await terminal.type(`clear; ${command}; echo ended $?`, 'Enter')
  await terminal.waitFor(/^xtrimd top by bytes, looking at all of them [1-9]\d* %$/m)
  proxy.delay(0)
  await terminal.waitFor(/^xtrimd top: 3000 streams by bytes$[\s\S]*versation:\d+ /m)
  await terminal.type('q')
  await terminal.waitFor(/^ended 0$/m)
})

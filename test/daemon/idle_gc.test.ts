/** An idle daemon collects its garbage. */

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { HARDLY_EVER, type LogLine, startDaemon } from '../harness/program.ts'
import { startRedis } from '../harness/redis_server.ts'

/** Loaded into the daemon: prints Node's memory before and after each collection that the daemon asks for. */
const TELLING = `
const { gc } = globalThis
globalThis.gc &&= (options) => {
  const before = process.memoryUsage().heapTotal
  gc(options)
  console.log(JSON.stringify({ level: 'info', msg: 'collected', before, after: process.memoryUsage().heapTotal }))
}`
const told = (options: string) => ({
  env: { NODE_OPTIONS: `${options} --import=data:text/javascript,${encodeURIComponent(TELLING)}` },
})
const isCollected = ({ msg }: LogLine) => msg === 'collected'

suite('an idle daemon', { concurrency: 2 }, () => {
  for (const [when, more] of [
    ['it has started', ['--run-on-start=false']],
    ['a sweep is over', []],
  ] as const) {
    test(`garbage is collected when ${when}, if Node allows it`, async (t) => {
      const redis = await startRedis(t)
      const args = ['--redis-url', redis.url, ...HARDLY_EVER, '--lease=false', ...more]
      const start = (options: string) => startDaemon(t, args, told(options))
      const [control, able] = await Promise.all([start(''), start('--expose-gc')])
      if (more.length === 0) for (const daemon of [control, able]) await daemon.waitForLog('sweep')
      const { before, after } = await able.waitForLog(isCollected)
      assert.ok(Number(after) < Number(before), `${before} and then ${after}`)
      for (const daemon of [control, able]) assert.equal((await daemon.get('/healthz')).status, 200)
      assert.ok(!control.logs.some(isCollected))
    })
  }

  test('sweeps in quick succession are not delayed by a collection', async (t) => {
    const redis = await startRedis(t)
    const args = ['--redis-url', redis.url, '--cron', '* * * * * *', '--lease=false']
    const daemon = await startDaemon(t, args, told('--expose-gc'))
    await daemon.waitForSuccesses(8)
    assert.ok(!daemon.logs.some(isCollected))
  })
})

/** Trimming many short streams with a few commands removes the same entries as one by one, and reports them correctly. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startMonitor } from '../harness/monitor.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { sweepHere } from '../harness/sweep_here.ts'
import { startProxy, type TcpProxy } from '../harness/tcp_proxy.ts'
import { waitUntil } from '../harness/waiting.ts'

const HOUR = 3_600_000
const STREAMS = 600
const EACH = 40
const LIMITS = ['--max-age', '24h', '--max-length', '30', '--delete-empty']

/** Streams that are in turn old, half old, a node too long, young, old with a group that has read a part, and empty. */
const FILL = `
local now, hour, each = redis.call('TIME')[1] * 1000, tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 0, ARGV[3] - 1 do
  local key, kind = 'stream:conversation:' .. i, i % 6
  local count = kind == 2 and each or 25
  for j = 1, count do
    local ago = ((kind == 2 or kind == 3) and 1 or (kind == 1 and j > 13) and 2 or 30) * hour
    redis.call('XADD', key, (now - ago + j) .. '-0', 'body', string.rep('x', 20))
  end
  if kind == 4 and ARGV[4] == 'with groups' then
    redis.call('XGROUP', 'CREATE', key, 'readers', '0')
    redis.call('XREADGROUP', 'GROUP', 'readers', 'one', 'COUNT', 10, 'STREAMS', key, '>')
  end
  if kind == 5 then redis.call('XTRIM', key, 'MAXLEN', 0) end
end`

async function fill(redis: RedisServer, groups: 'with groups' | 'without groups'): Promise<void> {
  await redis.command('EVAL', FILL, '0', String(HOUR), String(EACH), String(STREAMS), groups)
}

const SHORT_NODES = { config: { 'stream-node-max-entries': '10' } }

async function filledWithGroups(t: TestContext): Promise<RedisServer> {
  const redis = await startRedis(t, SHORT_NODES)
  await fill(redis, 'with groups')
  return redis
}

const LENGTHS = `
local lengths = {}
for i = 0, ARGV[1] - 1 do lengths[i + 1] = redis.call('XLEN', 'stream:conversation:' .. i) end
return lengths`

async function lengthsIn(redis: RedisServer): Promise<number[]> {
  return (await redis.command('EVAL', LENGTHS, '0', String(STREAMS))) as number[]
}

async function entriesIn(redis: RedisServer): Promise<number> {
  return (await lengthsIn(redis)).reduce((a, b) => a + b, 0)
}

test('trimming streams together removes the same entries as one by one, with fewer commands', async (t) => {
  const [together, apart] = [await filledWithGroups(t), await filledWithGroups(t)]
  // Without the right to run scripts, each stream is handled alone.
  await apart.command('ACL', 'SETUSER', 'default', '-eval_ro')
  const swept = async (redis: RedisServer) => {
    const monitor = await startMonitor(t, redis)
    const { result, total, longest } = await sweepHere(redis.url, LIMITS)
    const sent = (await monitor.commands()).filter(({ byScript }) => !byScript)
    const trims = sent.filter(({ name }) => name === 'XTRIM')
    return { report: { result, total, longest }, trims: trims.length, others: sent.length - trims.length }
  }
  const { report: ours, trims, others } = await swept(together)
  const { report: control, ...ofControl } = await swept(apart)
  assert.deepEqual(ours, control)
  assert.equal(ours.result, 'success')
  assert.equal(ours.total.removed.age, (STREAMS / 6) * (25 + 10 + 25))
  assert.equal(ours.total.removed.length, (STREAMS / 6) * 10)
  assert.equal(ours.total.unread, (STREAMS / 6) * 15)
  assert.deepEqual(await lengthsIn(together), await lengthsIn(apart))
  assert.equal(trims, ofControl.trims)
  assert.ok(2 * others < ofControl.others, `${others} of ${ofControl.others}`)
})

test('if the connection ends in the middle of a batch, the removals that Redis had confirmed are reported', async (t) => {
  const redis = await startRedis(t, SHORT_NODES)
  const proxy = await startProxy(t, redis.port)
  // All streams fit on one page, and their trims in one batch.
  const sweepThrough = () => sweepHere(proxy.url, [...LIMITS, '--page-size', '4000'])
  await fill(redis, 'without groups')
  const untilTrims = await bytesUntilTrims(proxy, sweepThrough)
  let [inTheMiddle, isAllTold] = [0, false]
  // Cut later each time, until all removals are told. The replies to the trims take about two thousand bytes.
  for (let bytes = untilTrims; !isAllTold; bytes += 200) {
    await redis.command('FLUSHALL')
    await fill(redis, 'without groups')
    const before = await entriesIn(redis)
    proxy.cutAfterReplyBytes(bytes)
    const { result, total } = await sweepThrough()
    const [told, gone] = [total.removed.age + total.removed.length, before - (await entriesIn(redis))]
    assert.ok(told <= gone, `${told} reported, ${gone} gone`)
    if (result === 'success') assert.equal(told, gone)
    if (told > 0 && told < gone) inTheMiddle++
    isAllTold = told > 0 && told === gone
  }
  assert.ok(inTheMiddle > 0, 'the control: some sweep was cut in the middle of the replies')
})

/** How many bytes a sweep has read when it sends the first trim. The sweep ends there. */
async function bytesUntilTrims(proxy: TcpProxy, sweepThrough: () => Promise<{ result: string }>): Promise<number> {
  proxy.hold('XTRIM')
  const sweeping = sweepThrough()
  await waitUntil(() => proxy.held > 0, { timeoutMs: 60_000, what: 'the first trim' })
  proxy.dropAll()
  assert.equal((await sweeping).result, 'failed')
  return proxy.replyBytes
}

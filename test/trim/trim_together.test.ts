/** Trimming many short streams with a few commands removes the same entries as one by one, and reports them correctly. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startMonitor } from '../harness/monitor.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { sweepHere } from '../harness/sweep_here.ts'
import { startProxy } from '../harness/tcp_proxy.ts'

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

async function filled(t: TestContext, groups: 'with groups' | 'without groups'): Promise<RedisServer> {
  const redis = await startRedis(t, { config: { 'stream-node-max-entries': '10' } })
  await redis.command('EVAL', FILL, '0', String(HOUR), String(EACH), String(STREAMS), groups)
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
  const [together, apart] = [await filled(t, 'with groups'), await filled(t, 'with groups')]
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
  // The first cut behind the look may fall just before the first reply to an XTRIM; then all streams are trimmed and nothing
  // is told. Other steps fall elsewhere.
  let inTheMiddle = 0
  for (const step of [40, 33, 26]) inTheMiddle ||= await cutsInTheMiddle(t, step)
  assert.ok(inTheMiddle > 0, 'the control: some sweep was cut in the middle of the replies')
})

/** Cuts the connection of one sweep after the other, each `step` bytes later. @returns how many told some of their removals */
async function cutsInTheMiddle(t: TestContext, step: number): Promise<number> {
  const redis = await filled(t, 'without groups')
  const proxy = await startProxy(t, redis.port)
  const toldOf = async (): Promise<{ result: string; told: number; gone: number }> => {
    const before = await entriesIn(redis)
    // All streams fit on one page, and their trims in one batch.
    const { result, total } = await sweepHere(proxy.url, [...LIMITS, '--page-size', '4000'])
    return { result, told: total.removed.age + total.removed.length, gone: before - (await entriesIn(redis)) }
  }
  let [inTheMiddle, swept] = [0, false]
  // Cut later each time, until a sweep completes. The replies to these XTRIM take some hundred bytes.
  for (let bytes = 500; !swept; bytes += step) {
    proxy.cutAfterReplyBytes(bytes)
    const { result, told, gone } = await toldOf()
    swept = result === 'success'
    assert.ok(told <= gone, `${told} reported, ${gone} gone`)
    if (swept) assert.equal(told, gone)
    else if (told > 0 && told < gone) inTheMiddle++
  }
  return inTheMiddle
}

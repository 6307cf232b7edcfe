/** `--group-metrics`: the gauges of groups equal what Redis says, and cost one command for each stream, only with the flag. */

import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseExposition } from '../harness/exposition.ts'
import { startMonitor } from '../harness/monitor.ts'
import { type Daemon, EVERY_SECOND, HARDLY_EVER, startDaemon } from '../harness/program.ts'
import { type RedisServer, startRedis } from '../harness/redis_server.ts'
import { fieldsOf } from '../harness/replies.ts'

const STREAMS = 20
const GROUPS = 50

const keyOf = (stream: number) => `stream:conversation:${stream}`

/** 1,000 groups on 20 streams of 200 entries. Group g of a stream has read 4 g entries, with up to three consumers. */
async function makeGroups(redis: RedisServer): Promise<void> {
  for (let stream = 0; stream < STREAMS; stream++) {
    const key = keyOf(stream)
    for (let n = 0; n < 200; n++) await redis.command('XADD', key, '*', 'n', String(n))
    for (let g = 0; g < GROUPS; g++) {
      await redis.command('XGROUP', 'CREATE', key, `g${g}`, '0')
      for (let c = 0; c < g % 4; c++)
        await redis.command('XREADGROUP', 'GROUP', `g${g}`, `c${c}`, 'COUNT', String(g + stream), 'STREAMS', key, '>')
    }
  }
}

interface Told {
  readonly stream: string
  readonly group: string
  readonly consumers: number
  readonly pending: number
  readonly lag: number | null
}

/** Every group as `XINFO GROUPS` tells it. */
async function toldByRedis(redis: RedisServer): Promise<Told[]> {
  const told: Told[] = []
  for (let stream = 0; stream < STREAMS; stream++) {
    for (const fields of (await redis.command('XINFO', 'GROUPS', keyOf(stream))) as unknown[][]) {
      const map = fieldsOf(fields)
      const lag = map.get('lag')
      told.push({
        stream: keyOf(stream),
        group: String(map.get('name')),
        consumers: Number(map.get('consumers')),
        pending: Number(map.get('pending')),
        lag: lag === null || lag === undefined ? null : Number(lag),
      })
    }
  }
  return told
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, n) => all + n, 0)

async function lagsOf(daemon: Daemon): Promise<Map<string, number>> {
  const series = parseExposition(await daemon.metrics()).filter(({ name }) => name === 'xtrimd_group_lag')
  return new Map(series.map(({ labels, value }) => [`${labels.policy} ${labels.stream} ${labels.group}`, value]))
}

suite('--group-metrics', { concurrency: 2 }, () => {
  test('with 50, the values of 1,000 groups equal XINFO GROUPS, also after trimming', async (t) => {
    const redis = await startRedis(t)
    await makeGroups(redis)
    const policy = 'stream:conversation:*'
    const args = ['--redis-url', redis.url, ...HARDLY_EVER, '--max-length', '120', '--trim', 'exact']
    const daemon = await startDaemon(t, [...args, '--group-metrics', '50'])
    await daemon.waitForLog('sweep')
    const told = await toldByRedis(redis)
    assert.equal(told.length, 1_000)
    const value = (name: string) => daemon.metric(name, { policy })
    assert.equal(await value('xtrimd_entries_trimmed_total'), STREAMS * 80, 'the control: streams were trimmed')
    assert.equal(await value('xtrimd_groups'), 1_000)
    assert.equal(await value('xtrimd_consumers'), sum(told.map(({ consumers }) => consumers)))
    assert.equal(await value('xtrimd_group_pending'), sum(told.map(({ pending }) => pending)))
    const lags = told.map(({ lag }) => lag).filter((lag) => lag !== null)
    if (lags.length === 0) return t.diagnostic('this server knows no lag')
    assert.equal(await value('xtrimd_group_lag_max'), Math.max(...lags))
    const own = await lagsOf(daemon)
    assert.equal(own.size, 50)
    assert.deepEqual(
      [...own.values()].sort((a, b) => b - a),
      lags.sort((a, b) => b - a).slice(0, 50),
    )
    for (const { stream, group, lag } of told) {
      const shown = own.get(`${policy} ${stream} ${group}`)
      if (shown !== undefined) assert.equal(shown, lag, `${stream} ${group}`)
    }
    const page = await (await daemon.get('/')).text()
    assert.match(page, /<h2>Consumer groups<\/h2>[\s\S]*<td class="n">1,000<\/td>/)
    assert.match(page, /<h2>Groups that lag most<\/h2>[\s\S]*stream:conversation:0/)
  })

  test('each stream costs one XINFO GROUPS with the flag, and a sweep without it sends none', async (t) => {
    const redis = await startRedis(t)
    for (let stream = 0; stream < STREAMS; stream++) await redis.command('XADD', keyOf(stream), '*', 'a', 'b')
    for (const key of [0, 1]) await redis.command('XGROUP', 'CREATE', keyOf(key), 'g', '0')
    const monitor = await startMonitor(t, redis)
    /** The commands of one sweep, without logging in, the lease and the pause. */
    const commandsOf = async (...args: readonly string[]): Promise<string[]> => {
      const from = (await monitor.commands()).length
      const daemon = await startDaemon(t, ['--redis-url', redis.url, ...HARDLY_EVER, '--lease=false', ...args])
      await daemon.waitForLog('sweep')
      await daemon.stop()
      const all = (await monitor.commands()).slice(from).filter(({ byScript }) => !byScript)
      return all.map(({ words }) => words.join(' ')).filter((command) => !/^"?(?:HELLO|CLIENT|GET)\b/i.test(command))
    }
    const without = await commandsOf()
    const asked = (commands: readonly string[]) => commands.filter((command) => /^"?XINFO\b/i.test(command))
    assert.deepEqual(asked(without), [])
    const withFlag = await commandsOf('--group-metrics', '5')
    assert.equal(asked(withFlag).length, STREAMS)
    assert.equal(new Set(asked(withFlag)).size, STREAMS, 'each stream is asked once')
    assert.equal(withFlag.length - asked(withFlag).length, without.length, 'and nothing else is sent')
  })

  test('only a whole sweep replaces the values, and without the flag there are none', async (t) => {
    const redis = await startRedis(t)
    await redis.command('XADD', keyOf(1), '*', 'a', 'b')
    await redis.command('XGROUP', 'CREATE', keyOf(1), 'g', '0')
    const args = ['--redis-url', redis.url, ...EVERY_SECOND, '--lease=false', '--reply-timeout', '1s']
    const [daemon, other] = await Promise.all([startDaemon(t, [...args, '--group-metrics', '5']), startDaemon(t, args)])
    await daemon.waitForMetric('xtrimd_groups', {}, (groups) => groups === 1)
    await redis.freeze()
    await daemon.waitForLog(({ msg, result }) => msg === 'sweep' && result === 'failed')
    assert.equal(await daemon.metric('xtrimd_groups'), 1)
    await redis.thaw()
    await redis.command('XGROUP', 'DESTROY', keyOf(1), 'g')
    await daemon.waitForMetric('xtrimd_groups', {}, (groups) => groups === 0)
    assert.deepEqual([...(await lagsOf(daemon))], [])
    const names = parseExposition(await other.metrics()).map(({ name }) => name)
    assert.deepEqual(
      names.filter((name) => /^xtrimd_(?:groups|consumers|group_\w+)$/.test(name)),
      [],
    )
  })

  test('if the ACL forbids XINFO GROUPS, the log says so, no value is shown, and the sweep succeeds', async (t) => {
    const redis = await startRedis(t)
    await redis.command('XADD', keyOf(1), '*', 'a', 'b')
    await redis.command('ACL', 'SETUSER', 'ops', 'on', '>pass', '~*', '+@all', '-xinfo|groups')
    const url = `redis://ops:pass@127.0.0.1:${redis.port}`
    const daemon = await startDaemon(t, ['--redis-url', url, ...HARDLY_EVER, '--group-metrics', '5'])
    const line = await daemon.waitForLog('the ACL does not allow a command')
    assert.deepEqual([line.command, line.neededFor], ['XINFO GROUPS', '--group-metrics'])
    assert.equal((await daemon.waitForLog('sweep')).result, 'success')
    await assert.rejects(daemon.metric('xtrimd_groups'), /has no xtrimd_groups/)
  })
})

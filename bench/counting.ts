/** Counts a backlog without removing it: `xtrimd plan` on one long stream, against one script that reads the same entries. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { withoutOurs } from '../scripts/stage/environment.ts'
import { type PrivateRedis, startPrivateRedis } from '../scripts/stage/private_redis.ts'
import { MAIN } from './daemon.ts'
import { keyOf } from './keyspace.ts'
import type { Options } from './options.ts'
import { brief, count, type Section, say } from './report.ts'

const SLOW_MICROSECONDS = 1000
const AT_ONCE = 50_000
const MESSAGE = 'x'.repeat(100)
const OLD_MS = 48 * 3_600_000
const FRESH_MS = 3_600_000

const FILL = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  redis.call('XADD', KEYS[1], string.format('%.0f-0', ARGV[3] + i), 'message', ARGV[4])
end`

/** Reads all entries before an ID, a hundred at a time, and counts them. */
const READ_ALL = `
local from, n = '-', 0
repeat
  local entries = redis.call('XRANGE', KEYS[1], from, '(' .. ARGV[1], 'COUNT', 100)
  n = n + #entries
  if #entries > 0 then from = '(' .. entries[#entries][1] end
until #entries < 100
return n`

/** Computes for a while, and touches no key. */
const COMPUTE = 'local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i end return n'
const LOOPS = 100_000

export async function countBacklogs({ countedEntries: old }: Options): Promise<Section> {
  say('\nCounting a backlog')
  const rows: string[][] = []
  const verdicts: string[] = []
  for (const fresh of [Math.ceil(old / 1000), old]) {
    const redis = await startPrivateRedis()
    const nowMs = await redis.now()
    await fill(redis, old, nowMs - OLD_MS)
    await fill(redis, fresh, nowMs - FRESH_MS)
    const cutOff = `${nowMs - 24 * 3_600_000}-0`
    const script = await redisMs(redis, 'eval_ro', () =>
      redis.client.sendCommand(['EVAL_RO', READ_ALL, '1', keyOf(1), cutOff]),
    )
    const { ms, calls, slow, age } = await planned(redis)
    const idle = await slowControls(redis, calls, ms / calls)
    if (age !== old) throw new Error(`plan counted ${age} old entries, not ${old}`)
    const name = `${count(old)} old, ${count(fresh)} fresh`
    rows.push([name, brief(script), brief(ms), brief(ms / script), brief(slow), brief(idle)])
    verdicts.push(
      `${name}: ${brief(ms)} ms of Redis's time, ${brief(ms / script)} × one script that reads the old ones (goal: 2 s for a million), ${brief(slow)} of ${count(calls)} commands over 1 ms (goal 0; ${brief(idle)} of as many scripts that compute as long and touch no key)`,
    )
    say(`  ${verdicts.at(-1)}`)
    await redis.stop()
  }
  return {
    title: 'Counting: what plan costs',
    text: `\`xtrimd plan --trim exact --pace 100\` counts entries of 100 bytes that are older than a day, in one stream. It counts from both ends, so few fresh entries behind many old ones cost little. The script reads every old entry once and blocks Redis meanwhile. Times are Redis's own, from \`INFO commandstats\`; slow commands are those over ${count(SLOW_MICROSECONDS)} µs in the slow log. The last column is the control: as many scripts, each computing as long as a command of \`plan\` takes on average and touching no key. Those over 1 ms there were interrupted by the machine.`,
    head: ['entries', 'one script, ms', 'plan, ms', 'ratio', 'commands over 1 ms', 'control over 1 ms'],
    rows,
    verdicts,
  }
}

async function fill(redis: PrivateRedis, entries: number, firstMs: number): Promise<void> {
  for (let from = 1; from <= entries; from += AT_ONCE) {
    const to = Math.min(entries, from + AT_ONCE - 1)
    const args = [String(from), String(to), String(firstMs), MESSAGE]
    await redis.client.eval(FILL, { keys: [keyOf(1)], arguments: args })
  }
}

async function planned(redis: PrivateRedis): Promise<{ ms: number; calls: number; slow: number; age: number }> {
  const { client } = redis
  await client.sendCommand(['CONFIG', 'SET', 'slowlog-log-slower-than', String(SLOW_MICROSECONDS)])
  await client.sendCommand(['CONFIG', 'SET', 'slowlog-max-len', '100000'])
  await client.sendCommand(['SLOWLOG', 'RESET'])
  let stdout = ''
  const flags = ['--max-length', 'off', '--trim', 'exact', '--pace', '100', '--output', 'json']
  const ms = await redisMs(redis, 'eval_ro', async () => {
    const args = [MAIN, 'plan', '--redis-url', redis.url, ...flags]
    ;({ stdout } = await promisify(execFile)(process.execPath, args, { env: withoutOurs() }))
  })
  const { remove } = JSON.parse(stdout) as { remove: { age: number } }
  const { calls } = await statsOf(redis, 'eval_ro')
  return { ms, calls, slow: Number(await client.sendCommand(['SLOWLOG', 'LEN'])), age: remove.age }
}

/** How many of `calls` scripts that compute for `ms` each take over a millisecond all the same. */
async function slowControls(redis: PrivateRedis, calls: number, ms: number): Promise<number> {
  const { client } = redis
  const compute = (loops: number) => client.sendCommand(['EVAL_RO', COMPUTE, '0', String(loops)])
  const loopsMs = await redisMs(redis, 'eval_ro', () => compute(LOOPS))
  const loops = Math.round((LOOPS * ms) / loopsMs)
  await client.sendCommand(['SLOWLOG', 'RESET'])
  for (let i = 0; i < calls; i++) await compute(loops)
  return Number(await client.sendCommand(['SLOWLOG', 'LEN']))
}

/** How long Redis worked on a command while `work` ran, in ms. */
async function redisMs(redis: PrivateRedis, command: string, work: () => Promise<unknown>): Promise<number> {
  await redis.client.sendCommand(['CONFIG', 'RESETSTAT'])
  await work()
  return (await statsOf(redis, command)).ms
}

/** How often Redis has run a command since its statistics were reset, and how long in ms. */
async function statsOf({ client }: PrivateRedis, command: string): Promise<{ calls: number; ms: number }> {
  const stats = String(await client.sendCommand(['INFO', 'commandstats']))
  const [, calls = 0, us = 0] = new RegExp(`^cmdstat_${command}:calls=(\\d+),usec=(\\d+)`, 'm').exec(stats) ?? []
  return { calls: Number(calls), ms: Number(us) / 1000 }
}

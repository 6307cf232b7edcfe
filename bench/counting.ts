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
    const { ms, slow, age } = await planned(redis)
    if (age !== old) throw new Error(`plan counted ${age} old entries, not ${old}`)
    const name = `${count(old)} old, ${count(fresh)} fresh`
    rows.push([name, brief(script), brief(ms), brief(ms / script), brief(slow)])
    verdicts.push(
      `${name}: ${brief(ms)} ms of Redis's time, ${brief(ms / script)} × one script that reads the old ones (goal: 2 s for a million), ${brief(slow)} commands over 1 ms (goal 0)`,
    )
    say(`  ${verdicts.at(-1)}`)
    await redis.stop()
  }
  return {
    title: 'Counting: what plan costs',
    text: `\`xtrimd plan --trim exact --pace 100\` counts entries of 100 bytes that are older than a day, in one stream. It counts from both ends, so few fresh entries behind many old ones cost little. The script reads every old entry once and blocks Redis meanwhile. Times are Redis's own, from \`INFO commandstats\`; slow commands are those over ${count(SLOW_MICROSECONDS)} µs in the slow log.`,
    head: ['entries', 'one script, ms', 'plan, ms', 'ratio', 'commands over 1 ms'],
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

async function planned(redis: PrivateRedis): Promise<{ ms: number; slow: number; age: number }> {
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
  return { ms, slow: Number(await client.sendCommand(['SLOWLOG', 'LEN'])), age: remove.age }
}

/** How long Redis worked on a command while `work` ran, in ms. */
async function redisMs({ client }: PrivateRedis, command: string, work: () => Promise<unknown>): Promise<number> {
  await client.sendCommand(['CONFIG', 'RESETSTAT'])
  await work()
  const stats = String(await client.sendCommand(['INFO', 'commandstats']))
  return Number(new RegExp(`^cmdstat_${command}:.*?usec=(\\d+)`, 'm').exec(stats)?.[1] ?? 0) / 1000
}
